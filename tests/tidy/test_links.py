"""Every link in the documentation leads somewhere: to a file that exists, to a heading in it."""

import re
from pathlib import Path

from tests.tidy.tree import PACKAGES, ROOT, modules, name_of, tracked

LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)


def documents() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".md"]


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, by the rule that forges use."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    slugs: dict[str, int] = {}
    result = set()
    for heading in HEADING.findall(text):
        kept = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        again = slugs.get(kept, 0)
        slugs[kept] = again + 1
        result.add(f"{kept}-{again}" if again else kept)
    return result


def links(path: Path) -> list[str]:
    text = CODE.sub("", FENCE.sub("", path.read_text(encoding="utf-8")))
    return [link or image for link, image in LINK.findall(text)]


def broken(path: Path, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return False
    file, _, anchor = target.partition("#")
    aim = (path.parent / file).resolve() if file else path
    if not aim.exists() or not aim.is_relative_to(ROOT):
        return True
    return bool(anchor) and aim.suffix == ".md" and anchor not in anchors(aim)


def test_every_link_leads_somewhere() -> None:
    found = [
        f"{name_of(path)}: {target}"
        for path in documents()
        for target in links(path)
        if broken(path, target)
    ]
    assert found == []


def test_every_page_that_a_module_points_to_exists() -> None:
    found = [
        f"{name}: {page}"
        for name, text in modules(*PACKAGES, "tests")
        for page in re.findall(r"\bdocs/[\w/.-]+\.md\b", text)
        if not (ROOT / page).exists()
    ]
    assert found == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    frontier = [ROOT / "README.md"]
    while frontier:
        page = frontier.pop()
        if page.is_dir():  # a link to a folder shows its pages
            frontier += sorted(page.glob("*.md"))
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        local = [link.partition("#")[0] for link in links(page) if not re.match(r"[a-z]+:", link)]
        frontier += [(page.parent / link).resolve() for link in local if link]
    assert [name_of(page) for page in documents() if page not in reached] == []


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[gone](nowhere.md) and `[code](is-not-a-link)`\n", encoding="utf-8")
    assert links(page) == ["nowhere.md"]
    assert broken(page, "nowhere.md")
