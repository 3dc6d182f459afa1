"""What the tree holds: its tracked files, and the parsed Python among them."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("mesh", "protocols", "simulations")


@cache
def tracked() -> tuple[Path, ...]:
    """Every tracked file that exists, in order; outside a repository, every file shipped."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        names = listed.stdout.split("\0") if listed.returncode == 0 else []
    except FileNotFoundError:
        names = []
    paths = [ROOT / name for name in names if name] or list(_walk())
    return tuple(sorted(path for path in paths if path.is_file()))


def _walk() -> Iterator[Path]:
    """The files of an unpacked release: nothing hidden, nothing generated."""
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if not any(part.startswith(".") or part == "__pycache__" for part in parts):
            yield path


def name_of(path: Path) -> str:
    """The path as people write it."""
    return path.relative_to(ROOT).as_posix()


@cache
def texts() -> tuple[tuple[str, str], ...]:
    """Name and content of every tracked text file."""
    found = []
    for path in tracked():
        try:
            found.append((name_of(path), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return tuple(found)


@cache
def parsed(source: str) -> ast.Module:
    """A module's syntax tree, parsed once for all tests that look at it."""
    return ast.parse(source)


def modules(*tops: str) -> Iterator[tuple[str, str]]:
    """Name and source of every tracked module below these folders."""
    for name, text in texts():
        if name.endswith(".py") and name.split("/")[0] in tops:
            yield name, text


def functions(source: str) -> Iterator[tuple[str, int, int]]:
    """Name, first line and length of every function, its docstring not counted."""
    for node in ast.walk(parsed(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0]
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if ast.get_docstring(node) is not None:
            length -= (first.end_lineno or first.lineno) - first.lineno + 1
        yield node.name, node.lineno, length
