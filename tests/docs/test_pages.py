"""Every command in the documentation works; see `pages.py` for how a page says how to run it."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import LANGUAGES, ROOT, blocks, run, script

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
NOTES = ("second terminal:", "exits ", "not run:")


def is_run(page: Path) -> bool:
    """Whether there is anything on a page to run."""
    return any(
        block.language == "sh" and not block.note.startswith("not run:") for block in blocks(page)
    )


RUN = [page for page in PAGES if is_run(page)]


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_work(page: Path) -> None:
    run(page)


def test_blocks_say_what_they_are() -> None:
    wrong = []
    for page in PAGES:
        for block in blocks(page):
            where = f"{page.relative_to(ROOT)}, line {block.line}"
            if block.language and block.language not in LANGUAGES:
                wrong.append(f"{where}: {block.language}?")
            if block.note and not block.note.startswith(NOTES):
                wrong.append(f"{where}: {block.note}?")
            if not block.language and re.search(r"^mesh \w", block.text, re.M):
                wrong.append(f"{where}: commands are marked `sh`, so that they are run")
    assert not wrong, "\n".join(wrong)


def test_a_page_becomes_a_script(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\n# one.py\nprint(1)\n```\n\n<!-- not run: dangerous -->\n```sh\nrm -rf x\n```\n"
        "<!-- exits 3 -->\n```sh\ncd .\nsh -c 'exit 3'  # as it should\n```\n"
    )
    made = script(page)
    assert "cat > one.py" in made
    assert "rm -rf x" not in made
    assert "sh -c 'exit 3' || status=$?" in made
    assert [block.file for block in blocks(page)] == ["one.py", "", ""]


@pytest.mark.slow
def test_a_command_that_fails_fails_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.docs.pages.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("```sh\ntrue\nfalse\necho after\n```\n")
    with pytest.raises(AssertionError, match=r"page.md, line 1"):
        run(page)
    page.write_text("```sh\ntrue\n```\n")
    run(page)
