"""No slot has two winners: what a bidder grants never exceeds what it hosts."""

import msgspec

from protocols.auction.events import LotCleared, LotFailed, SlotsGranted, SlotsLost
from simulations.observations import PeerStarted
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World


class OneWinnerPerSlot:
    """Sums the grants of every bidder, skill by skill."""

    hears = (PeerStarted, SlotsGranted, SlotsLost, LotFailed, LotCleared)

    def __init__(self) -> None:
        self._grants: dict[str, dict[tuple[str, bytes], tuple[str, int]]] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Takes note of grants, which are absolute."""
        match event:
            case PeerStarted():
                self._grants[peer.name] = {}
            case SlotsGranted():
                grants = self._grants[peer.name]
                grants.pop((event.lot, event.issuer), None)
                if event.slots:
                    grants[event.lot, event.issuer] = (event.skill, event.slots)
                granted = sum(slots for skill, slots in grants.values() if skill == event.skill)
                if granted > sum(s.slots for s in peer.skills if s.name == event.skill):
                    raise Violation(f"one-winner: {peer.name} grants {granted} of {event.skill}")
            case SlotsLost():
                world.coverage[f"slots lost: {event.reason.split(':')[0][:40]}"] += 1
            case LotFailed():
                world.coverage[f"a lot fails: {event.reason}"] += 1
            case LotCleared():
                self._cleared(world, event)

    def _cleared(self, world: World, event: LotCleared) -> None:
        if sum(bid.slots_won for bid in event.bids) > event.units:
            raise Violation(f"one-winner: lot {event.lot} gives more than {event.units}")
        for bid in event.bids:
            world.coverage[f"bid: {bid.outcome.split(':')[0]}"] += 1
            bidder = world.by_id.get(bid.bidder)
            is_bent = bidder is not None and bidder.liar is not None
            if is_bent and bid.slots_won and event.lot in world.bent_lots:
                raise Violation(f"sealed-bids: lot {event.lot} goes to another bid than was sealed")
            if bid.slots_won > bid.units:
                raise Violation(f"one-winner: lot {event.lot} takes more than was offered")

    def finish(self, world: World) -> None:
        """Nobody wants slots any more, so none is granted."""
        for peer in world.honest:
            for (lot, issuer), (skill, slots) in self._grants[peer.name].items():
                if peer.core is not None and world.by_id[issuer].liar is None:
                    raise Violation(
                        f"grants-are-leased: {peer.name} still grants {slots} of {skill} to "
                        f"{world.by_id[issuer].name} in {lot}"
                    )
