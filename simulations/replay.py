"""Replays: a saved plan executed again, as a stream of entries that somebody wants to see."""

from collections.abc import Callable

from simulations.outcome import Outcome, execute
from simulations.plan import Plan
from simulations.trace import TraceEntry, Tracer, Wanted, Words

Show = Callable[[TraceEntry, Words], None]
"""What is done with each entry that is wanted."""


def replay_plan(plan: Plan, wanted: Wanted, show: Show) -> Outcome:
    """Executes a plan, and shows what is wanted of its trace."""

    def listen(names: dict[bytes, str]) -> Tracer:
        words = Words(names)

        def hear(entry: TraceEntry) -> None:
            if wanted.passes(entry):
                show(entry, words)

        return hear

    return execute(plan, listen)
