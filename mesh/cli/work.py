"""The verbs that give work: call, submit, map."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from mesh.cli.inputs import parse_inputs, parse_json
from mesh.cli.options import DirOption, JsonOption, finite
from mesh.cli.output import FAILED, TIMED_OUT, USAGE, fail, print_json, print_value, say
from mesh.cli.progress import Progress

if TYPE_CHECKING:
    from mesh.client import Client
    from mesh.client.outcome import Outcome

UNKNOWN_SKILL = "UnknownSkill"
SkillArgument = Annotated[
    str, typer.Argument(metavar="SKILL", help="The skill's name, or name@version.")
]
InputsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=TEXT | KEY:=JSON]...", help="Keyword inputs.")
]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", callback=finite, min=0, help="Seconds that one attempt may run."),
]
DeadlineOption = Annotated[
    float | None,
    typer.Option(
        "--deadline", callback=finite, min=0, help="Seconds that the whole task may take."
    ),
]
ToOption = Annotated[str | None, typer.Option("--to", help="Run it on this peer, by name or id.")]
StrategyOption = Annotated[
    str | None,
    typer.Option("--strategy", help="How a peer is found: auction, board, least_loaded or direct."),
]
KeyOption = Annotated[
    str | None, typer.Option("--key", help="Idempotency key: the same key is the same task.")
]
RetriesOption = Annotated[
    int | None, typer.Option("--retries", min=0, help="Attempts after the first.")
]
PriorityOption = Annotated[
    int | None, typer.Option("--priority", help="Higher goes first; 0 if nothing is said.")
]
RequiresOption = Annotated[
    list[str] | None,
    typer.Option("--requires", metavar="LABEL", help="A label its peer must have; may repeat."),
]
ExclusiveOption = Annotated[
    str | None,
    typer.Option("--exclusive", metavar="KEY", help="One at a time under KEY; - for its own."),
]
WaitOption = Annotated[
    float | None,
    typer.Option(
        "--wait", callback=finite, min=0, help="Seconds to wait before giving up waiting."
    ),
]


def call(
    skill: SkillArgument,
    inputs: InputsArgument = None,
    timeout: TimeoutOption = None,
    deadline: DeadlineOption = None,
    to: ToOption = None,
    strategy: StrategyOption = None,
    key: KeyOption = None,
    retries: RetriesOption = None,
    priority: PriorityOption = None,
    requires: RequiresOption = None,
    exclusive: ExclusiveOption = None,
    wait: WaitOption = None,
    folder: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Call a skill and wait for its result.

    Exit status 1 where the task failed, 4 where --wait ran out (the task goes on).
    """
    from mesh.client import Client

    values, alone = parse_inputs(inputs or []), exclusive_of(exclusive)
    with Client(dir=folder) as client:
        view = with_options(
            client,
            timeout=timeout, deadline=deadline, to=to, strategy=strategy, key=key,
            retries=retries, priority=priority, requires=requires,
            exclusive=alone,
        )  # fmt: skip
        handle = view.submit(skill, **values)
        try:
            outcome = handle.outcome(timeout=wait)
        except TimeoutError:
            if as_json:
                print_json(client.task(handle.id))
            fail(
                f"task {handle.id} has not ended within {wait:g} s and goes on: "
                f"`mesh task {handle.id}` shows it, `mesh cancel {handle.id}` stops it",
                TIMED_OUT,
            )
    line = outcome_line(outcome)
    if as_json:
        print_json(line)
    elif line["state"] == "done":
        print_value(line["result"])
        if line["incomplete"]:
            say_incomplete(line)
    if line["state"] != "done":
        if not as_json:
            say_failure(line)
        raise SystemExit(FAILED)


def submit(
    skill: SkillArgument,
    inputs: InputsArgument = None,
    timeout: TimeoutOption = None,
    deadline: DeadlineOption = None,
    to: ToOption = None,
    strategy: StrategyOption = None,
    key: KeyOption = None,
    retries: RetriesOption = None,
    priority: PriorityOption = None,
    requires: RequiresOption = None,
    exclusive: ExclusiveOption = None,
    folder: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a task and print its id; do not wait for it."""
    from mesh.client import Client

    values, alone = parse_inputs(inputs or []), exclusive_of(exclusive)
    with Client(dir=folder) as client:
        view = with_options(
            client,
            timeout=timeout, deadline=deadline, to=to, strategy=strategy, key=key,
            retries=retries, priority=priority, requires=requires,
            exclusive=alone,
        )  # fmt: skip
        handle = view.submit(skill, **values)
        if as_json:
            print_json(client.task(handle.id))
        else:
            print(handle.id)


def map_inputs(
    skill: SkillArgument,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="JSON lines, one object of inputs each; - reads stdin.",
            dir_okay=False,
        ),
    ],
    timeout: TimeoutOption = None,
    deadline: DeadlineOption = None,
    to: ToOption = None,
    strategy: StrategyOption = None,
    retries: RetriesOption = None,
    priority: PriorityOption = None,
    requires: RequiresOption = None,
    exclusive: ExclusiveOption = None,
    folder: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Call a skill once per line of a file; print each outcome as it comes.

    Each line carries the index of its input, from 0; blank lines of the file
    are passed over, and not counted. Exit status 1 where any task failed.
    """
    from mesh.client import Client

    alone = exclusive_of(exclusive)
    failed = done = 0
    with Client(dir=folder) as client, Progress("tasks") as progress:
        view = with_options(
            client,
            timeout=timeout, deadline=deadline, to=to, strategy=strategy,
            retries=retries, priority=priority, requires=requires,
            exclusive=alone,
        )  # fmt: skip
        for index, outcome in view.map_unordered(skill, read_lines(file)):
            line = outcome_line(outcome)
            print_json({"index": index, **line})
            if not done and line["state"] == "refused" and line["error"]["kind"] == UNKNOWN_SKILL:
                # All inputs ask for the same skill: the others would be told the same.
                fail(line["error"]["message"], FAILED)
            done += 1
            failed += line["state"] != "done"
            progress.advance(failed=failed)
    if not as_json:
        say(f"{done} tasks, {failed} failed")
    if failed:
        raise SystemExit(FAILED)


def with_options(client: "Client", **changes: Any) -> "Client":
    """A client's view with these options.

    Raises:
        SystemExit: one of them is out of range, or no such thing.
    """
    try:
        return client.options(**changes)
    except ValueError as error:
        fail(str(error), USAGE)


def exclusive_of(given: str | None) -> bool | str | None:
    """What ``--exclusive`` says, as the option of a client.

    Raises:
        SystemExit: it is no key.
    """
    from mesh.local.options import exclusive_key

    if given is None or given == "-":
        return None if given is None else True
    try:
        return exclusive_key(given)
    except ValueError as error:
        fail(f"--exclusive: {error}", USAGE)


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The inputs of a JSON lines file, lazily; blank lines are passed over.

    Raises:
        SystemExit: a line is not a JSON object; says which.
    """
    with open_lines(file) as lines:
        for number, text in enumerate(_decoded(file, lines), 1):
            if not text.strip():
                continue
            try:
                value = parse_json(text)
            except ValueError as error:
                fail(f"{file}, line {number}: not JSON: {error}", USAGE)
            if not isinstance(value, dict):
                fail(f"{file}, line {number}: not an object of keyword inputs", USAGE)
            yield value


def _decoded(file: Path, lines: TextIO) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        fail(f"{file} is not UTF-8 text: {error}", USAGE)


def open_lines(file: Path) -> TextIO:
    """A file to read lines from; ``-`` is stdin."""
    if str(file) == "-":
        return sys.stdin
    try:
        return file.open(encoding="utf-8")
    except OSError as error:
        fail(f"{file}: {error.strerror}", USAGE)


def outcome_line(outcome: "Outcome") -> dict[str, Any]:
    """An outcome with the stable keys of `call`, `task` and `map`."""
    error = outcome.error
    return {
        "task": outcome.task or None,
        "state": outcome.state,
        "result": outcome.value,
        "error": None if error is None else {"kind": error.kind, "message": error.message},
        "attempts": outcome.attempts,
        "incomplete": outcome.incomplete,
        "producer": outcome.producer or None,
    }


def say_incomplete(line: dict[str, Any]) -> None:
    """That parts of a result are missing, for people."""
    say(f"mesh: this result is incomplete: `mesh why {line['task']}` tells what is missing")


def say_failure(line: dict[str, Any]) -> None:
    """Why a task has no result, for people."""
    error = line["error"] or {"kind": line["state"], "message": ""}
    from mesh.local.errors import counted

    tries = counted(line["attempts"], "attempt")
    say(f"mesh: task {line['task']} {line['state']} after {tries}")
    say(f"{error['kind']}: {error['message']}".rstrip(": "))
    say(f"`mesh why {line['task']}` tells the whole story")
