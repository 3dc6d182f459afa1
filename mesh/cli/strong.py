"""The verbs of the strong board: board strong get, set, delete, transact, lease, renew, release."""

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.inputs import parse_json
from mesh.cli.options import DirOption, JsonOption, finite
from mesh.cli.output import FAILED, USAGE, fail, print_json, print_value, say

if TYPE_CHECKING:
    from mesh.local.strong import Grant, StrongBoard, Transaction

USAGE_KINDS = ("InvalidInput", "TooLarge")
WHY_NOT = {
    "changed": "a key holds something else than expected",
    "ended": "a lease has ended",
    "full": "the strong board is full; delete what is not needed",
}

strong = typer.Typer(
    name="strong",
    help="A few keys and leases that a quorum of the electors settles before a verb returns.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="A key of the strong board.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What is leased.")]
TokenArgument = Annotated[int, typer.Argument(metavar="TOKEN", help="The lease's token.")]
ParseOption = Annotated[bool, typer.Option("--parse", help="VALUE and --expected are JSON.")]
ExpectedOption = Annotated[
    str | None, typer.Option("--expected", metavar="V", help="Only if the key holds this.")
]
TtlOption = Annotated[
    float,
    typer.Option("--ttl", callback=finite, min=0.001, max=86400, help="Seconds until it ends."),
]


@strong.command("get")
def get(key: KeyArgument, at: DirOption = None, as_json: JsonOption = False) -> None:
    """Print a value, with all that was settled before. Exit status 1 where it is absent."""
    value = _asked(at, lambda board: board.get(key))
    if as_json:
        print_json({"key": key, "value": value})
    elif value is not None:
        print_value(value)
    else:
        say(f"mesh: nothing is at {key}")
    if value is None:
        raise SystemExit(FAILED)


@strong.command("set")
def set_key(
    key: KeyArgument,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Text, or JSON with --parse.")],
    expected: ExpectedOption = None,
    absent: Annotated[bool, typer.Option("--absent", help="Only if the key is absent.")] = False,
    parse: ParseOption = False,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a key, if it holds what is expected. Exit status 1 where it holds something else."""
    if absent and expected is not None:
        raise typer.BadParameter("a key that is absent holds nothing", param_hint="--absent")
    checks = {key: None} if absent else _checks(key, expected, parse)
    writes = {key: _value(value, parse)}
    _tell(_asked(at, lambda board: board.transaction(checks=checks, writes=writes)), as_json)


@strong.command("delete")
def delete(
    key: KeyArgument,
    expected: ExpectedOption = None,
    parse: ParseOption = False,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a key, if it holds what is expected. Exit status 1 where it holds something else."""
    checks = _checks(key, expected, parse)
    _tell(_asked(at, lambda board: board.transaction(checks=checks, writes={key: None})), as_json)


@strong.command("transact")
def transact(
    parts: Annotated[
        str, typer.Argument(metavar="JSON", help='{"checks": {}, "writes": {}, "reads": []}')
    ],
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check, write and read several keys together, or nothing. null is absent.

    Exit status 1 where a check fails.
    """
    wanted = _value(parts, parse=True)
    known = {"checks": dict, "writes": dict, "reads": list}
    is_object = isinstance(wanted, dict) and not wanted.keys() - known.keys()
    if not is_object or not all(isinstance(each, known[name]) for name, each in wanted.items()):
        raise typer.BadParameter("an object of checks, writes and reads", param_hint="JSON")
    _tell(_asked(at, lambda board: board.transaction(**wanted)), as_json)


@strong.command("lease")
def lease(
    name: NameArgument,
    ttl: TtlOption = 30.0,
    holder: Annotated[str, typer.Option("--holder", help="Who holds it; for people.")] = "",
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a lease, and print its token. Exit status 1 where somebody holds it."""
    grant = _asked(at, lambda board: board.lease(name, ttl=ttl, holder=holder))
    _tell_grant(name, grant, f"{name} is held", as_json)


@strong.command("renew")
def renew(
    name: NameArgument,
    token: TokenArgument,
    ttl: TtlOption = 30.0,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold a lease for longer. Exit status 1 where it has ended."""
    grant = _asked(at, lambda board: board.renew(_grant(name, token), ttl=ttl))
    _tell_grant(name, grant, f"that lease of {name} has ended", as_json)


@strong.command("release")
def release(
    name: NameArgument, token: TokenArgument, at: DirOption = None, as_json: JsonOption = False
) -> None:
    """Give a lease back. Exit status 1 where it had ended."""
    done = _asked(at, lambda board: board.release(_grant(name, token)))
    if as_json:
        print_json({"name": name, "done": done})
    elif not done:
        say(f"mesh: that lease of {name} had ended")
    if not done:
        raise SystemExit(FAILED)


def _asked(at: Any, ask: "Callable[[StrongBoard], Any]") -> Any:
    from mesh.client import Client, Refused

    with Client(dir=at) as client:
        try:
            return ask(client.board.strong)
        except Refused as error:
            fail(error.message, USAGE if error.kind in USAGE_KINDS else FAILED)


def _tell(done: "Transaction", as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "done": done.done,
                "reason": done.reason,
                "version": done.version,
                "values": done.values,
            }
        )
    else:
        for key, value in done.values.items():
            print(f"{key}  {json.dumps(value, ensure_ascii=False)}")
        if not done:
            say(f"mesh: nothing was changed: {WHY_NOT.get(done.reason, done.reason)}")
    if not done:
        raise SystemExit(FAILED)


def _tell_grant(name: str, grant: "Grant | None", why_not: str, as_json: bool) -> None:
    if as_json:
        token, left = (None, 0.0) if grant is None else (grant.token, round(grant.left, 3))
        print_json({"name": name, "token": token, "seconds": left})
    elif grant is not None:
        print(grant.token)
    else:
        say(f"mesh: {why_not}")
    if grant is None:
        raise SystemExit(FAILED)


def _grant(name: str, token: int) -> "Grant":
    from mesh.local.strong import Grant

    return Grant(name=name, token=token, ends=time.monotonic())


def _checks(key: str, expected: str | None, parse: bool) -> dict[str, Any]:
    return {} if expected is None else {key: _value(expected, parse)}


def _value(text: str, parse: bool) -> Any:
    if not parse:
        return text
    try:
        return parse_json(text)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}") from None
