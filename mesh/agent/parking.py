"""A job gives its slot back while all that it awaits is children.

States: running, parked, returning (it wants its slot again and waits for
`Resume`). Invariant: the peer is told ``waiting=True`` and ``waiting=False`` in
turns, beginning with True. A branch of the handler whose child ended while
another branch still waits goes on without a slot: that may run a little more
than there are slots for, but it can never deadlock.
"""

from collections.abc import Callable
from typing import Literal

import anyio

from mesh.agent.children import Event
from mesh.local.messages import LocalMessage, Park

SlotChanged = Callable[[bool], None]
"""Called with True when the job gives its slot back, with False when it has one again."""


class Parking:
    """Where one job stands between its slot and its children. Confined to one loop."""

    def __init__(
        self,
        job: int,
        send: Callable[[LocalMessage], None],
        slot_changed: SlotChanged,
        make_event: Callable[[], Event] = anyio.Event,
    ) -> None:
        self._make_event = make_event
        self._job = job
        self._send = send
        self._slot_changed = slot_changed
        self._waits = 0
        self._state: Literal["running", "parked", "returning"] = "running"
        self._resumed = make_event()

    @property
    def state(self) -> str:
        """``running``, ``parked`` or ``returning``."""
        return self._state

    def begin_wait(self) -> None:
        """A branch of the handler begins to wait for a child."""
        self._waits += 1
        if self._state == "running":
            self._park()

    async def end_wait(self) -> None:
        """A branch's wait is over; the last one waits for the slot to come back."""
        self._waits -= 1
        if self._waits or self._state != "parked":
            return
        self._state = "returning"
        self._resumed = self._make_event()
        self._send(Park(job=self._job, waiting=False))
        await self._resumed.wait()

    def abandon_wait(self) -> None:
        """A branch's wait was cancelled: its job is ending, and needs no slot for that."""
        self._waits -= 1

    def resume(self) -> None:
        """The peer gave the slot back."""
        if self._state != "returning":
            return
        self._state = "running"
        self._slot_changed(False)
        self._resumed.set()
        if self._waits:
            self._park()

    def _park(self) -> None:
        self._state = "parked"
        self._slot_changed(True)
        self._send(Park(job=self._job, waiting=True))
