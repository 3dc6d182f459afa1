"""Shrinking: the smallest plan that still breaks the same invariant, by delta debugging.

Zeller and Hildebrandt's ddmin over the fault schedule ("Simplifying and
Isolating Failure-Inducing Input", 2002, section 3): no single fault of the
result can be taken away. A fault draws from a generator of its own, so taking
one away changes nothing about what the others draw. Then the run is made
shorter and the mesh smaller, each by halves, as long as the violation stays.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import msgspec

from simulations.outcome import Failure, Outcome, execute
from simulations.plan import Plan
from simulations.schedule import names_in

PEERS_LEAST = 2
DURATION_LEAST_S = 1.0

T = TypeVar("T")


class NothingToShrink(Exception):
    """The plan breaks no invariant."""


class Shrunk(msgspec.Struct, frozen=True):
    """What shrinking came to."""

    plan: Plan
    failure: Failure
    tries: int
    """How many plans were executed."""


def ddmin(items: Sequence[T], fails: Callable[[tuple[T, ...]], bool]) -> tuple[T, ...]:
    """The items, as few as possible, of which `fails` is still true; none can be left out.

    `fails` must be true of all of them. Deterministic where `fails` is.
    """
    kept = tuple(items)
    if fails(()):
        return ()
    parts = 2
    while len(kept) > 1:
        chunks = _chunks(kept, parts)
        for index, chunk in enumerate(chunks):
            rest = tuple(item for i, each in enumerate(chunks) if i != index for item in each)
            if parts == 2 or not fails(chunk):
                # With two parts each rest is the other part, and is tried as such.
                if fails(rest):
                    kept, parts = rest, max(parts - 1, 2)
                    break
            else:
                kept, parts = chunk, 2
                break
        else:
            if parts >= len(kept):
                break
            parts = min(len(kept), parts * 2)
    return kept


def _chunks(items: tuple[T, ...], parts: int) -> list[tuple[T, ...]]:
    """Parts of as equal lengths as there can be."""
    edges = [len(items) * index // parts for index in range(parts + 1)]
    return [items[begin:end] for begin, end in pairwise(edges)]


class Shrinker:
    """Shrinks one plan that fails."""

    def __init__(
        self,
        plan: Plan,
        tried: Callable[[int, Plan], None] = lambda tries, best: None,
        run: Callable[[Plan], Outcome] = execute,
    ) -> None:
        """Takes the plan.

        Args:
            plan: breaks an invariant.
            tried: told of each try, with the smallest plan so far.
            run: executes a plan.
        """
        self._best = plan
        self._tried = tried
        self._run = run
        self._tries = 0
        self._failure: Failure | None = None

    def shrink(self) -> Shrunk:
        """Does it. May be stopped by an exception; `best` is what it has.

        Raises:
            NothingToShrink: the plan as it is breaks nothing.
        """
        first = self._run(self._best).failure
        if first is None:
            raise NothingToShrink("the plan breaks no invariant: there is nothing to shrink")
        self._failure = first
        self._tries = 1
        plan = self._best
        ddmin(plan.faults, self._fails_with)
        self._shorten()
        self._thin_out()
        return Shrunk(self._best, self._failure, self._tries)

    @property
    def best(self) -> Shrunk | None:
        """The smallest failing plan so far; None before one has been seen to fail."""
        if self._failure is None:
            return None
        return Shrunk(self._best, self._failure, self._tries)

    def _fails_with(self, faults: tuple[msgspec.Struct, ...]) -> bool:
        plan = msgspec.structs.replace(self._best, faults=faults)
        return self._keeps(plan)

    def _keeps(self, plan: Plan) -> bool:
        """Whether a plan breaks the same invariant; if so, it is the best so far."""
        assert self._failure is not None, "what to look for is known"
        self._tries += 1
        failure = self._run(plan).failure
        is_same = failure is not None and failure.invariant == self._failure.invariant
        if is_same and failure is not None:
            self._best, self._failure = plan, failure
        self._tried(self._tries, self._best)
        return is_same

    def _shorten(self) -> None:
        """Load and faults end earlier."""
        while (duration := self._best.scenario.duration_s / 2) >= DURATION_LEAST_S:
            faults = tuple(f for f in self._best.faults if f.at_ms < duration * 1_000)
            if len(faults) < len(self._best.faults):
                return
            scenario = msgspec.structs.replace(self._best.scenario, duration_s=duration)
            if not self._keeps(msgspec.structs.replace(self._best, scenario=scenario)):
                return

    def _thin_out(self) -> None:
        """Fewer peers; those that faults name, and liars, have to stay."""
        scenario = self._best.scenario
        named = [name for fault in self._best.faults for name in names_in(fault)]
        least = max(
            PEERS_LEAST,
            len(scenario.liars) + PEERS_LEAST,
            *(int(name.rpartition("-")[2]) for name in named if name.startswith("peer-")),
        )
        for peers in range(least, scenario.peers):
            fewer = msgspec.structs.replace(scenario, peers=peers)
            fewer = msgspec.structs.replace(fewer, duration_s=self._best.scenario.duration_s)
            if self._keeps(msgspec.structs.replace(self._best, scenario=fewer)):
                return
