"""The verbs `sim replay`, `sim shrink` and `sim report`: what to do with a saved plan."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.options import JsonOption
from mesh.cli.output import FAILED, USAGE, fail, print_json
from mesh.cli.sim import INTERRUPTED, outcome_json, outcome_lines, replay_command, save_plan

if TYPE_CHECKING:
    from simulations.outcome import Outcome
    from simulations.plan import Plan
    from simulations.shrink import Shrunk
    from simulations.trace import TraceEntry, Wanted, Words

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="A plan that `sim run` or `sim sweep` saved.")
]
COLOURS = {
    "accuse": "31", "command": "36", "disk": "90", "event": "33", "fault": "1;31",
    "frame": "90", "job": "32", "network": "35", "send": "34", "wake": "90", "world": "1",
}  # fmt: skip
"""ANSI colours of the kinds of entries, on a terminal."""


def replay(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A saved plan, or a real peer's recording.")
    ],
    peer: Annotated[
        list[str] | None, typer.Option("--peer", help="Only what this peer meets; may repeat.")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="Only what speaks of this task; may repeat.")
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only entries of this kind; may repeat.")
    ] = None,
    begin: Annotated[float, typer.Option("--from", min=0, help="From this second on.")] = 0.0,
    until: Annotated[float | None, typer.Option("--until", min=0, help="To this second.")] = None,
    step: Annotated[
        bool, typer.Option("--step", help="Wait for Enter after each entry; q ends it.")
    ] = False,
    boot: Annotated[
        int | None, typer.Option("--boot", min=1, help="Of a recording: which start of the peer.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Do not cut lines to the terminal.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Execute a saved plan again and print what happens, entry by entry.

    Kinds: accuse, command, disk, event, fault, frame, job, network, send,
    wake, world.

    Exit status 1 where the run violates an invariant.
    """
    from protocols.machine import SECOND_NS
    from simulations.trace import Wanted

    _check_filters(kind or [], (begin, until))
    wanted = Wanted(
        tuple(peer or ()),
        tuple(task or ()),
        tuple(kind or ()),
        int(begin * SECOND_NS),
        None if until is None else int(until * SECOND_NS),
    )
    printer = Printer(as_json, step and sys.stdin.isatty(), full)
    try:
        if _is_recording(file):
            failed = _replay_recording(file, boot, wanted, printer)
        else:
            failed = _replay_plan(file, wanted, printer)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    if failed:
        raise SystemExit(FAILED)


def _replay_plan(file: Path, wanted: "Wanted", printer: "Printer") -> bool:
    """Replays a plan; whether it violates an invariant."""
    from simulations.replay import replay_plan

    plan = read_plan(file)
    names = [f"peer-{index + 1}" for index in range(plan.scenario.peers)]
    for name in wanted.peers:
        if name not in names:
            fail(f"no peer is called {name!r}: there are {names[0]} to {names[-1]}", USAGE)
    outcome = replay_plan(plan, wanted, printer.show)
    if printer.as_json:
        print_json({**outcome_json(outcome, file), "entries": printer.shown})
    else:
        for text in outcome_lines(outcome, None):
            print(text)
    return outcome.failure is not None


def _replay_recording(file: Path, boot: int | None, wanted: "Wanted", printer: "Printer") -> bool:
    """Replays the recording of a real peer; whether its core raised."""
    import msgspec

    from simulations.answers import Diverged
    from simulations.reexecute import NotReplayable
    from simulations.replay import replay_recording

    try:
        played = replay_recording(file, boot, wanted, printer.show)
    except NotReplayable as error:
        fail(str(error), USAGE)
    except Diverged as error:
        fail(str(error), FAILED)
    if printer.as_json:
        violations = [{"message": played.error}] if played.error else []
        told = msgspec.to_builtins(played)
        print_json({**told, "entries": printer.shown, "violations": violations})
    else:
        endings = {"closed": "in order", "cut": "cut off", "raised": "with an error"}
        seconds = (played.ended_ns - played.begun_ns) / 1e9
        print(f"{played.name}, start {played.boot}: the same state and digest as recorded")
        print(f"  {played.inputs:,} inputs in {seconds:.1f} s; it ends {endings[played.ending]}")
        print(f"  digest {played.digest}")
        if played.error:
            print(f"  its core raised {played.error}")
    return bool(played.error)


def _is_recording(file: Path) -> bool:
    """Whether a file, or a folder, holds a recording; ends the process where it is not readable."""
    from simulations.reexecute import is_recording

    try:
        found = is_recording(file)
    except OSError as error:
        fail(f"{file}: {error.strerror}", USAGE)
    if file.is_dir() and not found:
        fail(f"{file} holds no recording; a peer's are in MESH/peers/PEER/recording", USAGE)
    return found


class Printer:
    """Prints entries: cut to the width of a terminal, whole in a pipe."""

    def __init__(self, as_json: bool, step: bool, full: bool) -> None:
        """Takes how. `step` waits for Enter after each."""
        self.shown = 0
        self.as_json = as_json
        self._step = step
        live = sys.stdout.isatty()
        self._width = shutil.get_terminal_size().columns if live and not full else 0
        self._colours = live and not os.environ.get("NO_COLOR")

    def show(self, entry: "TraceEntry", words: "Words") -> None:
        """Prints one entry.

        Raises:
            KeyboardInterrupt: whoever steps through has seen enough.
        """
        self.shown += 1
        if self.as_json:
            at = round(entry.at_ns / 1e9, 9)
            line = {"at": at, "peer": entry.peer, "kind": entry.kind, "what": entry.what}
            print_json({**line, "text": words.text(entry)})
            return
        text = words.line(entry)
        if self._width and len(text) > self._width:
            text = text[: self._width - 1] + "…"
        if self._colours:
            text = f"\x1b[{COLOURS[entry.kind]}m{text}\x1b[0m"
        print(text)
        if self._step and sys.stdin.readline().strip().lower() in ("q", "quit"):
            raise KeyboardInterrupt


def _check_filters(kinds: list[str], span: tuple[float, float | None]) -> None:
    from simulations.trace import KINDS

    for name in kinds:
        if name not in KINDS:
            fail(f"no entry is of the kind {name!r}: there are {', '.join(KINDS)}", USAGE)
    if span[1] is not None and span[1] < span[0]:
        fail(f"--until {span[1]:g} is before --from {span[0]:g}", USAGE)


def shrink(
    file: FileArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where it goes; else FILE.min.json."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take faults out of a failing plan until none can go without its violation going too.

    Then the run is made shorter and the mesh smaller. Exit status 2 where the
    plan violates nothing. Ctrl-C keeps the smallest plan found so far.
    """
    from simulations.shrink import NothingToShrink, Shrinker

    plan = read_plan(file)
    target = out or file.with_suffix(".min.json")
    live = sys.stderr.isatty()

    def tried(tries: int, best: "Plan") -> None:
        if live:
            sys.stderr.write(f"\r\x1b[K{tries} tries: {_size(best)}")
            sys.stderr.flush()

    shrinker, interrupted = Shrinker(plan, tried), False
    try:
        shrunk = shrinker.shrink()
    except NothingToShrink as error:
        fail(f"{file}: {error}", USAGE)
    except KeyboardInterrupt:
        interrupted, found = True, shrinker.best
        if found is None:
            raise SystemExit(INTERRUPTED) from None
        shrunk = found
    finally:
        if live:
            sys.stderr.write("\r\x1b[K")
    save_plan(shrunk.plan, target)
    if as_json:
        print_json(_shrunk_json(plan, shrunk, target, interrupted))
    else:
        _show_shrunk(plan, shrunk, target)
    if interrupted:
        raise SystemExit(INTERRUPTED)


def _size(plan: "Plan") -> str:
    scenario = plan.scenario
    return f"{len(plan.faults)} faults, {scenario.peers} peers, {scenario.duration_s:g} s"


def _shrunk_json(plan: "Plan", shrunk: "Shrunk", target: Path, interrupted: bool) -> dict[str, Any]:
    import msgspec

    return {
        "scenario": plan.scenario.name,
        "seed": plan.seed,
        "plan": str(target),
        "violations": [{"invariant": shrunk.failure.invariant, "message": shrunk.failure.message}],
        "faults": msgspec.to_builtins(shrunk.plan.faults),
        "faults_before": len(plan.faults),
        "peers": shrunk.plan.scenario.peers,
        "duration": shrunk.plan.scenario.duration_s,
        "tries": shrunk.tries,
        "interrupted": interrupted,
        "replay": replay_command(target),
    }


def _show_shrunk(plan: "Plan", shrunk: "Shrunk", target: Path) -> None:
    from simulations.trace import Words

    words = Words({})
    print(f"{shrunk.failure.invariant} stays with {_size(shrunk.plan)}; it was {_size(plan)}")
    print(f"  {shrunk.failure.message}")
    for fault in shrunk.plan.faults:
        print(f"  {words.value(fault)}")
    print(f"  {shrunk.tries} tries; {replay_command(target)}")


def report(
    file: FileArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where it goes; else FILE.html.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML page on a run: members, tasks, faults, detection, messages, bandwidth.

    It needs no network and no script. FILE is a plan: `mesh sim run SCENARIO --save FILE`.
    """
    from simulations.report import Facts, page
    from simulations.story import tell

    plan = read_plan(file)
    target = out or file.with_suffix(".html")
    outcome, story = tell(plan)
    failure = outcome.failure
    facts = Facts(
        outcome.scenario,
        outcome.seed,
        outcome.digest,
        outcome.virtual_seconds,
        outcome.events,
        "" if failure is None else f"{failure.message} (after {failure.at_s:.3f} s)",
        replay_command(file),
    )
    try:
        target.write_text(page(facts, story), encoding="utf-8")
    except OSError as error:
        fail(f"cannot write {target}: {error.strerror}", USAGE)
    if as_json:
        print_json({**outcome_json(outcome, file), "report": str(target)})
    else:
        _show_report(outcome, target)


def _show_report(outcome: "Outcome", target: Path) -> None:
    failure = outcome.failure
    verdict = f"violated {failure.invariant}" if failure is not None else "every invariant held"
    print(f"{outcome.scenario}, seed {outcome.seed}: {verdict}")
    print(f"  open {target} in a browser")


def read_plan(file: Path) -> "Plan":
    """A plan from its file; ends the process where it cannot be read."""
    from simulations.finding import read_plan as read
    from simulations.plan import PlanError

    try:
        return read(file)
    except PlanError as error:
        fail(str(error), USAGE)
