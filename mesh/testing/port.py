"""What handlers of a simulated peer speak through: one port a job."""

from collections.abc import Callable, Coroutine, Hashable
from typing import Protocol, TypeVar

from mesh.agent.children import Children
from mesh.agent.parking import Parking
from mesh.agent.vault import vault
from mesh.local.messages import (
    Accepted,
    Answer,
    Ask,
    Cancel,
    LocalMessage,
    Log,
    Park,
    Progress,
    Refused,
    Settled,
    Submit,
)
from mesh.runtime.local_connection import InsideLink
from mesh.testing.fibers import VirtualEvent
from mesh.testing.scripts import ThreadScript

T = TypeVar("T")


class Host(Protocol):
    """The peer side of a port."""

    def said(self, number: int, message: Park | Progress | Log) -> None:
        """A handler says something of its job."""

    def asked(self, link: InsideLink, message: Submit | Cancel | Ask) -> None:
        """A handler wants something of the mesh."""

    def slot_changed(self, number: int, free: bool) -> None:
        """A job gives its slot back, or has it again."""

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Does something after so much virtual time."""

    def child(self, task: str, call: Hashable) -> None:
        """A task that a handler submitted: which call it is, for recordings."""


class JobPort:
    """The port of one job."""

    def __init__(self, host: Host, number: int, call: Hashable) -> None:
        """Takes the peer side, the job's number there, and the call that it is."""
        self._host = host
        self._number = number
        self._call = call
        self._counts: dict[Hashable, int] = {}
        self._submits: dict[int, Submit] = {}
        self._parking = Parking(
            number,
            self.send,
            lambda free: host.slot_changed(number, free),
            make_event=VirtualEvent,
        )
        self.children = Children(self.send, make_event=VirtualEvent, sleep=self.sleep)
        self.link = InsideLink(self._receive)
        self.script: ThreadScript | None = None

    def send(self, message: LocalMessage) -> None:
        """Passes on what the handler says."""
        if isinstance(message, Submit | Cancel | Ask):
            if isinstance(message, Submit):
                self._submits[message.request] = message
            self._host.asked(self.link, message)
        elif isinstance(message, Park | Progress | Log):
            self._host.said(self._number, message)

    def parking(self, job: int) -> Parking:
        """Where the job stands with its slot."""
        return self._parking

    def secret(self, name: str) -> str:
        """The value of a secret, from this process's environment."""
        return vault.secret(name)

    def run_on_loop(self, job: int, function: Callable[[], Coroutine[object, object, T]]) -> T:
        """Runs a coroutine of a plain handler, which waits in its thread."""
        if self.script is None:
            raise RuntimeError("a plain inline handler cannot wait for other skills: make it async")
        return self.script.wait_in_thread(function)

    async def sleep(self, seconds: float) -> None:
        """Waits in virtual time."""
        over = VirtualEvent()
        self._host.after(seconds, over.set)
        await over.wait()

    def _receive(self, message: LocalMessage) -> None:
        if isinstance(message, Accepted | Refused):
            submitted = self._submits.pop(message.request, None)
            if isinstance(message, Accepted) and submitted is not None:
                self._name(submitted, message)
        if isinstance(message, Accepted | Settled | Refused | Answer):
            self.children.receive(message)

    def _name(self, submitted: Submit, accepted: Accepted) -> None:
        for raw, task in zip(submitted.inputs, accepted.tasks, strict=True):
            same = (submitted.skill, bytes(raw))
            count = self._counts.get(same, 0)
            self._counts[same] = count + 1
            self._host.child(task, (self._call, *same, count))
