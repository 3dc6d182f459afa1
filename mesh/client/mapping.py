"""One `map`: inputs taken lazily, a window of them outstanding, results as they are wanted."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from mesh.client.core import CHUNK, ClientCore, Entry, Order
from mesh.client.outcome import Outcome, outcome_of, value_of
from mesh.client.transport import Carrier
from mesh.local.errors import Refused
from mesh.local.messages import SettledTask

SLOW_INPUTS_S = 0.002
"""Inputs that take longer than this to come are submitted without waiting for more."""


def located(entry: Entry) -> SettledTask | Refused:
    """What became of an input of a map; a refusal says which input it is."""
    outcome = entry.outcome
    assert outcome is not None, "not yet"
    if isinstance(outcome, Refused):
        return Refused(outcome.kind, f"input {entry.index}: {outcome.message}", entry.index)
    return outcome


class MapRun:
    """Submits the inputs of one map and hands out what becomes of them."""

    def __init__(
        self,
        core: ClientCore,
        transport: Carrier,
        order: Order,
        inputs: Iterable[Mapping[str, Any]],
        window: int,
    ) -> None:
        self._core = core
        self._transport = transport
        self._order = order
        self._inputs = iter(inputs)
        self._chunk = min(CHUNK, window)
        self._refill_at = window - self._chunk
        self._exhausted = False
        self._count = 0
        self._outstanding: dict[int, Entry] = {}

    def ordered(self, *, return_exceptions: bool) -> Iterator[Any]:
        """Values in the order of the inputs; raises the first error in that order."""
        waiting: deque[Entry] = deque()
        try:
            while True:
                self._fill(waiting)
                if not waiting:
                    return
                if waiting[0].outcome is None:
                    self._transport.wait(lambda: waiting[0].outcome is not None)
                while waiting and waiting[0].outcome is not None:
                    entry = waiting.popleft()
                    del self._outstanding[entry.index]
                    assert entry.outcome is not None, "checked just before"
                    value = value_of(located(entry), entry.order.read)
                    if isinstance(value, Exception) and not return_exceptions:
                        raise value
                    yield value
                    if len(self._outstanding) == self._refill_at:
                        break  # room for the next chunk
        finally:
            self._transport.note(lambda: self._core.forget(self._outstanding.values()))

    def unordered(self) -> Iterator[tuple[int, Outcome]]:
        """(index, outcome) as tasks end."""
        done = self._order.done
        try:
            while True:
                self._fill(None)
                if not self._outstanding:
                    return
                if not done:
                    self._transport.wait(lambda: done)
                entry = done.popleft()
                del self._outstanding[entry.index]
                assert entry.outcome is not None, "it is done"
                yield entry.index, outcome_of(located(entry), entry.order.read)
        finally:
            self._transport.note(lambda: self._core.forget(self._outstanding.values()))

    def _fill(self, waiting: deque[Entry] | None) -> None:
        """Submits chunks while the window has room for a whole one."""
        while not self._exhausted and len(self._outstanding) <= self._refill_at:
            chunk = self._next_chunk(self._chunk)
            if not chunk:
                return
            for entry in chunk:
                self._outstanding[entry.index] = entry
            if waiting is not None:
                waiting.extend(chunk)
            self._transport.do(partial(self._core.submit, chunk))

    def _next_chunk(self, limit: int) -> list[Entry]:
        chunk: list[Entry] = []
        order = self._order
        key = order.options.key
        begun = self._core.clock()
        for inputs in self._inputs:
            index = self._count
            self._count += 1
            own_key = f"{key}/{index}" if key else ""
            chunk.append(self._core.mapped(order, index, inputs, own_key))
            if len(chunk) >= limit or self._core.clock() - begun > SLOW_INPUTS_S:
                return chunk
        self._exhausted = True
        return chunk
