"""A result that its custodian acknowledged ends the task; it is never computed again."""

import msgspec

from protocols.machine import MILLISECOND_NS, Instant
from protocols.tasks.events import AttemptsStarted, TasksSettled
from protocols.tasks.messages import Results, ResultsAck
from simulations import agents
from simulations.observations import DiskForgot, JobHanded, Sent
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World

GARBLED = msgspec.msgpack.encode(agents.GARBLED)
AT_ONCE_NS = 10 * MILLISECOND_NS


class AcknowledgedResultsCount:
    """An acknowledgement leaves only after the end that it acknowledges is on disk.

    Of what modelled handlers answer, only one value breaks a schema.
    """

    hears = (Results, ResultsAck, AttemptsStarted, TasksSettled, DiskForgot, JobHanded)

    def __init__(self) -> None:
        self._batches: dict[tuple[bytes, bytes, int], tuple[tuple[str, int], ...]] = {}
        self._acknowledged: dict[tuple[bytes, str], tuple[int, Instant]] = {}
        self._started: dict[tuple[bytes, bytes, str, int], Instant] = {}
        """Attempts by custodian, worker, task and number."""
        self._forgetful: dict[bytes, None] = {}
        self._settled: dict[tuple[bytes, str], None] = {}
        self._exclusive: dict[tuple[bytes, str], None] = {}
        """Their results may come when their leases have ended; see `exclusive.py`."""

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Follows results, acknowledgements and new attempts."""
        match event:
            case Sent(to, Results() as results):
                self._sent(peer, to, results)
            case Sent(to, ResultsAck() as ack):
                self._acked(world, peer, to, ack)
            case TasksSettled():
                for settled in event.settled:
                    self._ended(world, peer, settled.task)
            case JobHanded() if event.token:
                self._exclusive[event.custodian, event.task] = None
            case DiskForgot():
                self._forget(peer, event.since)
            case AttemptsStarted():
                for key in event.attempts:
                    self._started[peer.peer, event.peer, key.task, key.attempt] = world.now
                    # A peer that was paused may give an attempt up and then read its result:
                    # one release, in which messages go before events.
                    _, at = self._acknowledged.get((peer.peer, key.task), (0, world.now))
                    if at + AT_ONCE_NS < world.now:
                        raise Violation(
                            f"acknowledged-counts: {peer.name} had the result of {key.task}"
                        )

    def _forget(self, peer: SimulatedPeer, since: Instant) -> None:
        """A custodian that forgot attempts says yes to their results, and may run them anew."""
        for key in [key for key in self._acknowledged if key[0] == peer.peer]:
            if self._acknowledged[key][1] >= since:
                del self._acknowledged[key]
        self._forgetful[peer.peer] = None
        for attempt in [each for each in self._started if each[0] == peer.peer]:
            if self._started[attempt] >= since:
                del self._started[attempt]

    def _sent(self, peer: SimulatedPeer, to: bytes, results: Results) -> None:
        if peer.liar is None:
            done = tuple(
                (each.task, each.attempt)
                for each in results.outcomes
                if each.status == "ok" and bytes(each.value) != GARBLED
            )
            self._batches[peer.peer, to, results.batch] = done

    def _acked(self, world: World, peer: SimulatedPeer, to: bytes, ack: ResultsAck) -> None:
        for batch in ack.batches:
            for task, attempt in self._batches.pop((to, peer.peer, batch), ()):
                is_known = (peer.peer, to, task, attempt) in self._started
                is_plain = (peer.peer, task) not in self._exclusive
                if is_plain and (is_known or peer.peer not in self._forgetful):
                    noted = (peer.starts, world.now)
                    self._acknowledged.setdefault((peer.peer, task), noted)

    def _ended(self, world: World, peer: SimulatedPeer, task: str) -> None:
        key = (peer.peer, task)
        boot, at = self._acknowledged.get(key, (0, 0))
        if key not in self._settled and boot == peer.starts and at + AT_ONCE_NS < world.now:
            raise Violation(f"acknowledged-counts: {peer.name} threw away a result of {task}")
        self._settled[key] = None

    def finish(self, world: World) -> None:
        """Nothing is left to say."""
