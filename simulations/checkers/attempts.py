"""An attempt runs once, at one peer, and only its peer's own run can end its task."""

import msgspec

from protocols.tasks.events import TasksSettled
from simulations.observations import DiskForgot, JobFinished, JobHanded
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World

Attempt = tuple[bytes, str, int]


class AttemptsRunOnce:
    """A core hands an attempt to its agents once; no two peers ever get the same one."""

    hears = (JobHanded, DiskForgot)

    def __init__(self) -> None:
        self._handed: dict[Attempt, tuple[str, int]] = {}
        self._forgetful: dict[bytes, None] = {}
        """Custodians whose disk forgot attempts, of which some may still be on their way."""

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Takes note of what agents are given; a custodian that forgets counts anew."""
        if isinstance(event, DiskForgot):
            self._forgetful[peer.peer] = None
        if not isinstance(event, JobHanded) or world.by_id[event.custodian].liar is not None:
            return
        attempt = (event.custodian, event.task, event.attempt)
        where = (peer.name, peer.starts)
        before = self._handed.get(attempt)
        is_known = event.custodian not in self._forgetful
        if is_known and before is not None and before[0] != peer.name:
            raise Violation(f"one-peer-an-attempt: {event.task} at {before[0]} and {peer.name}")
        if before == where:
            raise Violation(f"one-run-an-attempt: {event.task}/{event.attempt} at {peer.name}")
        self._handed[attempt] = where

    def finish(self, world: World) -> None:
        """Nothing is left to say."""


class ResultsAreEarned:
    """A task is done only by a peer whose own handler ended it well.

    A liar need not have ended what it was handed: nobody can tell an answer that it made up, such
    as its answer to the same task of another custodian, from that of its handler. An attempt that
    it was never handed it can end as little as anyone.
    """

    hears = (JobHanded, JobFinished, TasksSettled)

    def __init__(self) -> None:
        self._finished: dict[tuple[bytes, str, bytes], int] = {}
        self._handed_to_liars: dict[tuple[bytes, str, bytes], int] = {}
        self._latest: dict[tuple[bytes, str], int] = {}
        self._told: dict[tuple[bytes, str], None] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Compares producers with what handlers did."""
        match event:
            case JobHanded():
                key = (event.custodian, event.task)
                self._latest[key] = max(event.attempt, self._latest.get(key, 0))
                if peer.liar is not None:
                    self._handed_to_liars[*key, peer.peer] = event.attempt
            case JobFinished() if event.status == "ok":
                key = (event.custodian, event.task)
                if any(k[:2] == key for k in ((*key, p.peer) for p in world.peers)
                       if k in self._finished):  # fmt: skip
                    world.coverage["a task runs to its end twice"] += 1
                self._finished[event.custodian, event.task, peer.peer] = event.attempt
            case TasksSettled():
                for settled in event.settled:
                    if settled.state == "done":
                        self._check(world, peer, settled.task, settled.producer)

    def _check(self, world: World, peer: SimulatedPeer, task: str, producer: bytes) -> None:
        key = (peer.peer, task, producer)
        attempt = self._finished.get(key, self._handed_to_liars.get(key))
        if attempt is None:
            name = world.by_id[producer].name if producer in world.by_id else "a stranger"
            raise Violation(f"earned-result: {name} never ended {task} of {peer.name}")
        if (peer.peer, task) not in self._told:
            self._told[peer.peer, task] = None
            if attempt < self._latest[peer.peer, task]:
                world.coverage["a late result counts"] += 1

    def finish(self, world: World) -> None:
        """Nothing is left to say."""
