"""The page on the command line names every verb and every option there is, and no other."""

import re
from collections.abc import Iterator

import pytest
import typer.main
from typer.core import TyperCommand, TyperGroup

from mesh.cli.app import app
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "reference" / "cli.md").read_text()
EVERYWHERE = {"--json", "--dir", "--help"}
"""What the page says once, for all verbs."""
_CODE = re.compile(r"`([^`]+)`")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def verbs(group: TyperGroup, before: str = "") -> Iterator[tuple[str, TyperCommand]]:
    """All verbs, those of groups with the group's name."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from verbs(command, f"{before}{name} ")
        else:
            assert isinstance(command, TyperCommand), name
            yield f"{before}{name}", command


def options(command: TyperCommand) -> set[str]:
    """The long names of a verb's options; of those that are on, the one that turns them off."""
    named = [each.secondary_opts or each.opts for each in command.params]
    return {name for names in named for name in names if name.startswith("--")}


def entries(page: str, verb: str) -> list[str]:
    """What the page shows of how to type a verb: spans of code that begin with it."""
    cells = [
        line.partition(" | ")[0] if line.startswith("|") else line.partition(": ")[0]
        for line in page.splitlines()
        if line.startswith(("| `", "`"))
    ]
    return [
        cell
        for cell in cells
        if any(f"{code} ".startswith(f"{verb} ") for code in _CODE.findall(cell))
    ]


def shared(page: str, verb: str) -> str:
    """The paragraphs that speak of a verb among others."""
    return "\n".join(
        paragraph
        for paragraph in page.split("\n\n")
        if not paragraph.startswith("|") and f"`{verb.split()[-1]}`" in paragraph
    )


def wrong(page: str, verb: str, has: set[str]) -> list[str]:
    """What the page leaves out of a verb, or makes up."""
    found = entries(page, verb)
    if not found:
        return [f"{verb} is not there"]
    named = {option for cell in found for option in _OPTION.findall(cell)}
    told = named | set(_OPTION.findall(shared(page, verb)))
    missing = [f"{verb} {option} is not told" for option in sorted(has - told - EVERYWHERE)]
    return missing + [f"{verb} has no {option}" for option in sorted(named - has)]


def found() -> list[tuple[str, TyperCommand]]:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return list(verbs(group))


@pytest.mark.parametrize(("verb", "command"), found(), ids=[verb for verb, _ in found()])
def test_the_page_tells_of_a_verb_all_that_it_takes(verb: str, command: TyperCommand) -> None:
    assert not wrong(PAGE, verb, options(command))


def test_what_the_page_lacks_would_be_found() -> None:
    page = "| verb |\n|---|\n| `call SKILL [--key TEXT]` | calls |\n\n`call` takes `--to`.\n"
    assert wrong(page, "call", {"--key", "--to", "--dir"}) == []
    assert wrong(page, "call", {"--to", "--wait"}) == [
        "call --wait is not told",
        "call has no --key",
    ]
    assert wrong(page, "cal", set()) == ["cal is not there"]


@pytest.mark.parametrize(("verb", "command"), found(), ids=[verb for verb, _ in found()])
def test_the_help_of_a_verb_fits_a_terminal_of_80_columns(verb: str, command: TyperCommand) -> None:
    # Below the first paragraph, the help keeps the lines of the docstring: longer ones break twice.
    _, *paragraphs = (command.help or "").split("\n\n")
    lines = [line for each in paragraphs if "\n" in each.strip() for line in each.splitlines()]
    assert [line for line in lines if len(line) > 78] == [], verb
