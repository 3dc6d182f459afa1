"""Work claimed from the blackboard goes to those that claimed it, and to the right ones."""

import msgspec

from protocols.tasks.claims import Claim, winners
from protocols.tasks.events import AttemptsStarted, ClaimsDecided
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World

PREFIX = "board-"


class ClaimsAreHonoured:
    """Every such attempt is at a winner of its lot, and no winner gets more than it won.

    Who wins follows from what was claimed, in whatever order it came.
    """

    hears = (ClaimsDecided, AttemptsStarted)

    def __init__(self) -> None:
        self._left: dict[tuple[bytes, str, bytes], int] = {}
        """Tasks that a claimer may still be sent: by custodian, lot and claimer."""

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Follows decisions and attempts."""
        match event:
            case ClaimsDecided():
                self._decided(world, peer, event)
            case AttemptsStarted() if event.lot.startswith(PREFIX):
                key = (peer.peer, event.lot, event.peer)
                self._left[key] = self._left.get(key, 0) - len(event.attempts)
                if self._left[key] < 0:
                    raise Violation(
                        f"claims-honoured: {peer.name} sends what was not claimed in {event.lot}"
                    )

    def _decided(self, world: World, peer: SimulatedPeer, event: ClaimsDecided) -> None:
        won = {who: given for who, _, _, given in event.claims if given}
        claims = [Claim(who, places, load_ms) for who, places, load_ms, _ in event.claims]
        if winners(event.lot, reversed(claims), sum(won.values())) != won:
            raise Violation(f"claims-honoured: {peer.name} prefers somebody in {event.lot}")
        world.coverage["claims decided on"] += 1
        world.coverage["claims that lost"] += sum(not given for *_, given in event.claims)
        world.coverage["claims of several at once"] += len(claims) > 1
        for who, given in won.items():
            self._left[peer.peer, event.lot, who] = given

    def finish(self, world: World) -> None:
        """Nothing is left to say: that every task ends, others watch."""
