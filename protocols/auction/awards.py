"""After the award: slots that are held, winners that answer, slots that pass on.

An awarded lot is *unsettled* until every winner has answered. While it is, slots
that a winner does not take go to the next bids of the same lot by another award
with lower limits; afterwards a loss is fresh demand. Held slots are renewed each
third of a lease. See docs/protocols/auction.md, "Phases of a lot", 5 to 7.
"""

from typing import Literal

from protocols.auction import events, messages
from protocols.auction.agenda import Agenda
from protocols.auction.clearing import clear, delays_of, multipliers_of
from protocols.auction.commands import ReleaseSlots
from protocols.auction.history import History
from protocols.auction.holdings import Holding, Holdings
from protocols.auction.lot_ids import lot_boot
from protocols.auction.lots import Key, Lot, Phase
from protocols.auction.parameters import LOTS_LIMIT, AuctionParameters
from protocols.auction.records import LotRecord
from protocols.auction.standing import Standings
from protocols.effects import Effect, Emit, Persist, Send
from protocols.machine import Now
from protocols.wire import Message

Due = tuple[Literal["lot", "award"], str] | tuple[Literal["demand"], Key] | tuple[Literal["renew"]]
RENEW: tuple[Literal["renew"]] = ("renew",)
ALL = messages.UNITS_PER_BID_LIMIT


class Awards:
    """The awarded lots and held slots of one issuer.

    Attributes:
        holdings: the slots that are held.
        unsettled: lots with winners that have not answered.
        history: the stories of past lots.
    """

    def __init__(
        self,
        me: bytes,
        parameters: AuctionParameters,
        standings: Standings,
        agenda: Agenda[Due],
        effects: list[Effect],
    ) -> None:
        self._me = me
        self._parameters = parameters
        self._standings = standings
        self._agenda = agenda
        self._effects = effects
        self._touched: dict[Key, bool] = {}
        self.holdings = Holdings()
        self.unsettled: dict[str, Lot] = {}
        self.history = History()

    def take_touched(self) -> list[tuple[Key, bool]]:
        """The demands that hold less than before, and whether a promise was broken to them."""
        touched = list(self._touched.items())
        self._touched.clear()
        return touched

    def award(self, lot: Lot, now: Now) -> int:
        """Decides a lot within its limits, hands out what is new, and says how much that is."""
        invite = lot.invite
        opened = tuple(lot.opened[bidder] for bidder in sorted(lot.opened))
        winners = clear(
            invite.units,
            multipliers_of(invite),
            invite.seed,
            opened,
            lot.limits,
            delays_of(invite),
        )
        told = [line.bidder for line in lot.sealed] if lot.award is None else []
        limits = tuple(messages.Winner(peer, lot.limits[peer]) for peer in sorted(lot.limits))
        lot.award = messages.Award(lot.id, lot.sealed, opened, winners, limits)
        gains = {
            winner.bidder: winner.slots - lot.winners.get(winner.bidder, 0)
            for winner in winners
            if winner.slots > lot.winners.get(winner.bidder, 0)
        }
        if not gains:
            self._tell(told, lot.award)
            return 0
        for bidder, gain in gains.items():
            lot.winners[bidder] = lot.winners.get(bidder, 0) + gain
        story = lot.story(now)
        self.history.put(story)
        self._effects.append(Persist(LotRecord(story)))
        self._tell(told or list(gains), lot.award)
        for bidder, gain in gains.items():
            self._win(lot, bidder, gain, now)
        self._effects.append(Emit(story))
        self.unsettled[lot.id] = lot
        lot.expires_at = now.monotonic_ns + self._parameters.lease_ns
        self._agenda.put(("award", lot.id), now.monotonic_ns + self._parameters.award_retry_ns)
        return sum(gains.values())

    def _tell(self, bidders: list[bytes], award: messages.Award) -> None:
        for bidder in bidders:
            self._send(bidder, award)

    def _win(self, lot: Lot, bidder: bytes, slots: int, now: Now) -> None:
        self.holdings.add(lot.id, bidder, lot.key, slots)
        lot.unanswered[bidder] = None
        if RENEW not in self._agenda:
            self._agenda.put(RENEW, now.monotonic_ns + self._parameters.lease_ns // 3)
        claimed = lot.opened[bidder].schedule[0].completion_us
        skill, version, requires = lot.key
        won = events.SlotsWon(lot.id, skill, version, bidder, slots, claimed, requires)
        self._effects.append(Emit(won))

    def on_accept(self, link: bytes, message: messages.Accept) -> None:
        """A winner agrees. If its slots were given up meanwhile, it is told so."""
        holding = self.holdings.get(message.lot, link)
        if holding is None:
            if lot_boot(message.lot, self._me) is not None:
                self._send(link, messages.Release(message.lot, ALL))
            return
        if not holding.is_accepted:
            holding.is_accepted = True
            self._standings.keep(link)
            self._answered(message.lot, link)

    def on_forfeit(self, link: bytes, message: messages.Forfeit, now: Now) -> None:
        """A winner gives slots up; `kept` is absolute, so that repetition changes nothing."""
        holding = self.holdings.get(message.lot, link)
        if holding is not None and message.kept < holding.slots:
            reason = f"forfeited: {message.reason[: messages.REASON_LIMIT]}"
            self._lose(holding, holding.slots - message.kept, reason, now)

    def release(self, command: ReleaseSlots) -> None:
        """Gives slots back; more than are held are all that are held."""
        holding = self.holdings.get(command.lot, command.peer)
        slots = 0 if holding is None else min(command.slots, holding.slots)
        if holding is None or slots <= 0:
            return
        self._take(holding, slots)
        self._send(command.peer, messages.Release(command.lot, slots, holding.slots))
        if not holding.slots:
            self._answered(command.lot, command.peer)
        self._touched.setdefault(holding.key, False)

    def gone(self, bidder: bytes, reason: str, is_back: bool, now: Now) -> None:
        """A bidder is gone, and with it the slots that it had granted.

        Where it `is_back` under a new boot it may have granted some already, before
        this peer knew: it is told that they are not held.
        """
        for holding in self.holdings.of(bidder):
            if is_back:
                self._send(bidder, messages.Release(holding.lot, holding.slots))
            self._lose(holding, holding.slots, reason, now)

    def _lose(self, holding: Holding, slots: int, reason: str, now: Now) -> None:
        """Slots are gone; who bid next for them gets them, if the lot is unsettled."""
        bidder, key = holding.bidder, holding.key
        self._take(holding, slots)
        lost = events.SlotsLost(holding.lot, *key[:2], bidder, slots, reason)
        self._effects.append(Emit(lost))
        lot = self.unsettled.get(holding.lot)
        if lot is None or holding.is_accepted:
            self._touched.setdefault(key, False)
            return
        self._standings.lapse(bidder, now.monotonic_ns)
        won = lot.winners[bidder]
        lot.limits[bidder] = min(lot.limits.get(bidder, won), won - slots)
        if not holding.slots:
            lot.unanswered.pop(bidder, None)
        if self.award(lot, now) < slots:
            self._touched[key] = True
        self._settle(lot)

    def _take(self, holding: Holding, slots: int) -> None:
        self.holdings.take(holding, slots)
        if not len(self.holdings):
            self._agenda.drop(RENEW)

    def _answered(self, name: str, bidder: bytes) -> None:
        lot = self.unsettled.get(name)
        if lot is not None:
            lot.unanswered.pop(bidder, None)
            self._settle(lot)

    def _settle(self, lot: Lot) -> None:
        if not lot.unanswered:
            self.unsettled.pop(lot.id, None)
            self._agenda.drop(("award", lot.id))

    def repeat(self, name: str, now: Now) -> None:
        """Winners that did not answer get the award again, and after a lease lose the slots."""
        lot = self.unsettled[name]
        assert lot.award is not None, "only an award is repeated"
        if now.monotonic_ns < lot.expires_at:
            self._tell(list(lot.unanswered), lot.award)
            again = min(now.monotonic_ns + self._parameters.award_retry_ns, lot.expires_at)
            self._agenda.put(("award", name), again)
            return
        for bidder in tuple(lot.unanswered):
            holding = self.holdings.get(name, bidder)
            assert holding is not None, "unanswered-slots-are-held"
            self._lose(holding, holding.slots, "no answer to the award", now)

    def renew(self, now: Now) -> None:
        """Tells every bidder that its slots are still held."""
        for holding in self.holdings:
            if holding.is_accepted:
                self._send(holding.bidder, messages.Renew(holding.lot, holding.slots))
        if len(self.holdings):
            self._agenda.put(RENEW, now.monotonic_ns + self._parameters.lease_ns // 3)

    def _send(self, to: bytes, message: Message) -> None:
        self._effects.append(Send(to, message))

    def check(self) -> None:
        """Asserts the invariants of what is held."""
        self.holdings.check()
        self.history.check()
        assert len(self.unsettled) <= LOTS_LIMIT, "bounded-auction-tables: unsettled lots"
        for name, lot in self.unsettled.items():
            assert lot.phase is Phase.AWARDED, "settled-lots-are-forgotten: it is still open"
            assert lot.unanswered, "settled-lots-are-forgotten: nobody is awaited"
            assert ("award", name) in self._agenda, "settled-lots-are-forgotten: never repeated"
            for bidder in lot.unanswered:
                assert self.holdings.get(name, bidder), "unanswered-slots-are-held"
