"""The verbs of the blackboard: board put, get, delete, ls, watch and the rest."""

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from mesh.cli.inputs import parse_json
from mesh.cli.options import DirOption, JsonOption, finite
from mesh.cli.output import FAILED, USAGE, fail, print_json, print_value, say

if TYPE_CHECKING:
    from mesh.local.board import Board
    from mesh.local.board_requests import Entry, Written
    from mesh.local.errors import Refused

USAGE_KINDS = ("BadKey", "BadValue", "BadCursor", "InvalidInput")

MADE_BY = {
    "counter": "increment", "set": "add", "map": "set", "log": "append", "pheromone": "deposit",
}  # fmt: skip
"""Types that `put` does not make, and the verb that does."""

KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="space/name; a name alone is of the space default.")
]
ValueArgument = Annotated[
    str, typer.Argument(metavar="VALUE", help="Text, or JSON with --parse; - reads stdin.")
]
ParseOption = Annotated[bool, typer.Option("--parse", help="VALUE is JSON.")]
TtlOption = Annotated[
    float | None,
    typer.Option("--ttl", callback=finite, min=0.001, help="Seconds until it reads as absent."),
]


def put(
    key: KeyArgument,
    value: ValueArgument,
    parse: ParseOption = False,
    type_: Annotated[
        str, typer.Option("--type", help="register, or multivalue, which shows conflicts.")
    ] = "",
    ttl: TtlOption = None,
    embedding: Annotated[
        str, typer.Option("--embedding", metavar="JSON", help="A list of numbers, for search.")
    ] = "",
    durable: Annotated[
        bool, typer.Option("--durable", help="Wait for the disks: it survives a power cut.")
    ] = False,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a key. It is on two disks when this returns, where another peer is alive."""
    given, vector = _value(value, parse), _vector(embedding)
    if type_ not in ("", "register", "multivalue"):
        made = ", ".join(f"{name} by {how}" for name, how in MADE_BY.items())
        fail(
            f"put makes a register or a multivalue, and no {type_!r}; others are made: {made}",
            USAGE,
        )

    def write(board: "Board") -> "Written":
        return board.put(key, given, type=type_, ttl=ttl, embedding=vector, durable=durable)

    _write(at, as_json, write)


def get(key: KeyArgument, at: DirOption = None, as_json: JsonOption = False) -> None:
    """Print the value of a key. Exit status 1 where it is absent."""
    entry = _asked(at, lambda board: board.entry(key))
    if as_json:
        if entry is not None:
            print_json(_line(entry))
        else:
            print_json({"key": key, "type": None, "value": None})
    elif entry is not None:
        print_value(entry.value)
        if entry.conflicts:
            others = "another value was" if entry.conflicts == 1 else "others were"
            say(f"{others} put at the same time; the next put settles it")
    if entry is None:
        if not as_json:
            say(f"mesh: nothing is at {key}")
        raise SystemExit(FAILED)


def delete(key: KeyArgument, at: DirOption = None, as_json: JsonOption = False) -> None:
    """Remove what is at a key, of whatever type."""
    _write(at, as_json, lambda board: board.delete(key))


def ls(
    prefix: Annotated[str, typer.Argument(metavar="[PREFIX]", help="Keys that begin so.")] = "",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many.")] = None,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List entries in the order of their keys."""
    for entry in _asked(at, lambda board: list(board.ls(prefix, limit=limit))):
        if as_json:
            print_json(_line(entry))
        else:
            print(f"{entry.key}  {entry.type}  {json.dumps(entry.value, ensure_ascii=False)}")


def watch(
    prefix: Annotated[str, typer.Argument(metavar="[PREFIX]", help="Keys that begin so.")] = "",
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="CURSOR", help="Go on after a change; '' tells all first."),
    ] = None,
    count: Annotated[int | None, typer.Option("--count", min=1, help="End after so many.")] = None,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show changes as they come; Ctrl-C ends it.

    With --json each has a cursor, from which any peer goes on.
    """
    from mesh.client import Client, Refused

    with Client(dir=at) as client:
        try:
            for number, change in enumerate(client.board.watch(prefix, since=since), start=1):
                if as_json:
                    told = {"key": change.key, "type": None, "value": None}
                    told |= {} if change.entry is None else _line(change.entry)
                    print_json(told | {"cursor": change.cursor, "reset": change.is_reset})
                elif change.entry is None:
                    print(f"{change.key}  deleted", flush=True)
                else:
                    shown = json.dumps(change.entry.value, ensure_ascii=False)
                    print(f"{change.key}  {change.entry.type}  {shown}", flush=True)
                if number == count:
                    return
        except KeyboardInterrupt:
            return
        except Refused as error:
            _fail(error)


def increment(
    key: KeyArgument,
    by: Annotated[int, typer.Argument(metavar="[BY]", help="May be negative.")] = 1,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count a counter up; a negative number after -- counts down."""
    _write(at, as_json, lambda board: board.increment(key, by))


def add(
    key: KeyArgument,
    value: ValueArgument,
    parse: ParseOption = False,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put an element into a set."""
    given = _value(value, parse)
    _write(at, as_json, lambda board: board.add(key, given))


def remove(
    key: KeyArgument,
    value: ValueArgument,
    parse: ParseOption = False,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an element out of a set."""
    given = _value(value, parse)
    _write(at, as_json, lambda board: board.remove(key, given))


def set_field(
    key: KeyArgument,
    field: Annotated[str, typer.Argument(metavar="FIELD")],
    value: ValueArgument,
    parse: ParseOption = False,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a field of a map."""
    given = _value(value, parse)
    _write(at, as_json, lambda board: board.set(key, field, given))


def unset(
    key: KeyArgument,
    field: Annotated[str, typer.Argument(metavar="FIELD")],
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a field of a map."""
    _write(at, as_json, lambda board: board.unset(key, field))


def append(
    key: KeyArgument,
    value: ValueArgument,
    parse: ParseOption = False,
    ttl: TtlOption = None,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add an item to a log."""
    given = _value(value, parse)
    _write(at, as_json, lambda board: board.append(key, given, ttl=ttl))


def deposit(
    key: KeyArgument,
    amount: Annotated[
        float, typer.Argument(metavar="[AMOUNT]", callback=finite, min=0.000001)
    ] = 1.0,
    half_life: Annotated[
        float | None,
        typer.Option(
            "--half-life",
            callback=finite,
            min=0.001,
            help="Seconds after which half of it is gone.",
        ),
    ] = None,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Leave a mark that evaporates."""
    _write(at, as_json, lambda board: board.deposit(key, amount, half_life=half_life))


def sense(key: KeyArgument, at: DirOption = None, as_json: JsonOption = False) -> None:
    """Print what is left of all deposits at a key; 0 where nothing is."""
    left = _asked(at, lambda board: board.sense(key))
    if as_json:
        print_json({"key": key, "type": "pheromone", "value": left})
    else:
        print(f"{left:g}")


def _asked(at: Any, ask: "Callable[[Board], Any]") -> Any:
    from mesh.client import Client, Refused

    with Client(dir=at) as client:
        try:
            return ask(client.board)
        except Refused as error:
            _fail(error)


def _write(at: Any, as_json: bool, write: "Callable[[Board], Written]") -> None:
    written: Written = _asked(at, write)
    if as_json:
        print_json({"replicated": written.replicated})
    elif not written.replicated:
        say("on one disk only: no other peer has stored it yet")


def _fail(error: "Refused") -> NoReturn:
    fail(error.message, USAGE if error.kind in USAGE_KINDS else FAILED)


def _line(entry: "Entry") -> dict[str, Any]:
    import msgspec

    line: dict[str, Any] = msgspec.to_builtins(entry)
    return line


def _value(text: str, parse: bool) -> Any:
    given = sys.stdin.read() if text == "-" else text
    if not parse:
        return given
    try:
        return parse_json(given)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint="VALUE") from None


def _vector(text: str) -> list[float] | None:
    if not text:
        return None
    try:
        numbers = [float(each) for each in parse_json(text)]
    except (ValueError, TypeError) as error:
        raise typer.BadParameter(
            f"not a list of numbers: {error}", param_hint="--embedding"
        ) from None
    return numbers
