"""A result that its custodian acknowledged is never computed again."""

import msgspec

from protocols.tasks.events import AttemptsStarted
from protocols.tasks.messages import Results, ResultsAck
from simulations.observations import Sent
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World

RESULTS, ACK = (msgspec.msgpack.encode(tag) for tag in ("tasks.results", "tasks.results-ack"))
_results = msgspec.msgpack.Decoder(Results)
_ack = msgspec.msgpack.Decoder(ResultsAck)


class AcknowledgedResultsCount:
    """An acknowledgement leaves only after the end that it acknowledges is on disk.

    The schemas of modelled skills allow anything, so every result is valid.
    """

    hears = (Sent, AttemptsStarted)

    def __init__(self) -> None:
        self._batches: dict[tuple[bytes, bytes, int], tuple[str, ...]] = {}
        self._acknowledged: dict[tuple[bytes, str], None] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Follows results, acknowledgements and new attempts."""
        match event:
            case Sent():
                for message in event.messages:
                    if RESULTS in message[:20]:
                        self._sent(peer, event.to, message)
                    elif ACK in message[:24]:
                        self._acked(peer, event.to, message)
            case AttemptsStarted():
                for key in event.attempts:
                    if (peer.peer, key.task) in self._acknowledged:
                        raise Violation(
                            f"acknowledged-counts: {peer.name} had the result of {key.task}"
                        )

    def _sent(self, peer: SimulatedPeer, to: bytes, message: bytes) -> None:
        if peer.liar is None:
            results = _results.decode(message)
            done = tuple(each.task for each in results.outcomes if each.status == "ok")
            self._batches[peer.peer, to, results.batch] = done

    def _acked(self, peer: SimulatedPeer, to: bytes, message: bytes) -> None:
        for batch in _ack.decode(message).batches:
            for task in self._batches.pop((to, peer.peer, batch), ()):
                self._acknowledged[peer.peer, task] = None

    def finish(self, world: World) -> None:
        """Nothing is left to say."""
