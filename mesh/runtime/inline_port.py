"""What inline handlers speak through, and how their files get into this process."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
import trio

from mesh.agent import Agent
from mesh.agent.loading import load_agents
from mesh.local.messages import (
    Accepted,
    Answer,
    LocalMessage,
    Log,
    Park,
    Progress,
    Refused,
    Settled,
    SkillDeclaration,
)
from mesh.runtime.local_connection import InsideLink

if TYPE_CHECKING:
    from mesh.agent.children import Children
    from mesh.agent.parking import Parking

T = TypeVar("T")

SendInside = Callable[[InsideLink, LocalMessage], None]


class InlinePort:
    """The port of contexts inside the peer's own loop."""

    def __init__(self, said: Callable[[Park | Progress | Log], None]) -> None:
        """Takes whoever is told what handlers say of their jobs."""
        self._said = said
        self._link = InsideLink(self._receive)
        self._send_inside: SendInside | None = None
        self._children: Children | None = None
        self._parkings: dict[int, Parking] = {}

    def connect(self, send_inside: SendInside) -> None:
        """Takes `LocalServer.receive_inside`, without which there are no children."""
        self._send_inside = send_inside

    def send(self, message: LocalMessage) -> None:
        """Passes on what a handler says."""
        if isinstance(message, Park | Progress | Log):
            self._said(message)
        else:
            assert self._send_inside is not None, "the port is not connected"
            self._send_inside(self._link, message)

    @property
    def children(self) -> "Children":
        """The children of inline handlers."""
        if self._children is None:
            from mesh.agent.children import Children  # and anyio with it, only where needed

            self._children = Children(self.send)
        return self._children

    def parking(self, job: int) -> "Parking":
        """Where a job stands with its slot."""
        if job not in self._parkings:
            from mesh.agent.parking import Parking

            self._parkings[job] = Parking(job, self.send, lambda free: None)
        return self._parkings[job]

    def resume(self, job: int) -> None:
        """A parked job has its slot again."""
        parking = self._parkings.get(job)
        if parking is not None:
            parking.resume()

    def forget(self, job: int) -> None:
        """A job has ended."""
        if self._parkings:
            self._parkings.pop(job, None)

    def secret(self, name: str) -> str:
        """Refuses: the peer's process holds no secrets, and writes more than a worker does."""
        raise RuntimeError("an inline handler has no secrets: leave inline=True out")

    def run_on_loop(self, job: int, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Refuses: a plain inline handler would stop the loop that its child needs."""
        raise RuntimeError("a plain inline handler cannot wait for other skills: make it async")

    def _receive(self, message: LocalMessage) -> None:
        if isinstance(message, Accepted | Settled | Refused | Answer):
            self.children.receive(message)


async def inline_skills(target: str, agent: str, skills: list[SkillDeclaration]) -> Agent | None:
    """Imports an agent's file into this process; None where its inline skills cannot run here."""
    log = structlog.get_logger("mesh.workers")
    try:
        agents = await trio.to_thread.run_sync(lambda: load_agents(target, own_process=False))
    except Exception as error:  # noqa: BLE001  # a user's file may raise anything
        log.warning("inline-import-failed", target=target, error=str(error))
        return None
    for found in agents:
        if found.name == agent:
            wanted = [found.skills.get((skill.name, skill.version)) for skill in skills]
            if all(s and (found.loop == "trio" or not s.is_async) for s in wanted):
                return found
    log.warning("inline-needs-trio", target=target, agent=agent)
    return None
