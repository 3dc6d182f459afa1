"""The verbs that look at tasks: tasks, task, cancel, why."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.ballots import ballot_of, ballot_story, tell_ballot
from mesh.cli.options import DirOption, JsonOption, finite
from mesh.cli.output import (
    FAILED,
    TIMED_OUT,
    fail,
    line_of,
    print_json,
    print_table,
    print_value,
)
from mesh.cli.spending import spent, told
from mesh.cli.work import say_failure, say_incomplete

if TYPE_CHECKING:
    from mesh.client import Client

LISTED_LIMIT = 10_000
"""The most that a peer lists at once."""
STATES = (
    "accepted",
    "running",
    "waiting",
    "done",
    "failed",
    "dead",
    "cancelled",
    "expired",
)
FAILURES = ("failed", "dead", "cancelled", "expired")
"""States of a task that has ended without a result."""
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
"""`task --wait` asks again after pauses that grow from the one to the other."""
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="The task's id.")]


def tasks(
    state: Annotated[
        list[str] | None, typer.Option("--state", help="Only tasks in this state; may repeat.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=LISTED_LIMIT, help="At most so many, newest first.")
    ] = 50,
    folder: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the tasks that the mesh's local peers have accepted, newest first."""
    for word in state or []:
        if word not in STATES:
            raise typer.BadParameter(f"{word!r} is no state; there are {', '.join(STATES)}")
    rows = _from_all(folder, {"states": state or [], "limit": limit})[:limit]
    if as_json:
        for row in rows:
            print_json(row)
        return
    for row in rows:
        row["age"] = _age(row.get("accepted"))
    columns = ["task", "state", "skill", "attempts", "producer", "age"]
    if any(row.get("reason") for row in rows):
        columns.insert(2, "reason")
        for row in rows:
            row["reason"] = row.get("reason") or ""
    print_table(rows, columns)


def _from_all(folder: Path | None, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """The tasks of every local peer that answers, newest first.

    Raises:
        NoPeer: none answers.
    """
    from mesh.local.ask import NoAnswer, QuestionRefused, ask
    from mesh.local.discovery import find_folder, sockets
    from mesh.local.errors import NoPeer, nobody_answers

    rows: list[dict[str, Any]] = []
    problems: list[tuple[str, str]] = []
    addresses = sockets(find_folder(folder))
    for name, address in addresses:
        try:
            rows += ask(address, "tasks", arguments)
        except NoAnswer as error:
            problems.append((name, error.in_short))
        except QuestionRefused as error:
            problems.append((name, str(error)))
    if len(problems) == len(addresses):
        raise NoPeer(nobody_answers(problems))
    return sorted(rows, key=lambda row: row["accepted"] or 0, reverse=True)


def task(
    task_id: TaskArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it has ended.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            callback=finite,
            metavar="SECONDS",
            min=0,
            help="How long to wait; else for ever.",
        ),
    ] = None,
    folder: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one task: its state and, when it is done, its result.

    Exit status 1 where it ended without a result, 4 where --timeout ran out.
    """
    from mesh.client import Client

    if timeout is not None and not wait:
        raise typer.BadParameter("--timeout is how long to --wait")
    with Client(dir=folder) as client:
        row = _ended(client, task_id, timeout) if wait else client.task(task_id)
    if as_json:
        print_json(row)
    elif row["state"] == "done":
        print_value(row["result"])
        if row["incomplete"]:
            say_incomplete(row)
    elif row["error"]:
        say_failure(row)
    else:
        print(line_of(f"{row['state']}, attempt {row['attempts']}{_progress(row)}"))
    if row["state"] in FAILURES:
        raise SystemExit(FAILED)
    if wait and row["state"] != "done":
        fail(f"task {task_id} has not ended within {timeout:g} s and goes on", TIMED_OUT)


def _ended(client: "Client", task_id: str, timeout: float | None) -> dict[str, Any]:
    """A task once it has ended, or as it is when the time is up."""
    until = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_PAUSE_S
    while True:
        row = client.task(task_id)
        left = LONGEST_PAUSE_S if until is None else until - time.monotonic()
        if row["state"] in ("done", *FAILURES) or left <= 0:
            return row
        time.sleep(min(pause, left))
        pause = min(1.5 * pause, LONGEST_PAUSE_S)


def cancel(task_id: TaskArgument, folder: DirOption = None, as_json: JsonOption = False) -> None:
    """Stop a task wherever it runs."""
    from mesh.client import Client

    with Client(dir=folder) as client:
        state = client.cancel(task_id)
        if not state:
            fail(f"no peer that can be reached knows a task {task_id!r}")
        if as_json:
            print_json(client.task(task_id))
        elif state == "cancelled":
            print("cancelled")
    if state != "cancelled":
        fail(f"task {task_id} was {state} already: nothing to cancel")


def why(task_id: TaskArgument, folder: DirOption = None, as_json: JsonOption = False) -> None:
    """Tell a task's story: lots, bids, attempts, failures, result, and where its time went.

    A ballot's, by its id: what came of it, and the story of each answer given here.
    """
    from mesh.client import Client
    from mesh.local.discovery import find_folder

    home = find_folder(folder)
    if ballot := ballot_of(home, task_id):
        _why_ballot(home, ballot, as_json)
        return
    with Client(dir=home) as client:
        story = client.why(task_id)
        if story["custodian"] != client.home:
            story = _from_custodian(home, story)
    story.update(spent(home, story))
    if story.get("strategy") == "board":
        story["claims"] = _claims(home, story)
    if as_json:
        print_json(story)
        return
    for line in [*tell(story), *told(story)]:
        print(line_of(line))


def _why_ballot(folder: Path, ballot: str, as_json: bool) -> None:
    story = ballot_story(folder, ballot)
    if not story["voters"]:
        fail(
            f"no peer of this folder has answered in a ballot {ballot}, and no certificate of it "
            "is kept here: it may be long ago, or its voters run on other hosts"
        )
    if as_json:
        print_json(story)
        return
    for line in tell_ballot(story):
        print(line_of(line))


def _claims(folder: Path, story: dict[str, Any]) -> list[dict[str, Any]]:
    """Who claimed its work; of before its custodian was started again, by the events."""
    from mesh.telemetry.finding import claims

    known = {each["lot"]: each for each in story["claims"]}
    lots = [attempt["lot"] for attempt in story["history"] if attempt["lot"]]
    known |= {
        each["lot"]: each for each in claims(folder, (lot for lot in lots if lot not in known))
    }
    return [known[lot] for lot in dict.fromkeys(lots) if lot in known]


def _from_custodian(folder: Path, story: dict[str, Any]) -> dict[str, Any]:
    """The story as its custodian tells it, where that is a local peer: it alone knows the lots."""
    from mesh.local.ask import NoAnswer, QuestionRefused, ask
    from mesh.local.discovery import sockets

    local = dict(sockets(folder))
    address = local.get(story["custodian"])
    if address is None:
        return story
    try:
        told: dict[str, Any] = ask(address, "why", {"task": story["task"]})
    except (NoAnswer, QuestionRefused):
        return story
    return told


def tell(story: dict[str, Any]) -> list[str]:
    """A task's story in lines, times relative to when it was accepted."""
    begin = story["accepted"]
    lines = [
        f"task {story['task']}: {story['skill']}, {story['state']}",
        f"  +0.000 s  accepted by {story['custodian']}"
        + (f" for task {story['parent']}" if story["parent"] else ""),
    ]
    if story.get("strategy") == "least_loaded":
        lines.append("            no auction: of two peers drawn, the less loaded (least_loaded)")
    if story.get("strategy") == "board":
        lines.append("            no auction: offered on the blackboard, to whoever claims it")
    if story.get("exclusive"):
        lines.append(f"            exclusive: under the lease 'tasks/{story['exclusive']}'")
    lots = {lot["lot"]: lot for lot in story["lots"]}
    claims = {each["lot"]: each for each in story.get("claims", ())}
    told: list[str] = []
    for attempt in story["history"]:
        if attempt["lot"] in claims:
            lines += _claim_lines(claims.pop(attempt["lot"]))
        lot = lots.get(attempt["lot"])
        if lot is not None and lot["lot"] not in told:
            told.append(lot["lot"])
            lines += _lot_lines(lot, begin)
        lines += _attempt_lines(attempt, begin)
    if story["settled"]:
        lines.append(f"  {_since(begin, story['settled'])}  {story['state']}{_ending(story)}")
    else:
        lines.append(f"  so far: {story['state']}{_progress(story)}")
        if story.get("waits_for"):
            lines.append(f"  waits for {story['waits_for']}")
    for breaker in story.get("breakers", ()):
        if breaker["state"] != "closed":
            lines.append(
                f"  {breaker['peer']} is not asked for {breaker['skill']} now: its circuit breaker "
                f"is {breaker['state']}, {breaker['faults']} of {breaker['outcomes']} were faults"
            )
    if story["children"]:
        lines.append(f"  children: {', '.join(story['children'])}")
    elsewhere = sorted({each["peer"] for each in story["history"]} - {story["custodian"]})
    if elsewhere:
        lines.append(
            f"  children that it submitted at {', '.join(elsewhere)} are told there only: "
            "`mesh tasks` lists the tasks of all local peers"
        )
    return lines


def _lot_lines(lot: dict[str, Any], begin: float) -> list[str]:
    lines = [
        f"  {_since(begin, lot['opened'])}  lot {lot['lot']} opened for {lot['units']} slots; "
        f"{lot['awarded']} awarded at {_since(begin, lot['cleared']).strip()}"
    ]
    for bid in lot["bids"]:
        offer = (
            f"offered {bid['units']} slots, first done in {bid['completion_ms']:.1f} ms"
            if bid["units"]
            else "no offer"
        )
        won = f", won {bid['slots']}" if bid["slots"] else ""
        lines.append(f"             {bid['bidder']}: {offer}: {bid['outcome']}{won}")
    return lines


def _claim_lines(decided: dict[str, Any]) -> list[str]:
    lines = []
    for claim in decided["claims"]:
        places = f"{claim['places']} place{'s' if claim['places'] != 1 else ''}"
        given = f"given {claim['given']}" if claim["given"] else "given nothing"
        lines.append(
            f"             {claim['peer']} claims {places}, {claim['load_ms']} ms to do: {given}"
        )
    return lines


def _attempt_lines(attempt: dict[str, Any], begin: float) -> list[str]:
    number, peer = attempt["attempt"], attempt["peer"]
    token = attempt.get("fencing_token")
    under = f", under token {token}" if token else ""
    lines = [f"  {_since(begin, attempt['started'])}  attempt {number} at {peer}{under}"]
    if attempt["ended"]:
        message = attempt["message"].partition("\n")[0]
        told = f": {message}" if message else ""
        lines.append(
            f"  {_since(begin, attempt['ended'])}  attempt {number} {attempt['status']}{told}"
        )
    return lines


def _ending(story: dict[str, Any]) -> str:
    if story["state"] == "done":
        return f" by {story['producer']}" + _incomplete(story)
    error = story["error"]
    return f": {error['kind']}: {error['message'].partition(chr(10))[0]}" if error else ""


def _incomplete(story: dict[str, Any]) -> str:
    if not story["incomplete"]:
        return ""
    error = story["error"]
    return f" (incomplete: {error['message'].partition(chr(10))[0]})" if error else " (incomplete)"


def _since(begin: float, instant: float | None) -> str:
    return f"{instant - begin:+7.3f} s" if instant else "        ?"


def _progress(row: dict[str, Any]) -> str:
    return f", {row['progress']}" if row.get("progress") else ""


def _age(accepted: float | None) -> str:
    if accepted is None:
        return ""
    seconds = max(0, time.time() - accepted)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
