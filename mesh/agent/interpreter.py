"""Which interpreter an agent file asks for, and how a worker becomes it.

`Agent(..., python="…/bin/python")` is read from the file's text, for the packages that the
file imports need not exist where the peer runs.
"""

import ast
import os
import re
import sys
from pathlib import Path
from typing import NoReturn

from mesh.agent.loading import BadAgentFile, split_target
from mesh.local.messages import PROTOCOL

BOOT = Path(__file__).with_name("boot.py")
_MENTIONED = re.compile(r"\bpython\s*=")
_OF_ANOTHER = ("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")


def resolved(python: str, file: Path) -> str:
    """The absolute path of an interpreter that a file names; relative to that file."""
    # Not what links lead to: the interpreter of a virtual environment is a link out of it.
    return os.path.abspath(file.resolve().parent / os.path.expanduser(python))


def wanted(target: str) -> str:
    """The interpreter that the agents of a file ask for; "" where none does.

    Raises:
        BadAgentFile: they ask for several, or not by a plain text.
    """
    path, _ = split_target(target)
    try:
        text = path.read_text(encoding="utf-8")
        found = _named(ast.parse(text)) if _MENTIONED.search(text) else []
    except (OSError, SyntaxError, ValueError):
        return ""  # importing it says what is wrong
    if any(not isinstance(python, str) for python in found):
        raise BadAgentFile(
            f"{path}: python= of an agent is read before the file is imported, so it must be a "
            "plain text"
        )
    choices = sorted({resolved(str(python), path) for python in found if python})
    if len(choices) > 1:
        raise BadAgentFile(
            f"{path}: its agents share a process, and ask for {' and '.join(choices)}"
        )
    return choices[0] if choices else ""


def _named(tree: ast.Module) -> list[object]:
    found: list[object] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
            if name == "Agent":
                values = [word.value for word in node.keywords if word.arg == "python"]
                found += [getattr(value, "value", value) or "" for value in values]
    return found


def command(python: str, arguments: list[str]) -> list[str]:
    """How a worker is started by another interpreter than this one."""
    return [python, str(BOOT), str(PROTOCOL), *arguments, "--chosen", python]


def environment() -> dict[str, str]:
    """This process's environment, without what is meant for its own interpreter."""
    return {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER}


def become(python: str, arguments: list[str]) -> NoReturn:
    """Goes on as a worker of another interpreter, in this very process.

    Raises:
        BadAgentFile: there is no such interpreter.
    """
    try:
        os.execve(python, command(python, arguments), environment())  # noqa: S606  # no shell is wanted
    except OSError as error:
        raise BadAgentFile(f"cannot run {python}: {error.strerror}") from None


def is_running(python: str) -> bool:
    """Whether this process runs by that interpreter."""
    return os.path.abspath(sys.executable) == python
