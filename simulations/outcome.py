"""One execution of a plan and how it ended, violations included."""

import re
import time
import traceback
from collections.abc import Callable

import msgspec

from protocols.machine import SECOND_NS
from simulations.plan import Plan
from simulations.run import Report, Run
from simulations.trace import Tracer
from simulations.world import Violation

Listen = Callable[[dict[bytes, str]], Tracer]
"""Makes a tracer for a run, from the names of its peers by their ids."""
_NAMED = re.compile(r"([a-z][a-z0-9]*(?:-[a-z0-9]+)+)\b")


class Failure(msgspec.Struct, frozen=True):
    """What went wrong in a run.

    Attributes:
        invariant: the name of the broken invariant; of another exception, its type.
        message: what was seen, in a line.
        trace: the traceback.
        at_s: the virtual time.
    """

    invariant: str
    message: str
    trace: str
    at_s: float


class Outcome(msgspec.Struct, frozen=True):
    """How a run ended: with a report, or with a failure.

    Attributes:
        seconds: the processor time that it took.
    """

    scenario: str
    seed: int
    digest: str
    virtual_seconds: float
    events: int
    seconds: float
    coverage: dict[str, int]
    report: Report | None = None
    failure: Failure | None = None


def execute(plan: Plan, listen: Listen | None = None) -> Outcome:
    """Executes a plan; whatever goes wrong is in the outcome."""
    begun = time.process_time()
    run = Run(plan)
    world = run.world
    if listen is not None:
        world.tracer = listen({peer.peer: peer.name for peer in world.peers})
    report, failure = None, None
    try:
        report = run.execute()
    except BrokenPipeError:
        raise  # of who listens: the reader of what is printed is gone
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported with its seed
        failure = _failure(error, world.now / SECOND_NS)
    return Outcome(
        plan.scenario.name,
        plan.seed,
        world.digest,
        world.now / SECOND_NS,
        world.events,
        time.process_time() - begun,
        dict(sorted(world.coverage.items())),
        report,
        failure,
    )


def _failure(error: Exception, at_s: float) -> Failure:
    message = str(error).partition("\n")[0]
    told = "".join(traceback.format_exception(error))
    return Failure(invariant_of(error), message or type(error).__name__, told, at_s)


def invariant_of(error: Exception) -> str:
    """The name of the invariant that an error says is broken; its type where it names none."""
    named = _NAMED.match(str(error)) if isinstance(error, AssertionError | Violation) else None
    return named[1] if named is not None else type(error).__name__
