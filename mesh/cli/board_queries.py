"""The verbs that ask of all that is known: board sql, board search, board events."""

from typing import Annotated, Any, NoReturn

import typer

from mesh.cli.options import DirOption, JsonOption, finite
from mesh.cli.output import FAILED, TIMED_OUT, USAGE, fail, print_json, print_table, say

USAGE_KINDS = ("InvalidSql", "InvalidInput", "BadVector", "NoEmbedder", "BadKey")


def sql(
    statement: Annotated[str, typer.Argument(metavar="SQL", help="One statement that reads.")],
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=100_000, help="At most so many rows.")
    ] = 10_000,
    seconds: Annotated[
        float,
        typer.Option("--seconds", callback=finite, min=0.01, max=20, help="How long it may take."),
    ] = 5.0,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask in SQL of entries, tasks, attempts, awards and events; read-only.

    Exit status 2 where it is no such question, 4 where it took too long.
    """
    from mesh.client import Client, Refused

    with Client(dir=at) as client:
        try:
            answer = client.board.sql(statement, limit=limit, seconds=seconds)
        except Refused as error:
            _fail(error)
    rows = list(answer)
    if as_json:
        for row in rows:
            print_json(row)
    elif answer.columns:
        shown = [{name: "" if value is None else value for name, value in r.items()} for r in rows]
        print_table(shown, list(dict.fromkeys(answer.columns)))
    if answer.is_cut:
        say(f"cut at {limit} rows; --limit allows more")


def search(
    wanted: Annotated[str, typer.Argument(metavar="TEXT", help="Text, or a JSON list of numbers.")],
    count: Annotated[int, typer.Option("-k", "--count", min=1, max=200, help="How many.")] = 10,
    prefix: Annotated[str, typer.Option("--prefix", help="Only keys that begin with this.")] = "",
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the entries whose embeddings are nearest, by cosine.

    $MESH_EMBEDDER, as package.module:function, names what makes a vector of text.
    """
    from mesh.client import Client, Refused

    with Client(dir=at) as client:
        try:
            found = client.board.search(_vector(wanted), count, prefix)
        except Refused as error:
            _fail(error)
    rows = [
        {"key": each.key, "score": each.score, "type": each.type, "value": each.value}
        for each in found
    ]
    if as_json:
        for row in rows:
            print_json(row)
    else:
        print_table(rows, ["score", "key", "value"])


def events(
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Only events of this name or group, as tasks; may repeat."),
    ] = None,
    task: Annotated[str, typer.Option("--task", help="Only what names this task.")] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="CURSOR", help="Go on after this; else all kept.")
    ] = "",
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with what comes; Ctrl-C ends it.")
    ] = False,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what one peer tells of its work, in order, each event with its cursor.

    Where what followed a cursor is not kept any more, a log.gap says so.
    """
    from mesh.client import Client, Refused

    with Client(dir=at) as client:
        try:
            for event in client.board.events(*(kind or ()), task=task, since=since, follow=follow):
                _show(event, as_json)
        except Refused as error:
            _fail(error)
        except KeyboardInterrupt:
            # Asked to end, it has done what it was there for.
            return


def _show(event: dict[str, Any], as_json: bool) -> None:
    import msgspec

    if as_json:
        print_json(event)
        return
    hidden = ("event", "cursor", "time", "peer")
    rest = {name: value for name, value in event.items() if name not in hidden}
    text = msgspec.json.encode(rest).decode() if rest else ""
    print(f"{event['cursor']}  {event['event']}  {text}".rstrip(), flush=True)


def _vector(text: str) -> Any:
    import msgspec

    if not text.lstrip().startswith("["):
        return text
    try:
        return msgspec.json.decode(text, type=list[float])
    except msgspec.MsgspecError as error:
        fail(f"{text[:40]}… is no list of numbers: {error}", USAGE)


def _fail(error: Any) -> NoReturn:
    if error.kind == "TimedOut":
        fail(error.message, TIMED_OUT)
    fail(error.message, USAGE if error.kind in USAGE_KINDS else FAILED)
