"""Nobody honest is blamed by anybody honest."""

import msgspec

from mesh.core.outward import Accuse
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World


class NobodyHonestIsBlamed:
    """Blame is for liars only; what liars say of others does not count."""

    hears = (Accuse,)

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Any accusation of an honest peer is a violation."""
        if not isinstance(event, Accuse) or peer.liar is not None:
            return
        accused = world.by_id.get(event.peer)
        world.coverage[f"blamed: {event.offence[:48]}"] += 1
        if "isolated" in event.offence:
            raise Violation(f"no-remote-assertion: at {peer.name}: {event.offence}")
        if accused is not None and accused.liar is None:
            raise Violation(
                f"honest-not-blamed: {peer.name} blames {accused.name}: {event.offence}"
            )

    def finish(self, world: World) -> None:
        """Nothing is left to say."""


class LiesAreNoticed:
    """Of every lie that can be told from an accident, somebody honest speaks."""

    hears = (Accuse,)

    def __init__(self) -> None:
        self._offences: dict[tuple[bytes, str], None] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Takes note of offences."""
        if isinstance(event, Accuse) and peer.liar is None:
            self._offences[event.peer, event.offence] = None

    def finish(self, world: World) -> None:
        """Compares them with what each liar did."""
        for liar in world.peers:
            for expected in () if liar.liar is None else liar.liar.offences:
                if not any(
                    accused == liar.peer and expected in offence
                    for accused, offence in self._offences
                ):
                    raise Violation(f"lies-are-noticed: nobody blames {liar.name}: {expected}")
