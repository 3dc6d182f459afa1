"""What verbs print: one JSON object per line for scripts, plain text for people.

Results go to stdout, progress and errors to stderr, so that a pipe carries
results only.
"""

import json
import shlex
import sys
from pathlib import Path
from typing import Any, NoReturn

DONE = 0
FAILED = 1
USAGE = 2
NO_PEER = 3
TIMED_OUT = 4
CONTROLS = (*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
"""Characters that move a terminal's cursor, begin its commands, or turn the text round."""
_IN_LINES = dict.fromkeys(CONTROLS, " ")
_IN_TEXTS = {control: " " for control in CONTROLS if chr(control) not in "\n\t"}


def plain(text: str) -> str:
    """A text that others worded, such that it drives no terminal; it keeps its lines."""
    return text.translate(_IN_TEXTS)


def line_of(text: str) -> str:
    """The same on one line: it can forge no other."""
    return text.translate(_IN_LINES)


def print_json(value: Any) -> None:
    """One object, on one line, at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def print_value(value: Any) -> None:
    """A result as people read it: text as it is, everything else as indented JSON.

    A pipe gets all of it; on a terminal control characters are spaces.
    """
    is_text = isinstance(value, str)
    text = value if is_text else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    print(plain(text) if sys.stdout.isatty() else text)


def say(text: str) -> None:
    """A line of progress, on stderr."""
    print(plain(text), file=sys.stderr, flush=True)


def dir_words(folder: Path) -> str:
    """What a command to copy has to say of its folder, as a shell takes it."""
    here = folder.absolute() == Path(".mesh").absolute()
    return "" if here else f" --dir {shlex.quote(str(folder))}"


def fail(text: str, status: int = FAILED) -> NoReturn:
    """Says what failed, why, and what to try, and ends the process."""
    say(f"mesh: {text}")
    raise SystemExit(status)


def print_table(rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Rows in columns as wide as they need."""
    cells = [[line_of(str(row.get(column, ""))) for column in columns] for row in rows]
    widths = [
        max([len(column), *(len(line[index]) for line in cells)])
        for index, column in enumerate(columns)
    ]
    heading = [column.upper() for column in columns]
    for line in [heading, *cells]:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )
