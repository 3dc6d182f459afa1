"""Small trees with known problems, and findings to review."""

from pathlib import Path
from textwrap import dedent

from mesh.demo.findings import Finding

SHELL = """\
import subprocess


def run(command):
    return subprocess.call(command, shell=True)
"""
BRANCHY = "def choose(x):\n" + "".join(f"    if x == {n}:\n        return {n}\n" for n in range(45))
BROKEN = "def broken(:\n    pass\n"
LATIN = '# -*- coding: latin-1 -*-\nNAME = "caf\xe9"\nassert NAME\n'
UNDECLARED = b'NAME = "caf\xe9"\n'


def make_tree(folder: Path) -> Path:
    """A tree in which every analyser finds something and something goes wrong."""
    (folder / "pkg" / "tests").mkdir(parents=True)
    (folder / "pkg" / "__init__.py").write_text("")
    (folder / "pkg" / "shell.py").write_text(SHELL)
    (folder / "pkg" / "branchy.py").write_text(BRANCHY)
    (folder / "pkg" / "tests" / "test_it.py").write_text("assert True\n")
    (folder / "broken.py").write_text(BROKEN)
    (folder / "latin.py").write_bytes(LATIN.encode("latin-1"))
    (folder / "undeclared.py").write_bytes(UNDECLARED)
    (folder / "notes.txt").write_text("not Python\n")
    return folder


def finding(
    path: str = "a.py",
    line: int = 1,
    *,
    rule: str = "B602",
    kind: str = "",
    tool: str = "bandit",
    severity: str = "high",
    confidence: str = "high",
    message: str = "it is bad",
    column: int = 1,
) -> Finding:
    """A finding as an analyser makes it."""
    return Finding(
        path=path,
        line=line,
        column=column,
        tool=tool,
        rule=rule,
        kind=kind or f"security-{rule[1:]}",
        severity=severity,
        confidence=confidence,
        message=message,
    )


def sample(folder: Path, code: str, name: str = "a.py") -> Path:
    """A tree of one file."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(code))
    return folder
