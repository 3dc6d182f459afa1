"""The page of invariants and the code name the same things."""

import ast
import re
from collections.abc import Iterator

from tests.tidy.tree import PACKAGES, ROOT, modules, parsed

PAGE = ROOT / "docs" / "invariants.md"
ROW = re.compile(r"^\| `([a-z][a-z0-9-]+)` \| .+ \| (.+) \|$", re.MULTILINE)
FILE = re.compile(r"`([^`]+\.py)`")
NAME = re.compile(r"([a-z]+(?:-[a-z]+)+)(?=:|$)")
SECTION = re.compile(r"^Invariants:\n((?:    .*\n|\n)+)", re.MULTILINE)
STATED = re.compile(r"^    ([a-z]+(?:-[a-z]+)+): \S", re.MULTILINE)


def rows() -> list[tuple[str, str]]:
    return ROW.findall(PAGE.read_text(encoding="utf-8"))


def named_in(source: str) -> Iterator[str]:
    """Invariants named by assertions, and those stated in a docstring's section of that name."""
    for each in ast.walk(parsed(source)):
        if isinstance(each, ast.Assert) and each.msg is not None:
            first = each.msg.values[0] if isinstance(each.msg, ast.JoinedStr) else each.msg
            if isinstance(first, ast.Constant) and (name := NAME.match(str(first.value))):
                yield name[1]
    for section in SECTION.findall(source):
        yield from STATED.findall(section)


def test_every_invariant_has_one_row() -> None:
    names = [name for name, _ in rows()]
    assert names
    assert len(names) == len(set(names))


def test_every_row_names_modules_that_name_the_invariant() -> None:
    found = []
    for name, where in rows():
        files = FILE.findall(where)
        texts = [
            (ROOT / file).read_text(encoding="utf-8") for file in files if (ROOT / file).exists()
        ]
        said = where.startswith("by construction") or all(name in text for text in texts)
        if not (files and said and len(texts) == len(files)):
            found.append(name)
    assert found == []


def test_every_invariant_named_in_the_code_is_on_the_page() -> None:
    known = {name for name, _ in rows()}
    found = sorted(
        f"{file}: {name}"
        for file, text in modules(*PACKAGES)
        for name in named_in(text)
        if name not in known
    )
    assert found == []
