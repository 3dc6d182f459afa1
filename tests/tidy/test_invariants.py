"""The page of invariants and the code name the same things."""

import re

from tests.tidy.tree import PACKAGES, ROOT, modules

PAGE = ROOT / "docs" / "invariants.md"
ROW = re.compile(r"^\| `([a-z][a-z0-9-]+)` \| .+ \| (.+) \|$", re.MULTILINE)
WHERE = re.compile(r"`([^`]+\.py)`")
STATED = re.compile(r"^    ([a-z][a-z0-9]*(?:-[a-z0-9]+)+): \S", re.MULTILINE)


def rows() -> list[tuple[str, list[str]]]:
    found: list[tuple[str, str]] = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return [(name, WHERE.findall(where)) for name, where in found]


def test_every_invariant_has_one_row_that_says_where_it_is_kept() -> None:
    names = [name for name, _ in rows()]
    assert names
    assert len(names) == len(set(names))
    assert [name for name, where in rows() if not where] == []


def test_the_modules_named_exist() -> None:
    missing = [
        (name, file) for name, files in rows() for file in files if not (ROOT / file).exists()
    ]
    assert missing == []


def test_every_invariant_stated_in_a_module_is_on_the_page() -> None:
    known = {name for name, _ in rows()}
    stated = {
        f"{file}: {name}"
        for file, text in modules(*PACKAGES)
        if (section := re.search(r"^Invariants:\n((?:    .*\n|\n)+)", text, re.MULTILINE))
        for name in STATED.findall(section[1])
        if name not in known
    }
    assert stated == set()
