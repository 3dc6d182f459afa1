"""At the end of a run nothing is left over: no work, no handler, no storm of messages."""

from functools import partial

import msgspec

from protocols.machine import SECOND_NS
from protocols.tasks.commands import Drain
from protocols.tasks.events import Drained
from simulations.observations import JobHanded, PeerStarted
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World

CHECKED_EVERY_NS = 5 * SECOND_NS
"""At every second these checks took a fifth of a run."""
STEPS_PER_SECOND_LIMIT = 40
"""Steps of a peer without work, in a second; a storm of messages makes thousands."""
IDLE_RECORDS_LIMIT = 64
"""Records of a snapshot beside those of settled tasks."""
DRAIN_NS = 30 * SECOND_NS


class CoresHoldTheirInvariants:
    """Asks every running core, now and then, whether its tables are sound and bounded."""

    hears = (PeerStarted,)

    def __init__(self) -> None:
        self._begun = False

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """The first peer that starts begins it all."""
        if not self._begun:
            self._begun = True
            world.after(CHECKED_EVERY_NS, partial(self._look, world))

    def _look(self, world: World) -> None:
        self.finish(world)
        world.after(CHECKED_EVERY_NS, partial(self._look, world))

    def finish(self, world: World) -> None:
        """Checks all."""
        for peer in world.peers:
            if peer.core is not None:
                peer.core.check()


class NothingIsLeft:
    """After the last task has ended peers fall silent, and stop without anything undone."""

    hears = (Drained, JobHanded)

    def __init__(self) -> None:
        self._drained: dict[str, int] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Takes note of who has drained."""
        match event:
            case Drained():
                self._drained[peer.name] = event.undecided
            case JobHanded() if peer.name in self._drained:
                raise Violation(f"drained-is-idle: {peer.name} still starts {event.task}")

    def finish(self, world: World) -> None:
        """Lets the mesh idle, then stops every peer in order."""
        before = {peer.name: peer.steps for peer in world.honest}
        world.run(10 * SECOND_NS)
        for peer in world.honest:
            steps = (peer.steps - before[peer.name]) / 10
            if steps > STEPS_PER_SECOND_LIMIT and len(world.honest) == len(world.peers):
                raise Violation(f"idle-is-quiet: {peer.name} makes {steps} steps a second")
            if peer.workers is not None and peer.workers.handlings:
                key = next(iter(peer.workers.handlings))
                raise Violation(f"no-orphan-handlers: {key[1]}/{key[2]} runs at {peer.name}")
        for peer in world.honest:
            if peer.core is not None:
                peer.submit(Drain())
        running = [peer.name for peer in world.honest if peer.core is not None]
        world.run_until(lambda: all(name in self._drained for name in running), DRAIN_NS, SECOND_NS)
        world.run(SECOND_NS)
        # Whoever holds a result for a custodian that never comes back waits for it to the last.
        may_wait = any(peer.core is None for peer in world.peers)
        for peer in world.honest:
            if may_wait and peer.name not in self._drained:
                continue
            if peer.core is not None and self._drained.get(peer.name) != 0:
                told = self._drained.get(peer.name, "nothing")
                raise Violation(f"drained-is-idle: {peer.name} says {told} of undecided tasks")
