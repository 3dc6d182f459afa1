"""What verbs print: one JSON object per line for scripts, plain text for people.

Results go to stdout, progress and errors to stderr, so that a pipe carries
results only.
"""

import json
import sys
from typing import Any, NoReturn

DONE = 0
FAILED = 1
USAGE = 2
NO_PEER = 3
TIMED_OUT = 4


def print_json(value: Any) -> None:
    """One object, on one line, at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def print_value(value: Any) -> None:
    """A result as people read it: text as it is, everything else as indented JSON."""
    if isinstance(value, str):
        print(value)
    else:
        print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def say(text: str) -> None:
    """A line of progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def fail(text: str, status: int = FAILED) -> NoReturn:
    """Says what failed, why, and what to try, and ends the process."""
    say(f"mesh: {text}")
    raise SystemExit(status)


def print_table(rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Rows in columns as wide as they need."""
    cells = [[str(row.get(column, "")) for column in columns] for row in rows]
    widths = [
        max([len(column), *(len(line[index]) for line in cells)])
        for index, column in enumerate(columns)
    ]
    heading = [column.upper() for column in columns]
    for line in [heading, *cells]:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )
