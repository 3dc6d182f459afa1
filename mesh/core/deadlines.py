"""When each machine is due, asked for only where it may have changed.

Invariant: what is remembered of a machine that took part in no step since is
what it would say again (`deadlines-are-known`).
"""

from collections.abc import Mapping
from typing import Any

from protocols.machine import Instant, Machine

NEVER: Instant = 2**63 - 1


class Deadlines:
    """The deadlines of some machines.

    Attributes:
        stale: the machines that took part in a step since they were asked.
    """

    def __init__(self, machines: Mapping[str, Machine]) -> None:
        self._machines = machines
        self._dues: dict[str, Instant] = dict.fromkeys(machines, NEVER)
        self._least = NEVER
        self.stale: dict[str, None] = dict.fromkeys(machines)

    def __getstate__(self) -> dict[str, Any]:
        # For `image.py`: whoever goes on asks for all of them.
        return vars(Deadlines(self._machines))

    def least(self) -> Instant | None:
        """The soonest deadline."""
        if self.stale:
            self._ask()
        return self._least if self._least < NEVER else None

    def due(self, now: Instant) -> list[str]:
        """The machines that are due by now."""
        if self.stale:
            self._ask()
        if self._least > now:
            return []
        return [name for name, due in self._dues.items() if due <= now]

    def _ask(self) -> None:
        dues, machines = self._dues, self._machines
        for name in self.stale:
            due = machines[name].deadline()
            dues[name] = NEVER if due is None else due
        self.stale.clear()
        self._least = min(dues.values())

    def check(self) -> None:
        """Asserts that what is remembered is so."""
        for name, machine in self._machines.items():
            if name not in self.stale:
                assert self._dues[name] == _said(machine), f"deadlines-are-known: {name}"
        if not self.stale:
            assert self._least == min(self._dues.values()), "deadlines-are-known: the least"


def _said(machine: Machine) -> Instant:
    due = machine.deadline()
    return NEVER if due is None else due
