"""The release gate: nothing leaves before the record it rests on is durable.

Each machine remembers the newest record that it wrote, or that a machine which
caused it wrote. An effect is held until that record is reported as durable.
Effects of one machine leave in the order in which they were made.
"""

from collections import deque

from mesh.core.records import StepRecord, encode_entries
from protocols.effects import Effect, Persist


class Gate:
    """Numbers the records of steps, and holds effects back until theirs are durable."""

    def __init__(self) -> None:
        self._next_number = 1
        self._durable = 0
        self._newest: dict[str, int] = {}
        self._pending: list[StepRecord] = []
        self._held: deque[tuple[int, Effect]] = deque()
        self._ready: list[Effect] = []
        # The step being made.
        self._entries: list[tuple[str, Persist]] = []
        self._effects: list[tuple[str, Effect, bool]] = []
        self._touched: list[str] = []

    @property
    def has_pending_records(self) -> bool:
        """Whether records wait to be written or to be reported as durable."""
        return self._durable < self._next_number - 1

    def touch(self, machine: str) -> None:
        """A machine takes part in this step, after those that touched it earlier."""
        if machine not in self._touched:
            self._touched.append(machine)

    def add(self, machine: str, effect: Effect, prompt: bool) -> None:
        """Takes one effect of the step that is to leave."""
        self._effects.append((machine, effect, prompt))

    def persist(self, machine: str, effect: Persist) -> None:
        """Takes a part of the step's record."""
        self._entries.append((machine, effect))

    def end_step(self) -> None:
        """Closes the step: at most one record, and its effects released or held.

        All machines of a step wait for its record. A later machine of the step
        was caused by the earlier ones, so it also waits for what they wrote before.
        """
        if self._entries:
            number = self._next_number
            self._next_number += 1
            data = encode_entries((machine, p.record) for machine, p in self._entries)
            sync = any(persist.sync for _, persist in self._entries)
            self._pending.append(StepRecord(number, data, sync))
            for machine in self._touched:
                self._newest[machine] = number
            self._entries.clear()
        elif self._durable == self._next_number - 1:
            # The usual step: nothing is written now, and nothing waits, so nobody needs to.
            if self._effects:
                self._ready += [effect for _, effect, _ in self._effects]
                self._effects.clear()
            self._touched.clear()
            return
        elif len(self._touched) > 1:
            after = 0
            for machine in self._touched:
                after = max(after, self._newest.get(machine, 0))
                self._newest[machine] = after
        newest, durable = self._newest, self._durable
        for machine, effect, prompt in self._effects:
            after = 0 if prompt else newest.get(machine, 0)
            if after <= durable:
                self._ready.append(effect)
            else:
                self._held.append((after, effect))
        self._effects.clear()
        self._touched.clear()

    def take_records(self) -> tuple[StepRecord, ...]:
        """The records made since the last call, in order."""
        if not self._pending:
            return ()
        records = tuple(self._pending)
        self._pending.clear()
        return records

    def recorded(self, number: int) -> None:
        """All records up to `number` are durable."""
        assert self._durable <= number < self._next_number, "a record that was never made"
        self._durable = number
        if not self._held:
            return
        still_held: deque[tuple[int, Effect]] = deque()
        for after, effect in self._held:
            if after <= number:
                self._ready.append(effect)
            else:
                still_held.append((after, effect))
        self._held = still_held

    def take_ready(self) -> list[Effect]:
        """The effects that may leave now, in order."""
        ready = self._ready
        if ready:
            self._ready = []
        return ready
