"""Hot replacement of a worker: a new one of the same file takes over, the old one drains.

The new worker is started beside the old one, and is told nothing until all its agents are
registered. Then, within one turn of the peer's loop, its skills take the place of the old
one's, so that the mesh never sees a gap; the old worker hears goodbye, finishes what it
runs, and ends. Where the new one cannot be used, the old one goes on as if nothing had been.

Inline skills run in the peer itself. They stay as they are until it is started again.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import trio

from mesh.local.messages import Goodbye, Register
from mesh.runtime.agent_reports import AgentReports
from mesh.runtime.hosted_skills import HostedSkills, SkillConflict
from mesh.runtime.worker_jobs import WorkerLink
from mesh.runtime.worker_process import WorkerProcess

REPLACE_S = 60.0
"""How long a new worker may take to import its file and register."""
DRAINING_LIMIT = 4
"""Workers of one file that may finish what they run while newer ones are there."""


class Host(Protocol):
    """Who has the workers."""

    def start_trial(self, target: str) -> WorkerProcess:
        """Starts a worker that shall take another one's place."""

    def draining(self, target: str) -> int:
        """How many workers of a file have made way and finish what they run."""

    def workers_of(self, process: WorkerProcess) -> list[WorkerLink]:
        """The connection of a process, if it has one."""

    @property
    def inline(self) -> set[tuple[str, str]]:
        """The skills that the peer itself runs."""

    def skills_changed(self) -> None:
        """Tells the core, and places what waited."""


class _Replacement:
    """One replacement under way."""

    def __init__(self, old: WorkerProcess) -> None:
        self.old = old
        self.registered: list[tuple[WorkerLink, Register]] = []
        self.kept: list[str] = []
        self.error = ""
        self.settled = trio.Event()

    def settle(self, error: str = "") -> None:
        """It succeeded or failed; the first word counts."""
        if not self.settled.is_set():
            self.error = error
            self.settled.set()

    def told(self) -> dict[str, Any]:
        """How it went, as a plain value."""
        return {
            "target": self.old.target,
            "replaced": not self.error,
            "error": self.error,
            "kept": self.kept,
        }


class Replacements:
    """The replacements of one peer.

    Args:
        host: has the workers.
        skills: what they offer.
        reports: what they say of their agents.
        show: takes events.
    """

    def __init__(
        self,
        host: Host,
        skills: HostedSkills[WorkerLink],
        reports: AgentReports,
        show: Callable[[dict[str, Any]], None],
    ) -> None:
        self._host = host
        self._skills = skills
        self._reports = reports
        self._show = show
        self._under_way: dict[WorkerProcess, _Replacement] = {}

    async def replace(self, old: WorkerProcess) -> dict[str, Any]:
        """Replaces a worker, and says how it went when the new one is there or given up.

        Returns:
            `{"target", "replaced", "error", "kept"}`; `kept` are inline skills, which stay.
        """
        replacement = _Replacement(old)
        draining = self._host.draining(old.target)
        if draining >= DRAINING_LIMIT:
            replacement.settle(f"{draining} older workers of it still finish what they run")
        elif any(other.old is old for other in self._under_way.values()):
            replacement.settle("it is being replaced already")
        else:
            await self._try(replacement)
        told = replacement.told()
        self._show({"event": "agent.replaced" if told["replaced"] else "agent.kept", **told})
        return told

    async def _try(self, replacement: _Replacement) -> None:
        new = self._host.start_trial(replacement.old.target)
        self._under_way[new] = replacement
        try:
            with trio.move_on_after(REPLACE_S):
                await replacement.settled.wait()
            replacement.settle(f"the new worker did not register within {REPLACE_S:g} s")
        finally:
            del self._under_way[new]
            if new.is_trial:
                new.retire()
                new.kill()

    def registered(self, worker: WorkerLink, process: WorkerProcess, message: Register) -> bool:
        """A worker offers skills; False where it takes nobody's place."""
        replacement = self._under_way.get(process)
        if replacement is None:
            return process.is_retired
        replacement.registered.append((worker, message))
        if not message.more and not replacement.settled.is_set():
            self._take_over(replacement, process)
        return True

    def ended(self, process: WorkerProcess) -> None:
        """A process will not run again."""
        if process in self._under_way:
            self._under_way[process].settle(process.error or "the new worker ended")

    def _take_over(self, replacement: _Replacement, new: WorkerProcess) -> None:
        """The new worker has said all: within this turn, its skills are in the old one's place."""
        old = replacement.old
        offers = [(k, self._without_inline(m, replacement)) for k, m in replacement.registered]
        try:
            for _, message in offers:
                self._skills.check(message.skills, old)
        except SkillConflict as error:
            replacement.settle(str(error))
            return
        leaving = self._host.workers_of(old)
        for worker in leaving:
            worker.is_leaving = True
            self._skills.remove(worker)
            self._reports.left(worker)
            worker.connection.send(Goodbye(reason="replaced"))
        self._skills.withdraw_promise(old)
        old.retire()
        if not leaving:
            old.kill()
        for worker, message in offers:
            self._skills.add(worker, new, message.agent, message.skills)
        new.ready()
        replacement.settle()
        self._host.skills_changed()

    def _without_inline(self, message: Register, replacement: _Replacement) -> Register:
        inline = self._host.inline
        kept = [s for s in message.skills if s.inline and (s.name, s.version) in inline]
        replacement.kept += [f"{skill.name}@{skill.version}" for skill in kept]
        others = [skill for skill in message.skills if skill not in kept]
        return msgspec.structs.replace(message, skills=others)
