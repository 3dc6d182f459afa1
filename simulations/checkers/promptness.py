"""What a dead process ran is given to another at once, where its death can be seen."""

import msgspec

from protocols.machine import MILLISECOND_NS, Instant
from protocols.tasks.events import AttemptsFailed, AttemptsStarted, TasksSettled
from simulations.observations import PeerStopped
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World

PROMPT_NS = 500 * MILLISECOND_NS


class LossesAreSeenAtOnce:
    """Where no link is cut and nobody is held up, a closed port frees the work behind it."""

    hears = (AttemptsStarted, AttemptsFailed, TasksSettled, PeerStopped)

    def __init__(self, applies: bool) -> None:
        """Only in scenarios whose links always work."""
        self._applies = applies
        self._out: dict[tuple[bytes, str], tuple[bytes, int]] = {}
        self._lost: dict[tuple[bytes, str], tuple[bytes, Instant]] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Follows attempts, and the deaths of the peers they are at."""
        if not self._applies:
            return
        match event:
            case AttemptsStarted():
                for key in event.attempts:
                    self._ended(world, peer, key.task)
                    self._out[peer.peer, key.task] = (event.peer, key.attempt)
            case AttemptsFailed():
                for attempt in event.attempts:
                    self._ended(world, peer, attempt[0])
            case TasksSettled():
                for settled in event.settled:
                    self._ended(world, peer, settled.task)
            case PeerStopped():
                self._stopped(world, peer)

    def _ended(self, world: World, peer: SimulatedPeer, task: str) -> None:
        self._out.pop((peer.peer, task), None)
        lost = self._lost.pop((peer.peer, task), None)
        if lost is not None:
            world.coverage["an attempt is lost with its peer"] += 1
            late = world.now - lost[1]
            if late > PROMPT_NS:
                raise Violation(f"losses-seen: {peer.name} finds {task} lost after {late} ns")

    def _stopped(self, world: World, peer: SimulatedPeer) -> None:
        for attempts in (self._out, self._lost):
            for key in [key for key in attempts if key[0] == peer.peer]:
                del attempts[key]
        for key, (where, _) in self._out.items():
            if where == peer.peer:
                self._lost.setdefault(key, (where, world.now))

    def finish(self, world: World) -> None:
        """What was lost has been found out."""
        if self._lost:
            raise Violation(f"losses-seen: {next(iter(self._lost))[1]} is still out")
