"""The verbs `sim list`, `sim run` and `sim sweep`: a mesh in virtual time, under faults.

`sim_files.py` has those that take a saved plan. Nothing of the simulator is
imported before a verb of it runs.
"""

import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mesh.cli.options import JsonOption
from mesh.cli.output import FAILED, USAGE, fail, print_json, print_table, say
from mesh.cli.progress import Progress

if TYPE_CHECKING:
    from simulations.keyrings import Signatures
    from simulations.outcome import Outcome
    from simulations.plan import Plan
    from simulations.scenario import Scenario
    from simulations.sweep import Tally

INTERRUPTED = 130
SHOWN_FAILURES = 20
"""Failing seeds of a sweep that are told one by one, with their plans saved."""
FOLDER = Path("mesh-sim")
"""Where plans of failing runs go."""

ScenarioArgument = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="A scenario's name, or a TOML file of your own.")
]
PeersOption = Annotated[
    int | None, typer.Option("--peers", min=1, help="As many peers; else the scenario's.")
]
DurationOption = Annotated[
    float | None,
    typer.Option("--duration", min=0.1, help="Virtual seconds of load and faults."),
]
SignaturesOption = Annotated[
    Literal["stand-in", "ed25519"] | None,
    typer.Option("--signatures", help="How peers sign; ed25519 is as in production."),
]
FolderOption = Annotated[
    Path, typer.Option("--plans", metavar="FOLDER", help="Where plans of failing runs go.")
]


def list_scenarios(as_json: JsonOption = False) -> None:
    """List the scenarios that have a name."""
    from simulations.scenario import SCENARIOS

    rows = [
        {
            "scenario": scenario.name,
            "peers": scenario.peers,
            "duration": scenario.duration_s,
            "liars": list(scenario.liars),
            "summary": scenario.summary or told_rates(scenario),
        }
        for scenario in SCENARIOS.values()
    ]
    if as_json:
        for row in rows:
            print_json(row)
        return
    print_table(rows, ["scenario", "peers", "duration", "summary"])


def told_rates(scenario: "Scenario") -> str:
    """What a scenario without a summary does, in the words of its own fields."""
    from msgspec.structs import asdict, fields

    rates = scenario.rates
    told = [
        f"{field.name} {getattr(rates, field.name):g}"
        for field in fields(rates)
        if getattr(rates, field.name) != field.default
    ]
    told += [f"liar: {name}" for name in scenario.liars]
    told += [f"{len(scenario.faults)} faults of its own"] if scenario.faults else []
    harm = asdict(scenario.behaviour)
    told += [f"{name} {harm[name]:g}" for name in ("failing", "hanging", "crashing") if harm[name]]
    return ", ".join(told) or "nothing goes wrong"


def run(
    scenario: ScenarioArgument,
    seed: Annotated[int, typer.Option("--seed", min=0, help="What is drawn, and when.")] = 0,
    peers: PeersOption = None,
    duration: DurationOption = None,
    signatures: SignaturesOption = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Write the plan of the run here.")
    ] = None,
    plans: FolderOption = FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Run a scenario under one seed.

    Exit status 1 where an invariant was violated: the plan is saved, and the
    command that replays it is printed.
    """
    from simulations.outcome import execute
    from simulations.plan import draw

    plan = draw(scenario_of(scenario, peers, duration, signatures), seed)
    if save is not None:
        save_plan(plan, save)
    outcome = execute(plan)
    file = save
    if outcome.failure is not None and file is None:
        file = save_plan(plan, plan_file(plans, plan))
    if as_json:
        print_json(outcome_json(outcome, file))
    else:
        for text in outcome_lines(outcome, file):
            print(text)
    if outcome.failure is not None:
        raise SystemExit(FAILED)


def sweep(
    scenario: ScenarioArgument,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many seeds.")] = 100,
    seed_base: Annotated[int, typer.Option("--seed-base", min=0, help="The first seed.")] = 0,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="How many processes; else one per core.")
    ] = None,
    peers: PeersOption = None,
    duration: DurationOption = None,
    signatures: SignaturesOption = None,
    plans: FolderOption = FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Run a scenario under many seeds; print which fault met which phase.

    Exit status 1 where a seed failed, or where the scenario never met what
    it is there for.
    Ctrl-C or SIGTERM stops it and prints what there is by then.
    """
    from simulations.plan import draw
    from simulations.sweep import Tally, WorkerDied
    from simulations.sweep import sweep as outcomes

    chosen = scenario_of(scenario, peers, duration, signatures)
    tally, interrupted = Tally(), False
    each = outcomes(chosen, range(seed_base, seed_base + seeds), jobs or os.cpu_count() or 1)
    try:
        with _stops_by_signal(), closing(each), Progress("seeds", seeds) as progress:
            for outcome in each:
                tally.add(outcome)
                if outcome.failure is not None and len(tally.failed) <= SHOWN_FAILURES:
                    plan = draw(chosen, outcome.seed)
                    file = save_plan(plan, plan_file(plans, plan))
                    progress.clear()
                    for text in outcome_lines(outcome, file):
                        say(text)
                progress.advance(failed=len(tally.failed))
    except KeyboardInterrupt:
        interrupted = True
    except WorkerDied as error:
        fail(str(error), FAILED)
    unmet = tally.unmet(chosen)
    if as_json:
        print_json(_sweep_json(chosen, tally, interrupted))
    else:
        _show_sweep(chosen, tally, interrupted)
    if tally.failed or unmet:
        raise SystemExit(FAILED)
    if interrupted:
        raise SystemExit(INTERRUPTED)


@contextmanager
def _stops_by_signal() -> Iterator[None]:
    """SIGTERM ends like Ctrl-C, and so does SIGINT where a shell's background ignores it."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _sweep_json(scenario: "Scenario", tally: "Tally", interrupted: bool) -> dict[str, Any]:
    unmet = tally.unmet(scenario)
    return {
        "scenario": scenario.name,
        "seeds": tally.runs,
        "failed": tally.failed_seeds,
        "violations": {
            str(outcome.seed): outcome.failure.invariant
            for outcome in sorted(tally.failed, key=lambda outcome: outcome.seed)
            if outcome.failure is not None
        },
        "coverage": dict(sorted(tally.coverage.items())),
        "unmet": None if unmet is None else list(unmet),
        "events": tally.events,
        "events_per_second": round(tally.events / max(tally.seconds, 1e-9)),
        "virtual_seconds": round(tally.virtual_seconds, 3),
        "interrupted": interrupted,
    }


def _show_sweep(scenario: "Scenario", tally: "Tally", interrupted: bool) -> None:
    from simulations.sweep import JUDGED_FROM

    for what, count in sorted(tally.coverage.items()):
        print(f"{count:10,}  {what}")
    stopped = ", interrupted" if interrupted else ""
    rate = tally.events / max(tally.seconds, 1e-9)
    print(
        f"{scenario.name}: {tally.runs} seeds{stopped}, {len(tally.failed)} failed; "
        f"{tally.events:,} events, {rate:,.0f} a second of processor time"
    )
    if tally.failed:
        print("failed seeds: " + " ".join(map(str, tally.failed_seeds)))
    unmet = tally.unmet(scenario)
    if unmet:
        print("never met anything, which is a failure of the scenario: " + "; ".join(unmet))
    elif unmet is None and scenario.must_meet:
        print(f"whether every fault met something is judged from {JUDGED_FROM} seeds on")


# What the verbs of `sim_files.py` need too.


def scenario_of(
    word: str, peers: int | None, duration: float | None, signatures: "Signatures | None" = None
) -> "Scenario":
    """The scenario that somebody named, as they want it; ends the process where there is none."""
    from simulations.finding import find_scenario, resized
    from simulations.plan import PlanError, draw

    try:
        scenario = resized(find_scenario(word), peers, duration, signatures)
        draw(scenario, 0)  # a fault that names a peer too many is told at once
    except PlanError as error:
        fail(str(error), USAGE)
    return scenario


def plan_file(folder: Path, plan: "Plan") -> Path:
    """Where the plan of a failing run goes."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", plan.scenario.name).strip(".-") or "scenario"
    return folder / f"{name}-{plan.seed}.json"


def save_plan(plan: "Plan", file: Path) -> Path:
    """Writes a plan; ends the process where it cannot be written."""
    from simulations.plan import save

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save(plan, file)
    except OSError as error:
        fail(f"cannot write {file}: {error.strerror}", USAGE)
    return file


def replay_command(file: Path, verb: str = "replay") -> str:
    """What to paste to see a plan again."""
    return f"mesh sim {verb} {shlex.quote(str(file))}"


def outcome_json(outcome: "Outcome", file: Path | None) -> dict[str, Any]:
    """An outcome with the stable keys of `sim run`, and more."""
    failure, report = outcome.failure, outcome.report
    violations = []
    if failure is not None:
        violations = [
            {"invariant": failure.invariant, "message": failure.message, "at": failure.at_s}
        ]
    value: dict[str, Any] = {
        "scenario": outcome.scenario,
        "seed": outcome.seed,
        "digest": outcome.digest,
        "virtual_seconds": round(outcome.virtual_seconds, 6),
        "events": outcome.events,
        "violations": violations,
        "tasks": report.tasks if report is not None else None,
        "states": report.states if report is not None else None,
        "coverage": outcome.coverage,
        "plan": str(file) if file is not None else None,
    }
    if failure is not None and file is not None:
        value["replay"] = replay_command(file)
    return value


def outcome_lines(outcome: "Outcome", file: Path | None) -> list[str]:
    """An outcome for people."""
    failure, report = outcome.failure, outcome.report
    head = f"{outcome.scenario}, seed {outcome.seed}"
    spent = (
        f"  {outcome.virtual_seconds:.1f} virtual seconds and {outcome.events:,} events "
        f"in {outcome.seconds:.1f} s"
    )
    if failure is None:
        lines = [f"{head}: every invariant held", spent]
        if report is not None:
            states = ", ".join(f"{count} {state}" for state, count in report.states.items())
            lines.append(f"  {report.tasks} tasks: {states}")
        lines.append(f"  digest {outcome.digest}")
        return lines + ([f"  plan saved: {replay_command(file)}"] if file is not None else [])
    lines = [
        f"{head}: VIOLATED {failure.invariant} after {failure.at_s:.3f} virtual seconds",
        f"  {failure.message}",
    ]
    if failure.message.partition(":")[0] != failure.invariant:
        lines += ["  " + text for text in failure.trace.rstrip().splitlines()[-6:]]
    if file is not None:
        lines += [f"  replay it: {replay_command(file)}"]
        lines += [f"  shrink it: {replay_command(file, 'shrink')}"]
    return lines


def is_terminal() -> bool:
    """Whether people read stdout as it comes."""
    return sys.stdout.isatty()
