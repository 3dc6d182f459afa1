"""The issuer's half: demand becomes lots, lots become slots that are held.

States of a lot: COMMITTING, REVEALING, AWARDED (`lots.Phase`), then forgotten.
Invariants: at most one open lot per demand; held slots add up; tables are bounded.
What the rules are, and why: docs/protocols/auction.md, "Phases of a lot".
"""

from collections.abc import Callable

import msgspec

from protocols.auction import commands, events, messages
from protocols.auction.agenda import Agenda
from protocols.auction.awards import ALL, Awards, Due
from protocols.auction.candidates import Candidates
from protocols.auction.giving import Giving
from protocols.auction.inviting import Inviting
from protocols.auction.lot_ids import lot_boot
from protocols.auction.lots import Demand, Key, Lot, Phase
from protocols.auction.parameters import AVOID_NS, DEMANDS_LIMIT, LOTS_LIMIT, AuctionParameters
from protocols.auction.sealing import opens
from protocols.auction.standing import Standings
from protocols.effects import Blame, Effect, Emit, Send
from protocols.errors import Refused
from protocols.machine import Instant, Now
from protocols.wire import Message


class Issuer:
    """Lots, demands and holdings of one peer.

    Appends what it wants done to `effects`, which the auction hands out after
    each step.
    """

    def __init__(
        self,
        me: bytes,
        boot: int,
        parameters: AuctionParameters,
        candidates: Candidates,
        entropy: Callable[[int], bytes],
        hosts: Callable[[str, str], bool],
        effects: list[Effect],
    ) -> None:
        """Takes the peer's own id and boot; `hosts` says whether it hosts a skill itself."""
        self._me = me
        self._parameters = parameters
        self._candidates = candidates
        self._effects = effects
        self._demands: dict[Key, Demand] = {}
        self._lots: dict[str, Lot] = {}
        self._agenda: Agenda[Due] = Agenda()
        self.standings = Standings()
        self.awards = Awards(me, parameters, self.standings, self._agenda, effects)
        self.giving = Giving(self.awards.holdings, effects)
        self._inviting = Inviting(
            me, boot, parameters, candidates, entropy, hosts, self.standings, self.awards.holdings
        )

    def deadline(self) -> Instant | None:
        """When `wake` is wanted."""
        return self._agenda.next()

    # Demand.

    def seek(self, command: commands.Seek, now: Now) -> None:
        """Takes how many slots are wanted in all, and opens a lot where they are too few.

        Raises:
            Refused: a negative number, or too many skills at one time.
        """
        if command.units < 0 or command.estimate_us < 0:
            raise Refused("BadDemand", "units and estimate_us must not be negative")
        key = (command.skill, command.version, command.requires)
        demand = self._demands.get(key)
        if demand is None:
            if not command.units:
                return
            if len(self._demands) >= DEMANDS_LIMIT:
                raise Refused("TooManyDemands", f"{DEMANDS_LIMIT} skills are sought already")
            demand = self._demands[key] = Demand(key)
        demand.units = command.units
        demand.estimate_us = command.estimate_us
        demand.trace = command.trace
        demand.avoid = command.avoid
        demand.avoid_until = now.monotonic_ns + AVOID_NS
        self._pursue(demand, now)

    def retry(self, now: Now, skills: tuple[tuple[str, str], ...]) -> None:
        """Somebody hosts these skills now: demands that wait for them wait no longer."""
        for skill, version in skills:
            for wanted in dict.fromkeys((version, "")):
                for demand in self._of((skill, wanted)):
                    demand.retry_at = None
                    self._pursue(demand, now)

    def _of(self, skill: tuple[str, str]) -> list[Demand]:
        """The demands for a skill, whatever labels they ask for."""
        return [demand for demand in self._demands.values() if demand.skill == skill]

    def _short(self, demand: Demand) -> int:
        return demand.units - self.awards.holdings.sum(demand.key)

    def _is_crowded(self) -> bool:
        return len(self._lots) + len(self.awards.unsettled) >= LOTS_LIMIT

    def _pursue(self, demand: Demand, now: Now) -> None:
        """Opens a lot if one is wanted and may be opened now."""
        if demand.lot is not None:
            return
        short = self._short(demand)
        if short <= 0:
            self._agenda.drop(("demand", demand.key))
            demand.retry_at = None
            demand.failures = 0
            if not demand.units:
                self._demands.pop(demand.key, None)
                self.giving.forget(demand.key)
            return
        if demand.retry_at is None and self._is_crowded():
            demand.retry_at = now.monotonic_ns + self._parameters.retry_first_ns
        rests_until = self.giving.rests_until(demand.key)
        if now.monotonic_ns < rests_until:
            demand.retry_at = max(demand.retry_at or 0, rests_until)
        if demand.retry_at is not None and now.monotonic_ns < demand.retry_at:
            self._agenda.put(("demand", demand.key), demand.retry_at)
            return
        demand.retry_at = None
        self._agenda.drop(("demand", demand.key))
        self._open(demand, min(short, self._parameters.units_per_lot), now)

    def _open(self, demand: Demand, units: int, now: Now) -> None:
        lot = self._inviting.lot(demand, units, now)
        if lot is None:
            self._fell_short(demand, now)
            self._failed(demand, "", "no-candidate", now)
            return
        self._lots[lot.id] = lot
        demand.lot = lot
        demand.has_vacancy = False
        self._agenda.put(("lot", lot.id), now.monotonic_ns + self._parameters.window_ns)
        for candidate in lot.candidates:
            if candidate.peer not in lot.unasked:
                self._send(candidate.peer, lot.invite)

    def _ask_others(self, lot: Lot, seal: bytes) -> None:
        """The issuer's own half of a pair is settled: now the other one is asked."""
        unasked, lot.unasked = lot.unasked, ()
        for peer in unasked:
            if peer not in lot.declines:
                self._send(peer, msgspec.structs.replace(lot.invite, seal=seal))

    def _fell_short(self, demand: Demand, now: Now) -> None:
        """The next lot for this demand has to wait a little: 20 ms, doubling to 1 s."""
        parameters = self._parameters
        pause = min(parameters.retry_first_ns << min(demand.failures, 32), parameters.retry_most_ns)
        demand.failures += 1
        if demand.has_vacancy:
            demand.has_vacancy = False
            pause = min(pause, parameters.vacancy_pause_ns)
        demand.last_attempt = now.monotonic_ns
        demand.retry_at = now.monotonic_ns + pause
        self._agenda.put(("demand", demand.key), demand.retry_at)

    def _failed(self, demand: Demand, lot: str, reason: str, now: Now) -> None:
        assert demand.retry_at is not None, "a lot that failed is tried again"
        retry_ns = demand.retry_at - now.monotonic_ns
        self._effects.append(Emit(events.LotFailed(lot, *demand.skill, reason, retry_ns)))

    # Committing.

    def on_commit(self, link: bytes, message: messages.Commit, now: Now) -> None:
        """A sealed bid. One that comes too late is told that it is not needed."""
        lot = self._lots.get(message.lot)
        self.standings.answer(link)
        if lot is None or self._is_late(lot, link):
            is_mine = lot_boot(message.lot, self._me) is not None
            if is_mine and self.awards.holdings.get(message.lot, link) is None:
                self._send(link, messages.Release(message.lot, ALL))
            return
        if lot.phase is not Phase.COMMITTING or not lot.is_invited(link):
            return
        if link in lot.commitments or link in lot.declines:
            return
        lot.commitments[link] = message.commitment
        if lot.unasked and link == self._me:
            self._ask_others(lot, message.commitment)
        if lot.all_answered():
            self._close_window(lot, now)

    def _is_late(self, lot: Lot, link: bytes) -> bool:
        return lot.phase is not Phase.COMMITTING and link not in lot.commitments

    def on_decline(self, link: bytes, message: messages.Decline, now: Now) -> None:
        """No bid. Whoever has committed cannot decline any more."""
        self.standings.answer(link)
        lot = self._lots.get(message.lot)
        if lot is None or lot.phase is not Phase.COMMITTING or not lot.is_invited(link):
            return
        if link not in lot.commitments and link not in lot.declines:
            lot.declines[link] = message.reason[: messages.REASON_LIMIT]
            if lot.unasked and link == self._me:
                self._inviting.widen(lot, self._demands[lot.key], now.monotonic_ns)
                lot.unasked = tuple(c.peer for c in lot.candidates if c.peer != self._me)
                self._ask_others(lot, b"")
            if lot.all_answered():
                self._close_window(lot, now)

    def on_vacancy(self, link: bytes, message: messages.Vacancy, now: Now) -> None:
        """A bidder that was full has room: no need to wait for the whole pause."""
        skill = (message.skill, message.version)
        if link != self._me and not self._candidates.hosts(skill, link):
            return
        for demand in self._of(skill):
            if not self._candidates.has(link, demand.requires):
                continue
            if demand.lot is not None:
                demand.has_vacancy = True
            elif demand.retry_at is not None:
                soonest = demand.last_attempt + self._parameters.vacancy_pause_ns
                demand.retry_at = min(demand.retry_at, max(soonest, now.monotonic_ns))
                self._pursue(demand, now)

    def _close_window(self, lot: Lot, now: Now) -> None:
        """The window is closed: the book goes out, or the lot ends here."""
        demand = self._demands[lot.key]
        for candidate in lot.candidates:
            peer = candidate.peer
            was_asked = peer not in lot.unasked
            if was_asked and peer not in lot.commitments and peer not in lot.declines:
                self.standings.lapse(peer, now.monotonic_ns)
        if not lot.commitments or self._short(demand) <= 0:
            self._abandon(lot, demand, now)
            return
        lot.sealed = tuple(
            messages.Sealed(bidder, lot.commitments[bidder]) for bidder in sorted(lot.commitments)
        )
        lot.phase = Phase.REVEALING
        self._agenda.put(("lot", lot.id), now.monotonic_ns + self._parameters.reveal_window_ns)
        book = messages.Book(lot.id, lot.sealed)
        for line in lot.sealed:
            # The other one of a pair knew the book when it was asked, and has shown its bid.
            if not lot.is_pair or line.bidder == self._me:
                self._send(line.bidder, book)

    def _abandon(self, lot: Lot, demand: Demand, now: Now) -> None:
        """Nobody bids, or nothing is wanted any more."""
        for bidder in lot.commitments:
            self._send(bidder, messages.Release(lot.id, ALL))
        self._close(lot, demand)
        if self._short(demand) > 0:
            silent = len(lot.declines) < len(lot.candidates)
            self._without_award(lot, demand, "no-bid" if silent else "no-capacity", now)
        self._pursue(demand, now)

    def _without_award(self, lot: Lot, demand: Demand, reason: str, now: Now) -> None:
        story = lot.story(now)
        self.awards.history.put(story)
        self._effects.append(Emit(story))
        self._fell_short(demand, now)
        self._failed(demand, lot.id, reason, now)

    # Revealing.

    def on_reveal(self, link: bytes, message: messages.Reveal, now: Now) -> None:
        """An opened bid. One that does not match its commitment is no bid, and is blamed."""
        lot = self._lots.get(message.lot)
        if lot is None or lot.phase is not Phase.REVEALING or link not in lot.commitments:
            return
        if link in lot.opened or link in lot.mismatched:
            return
        opened = messages.Opened(link, message.nonce, message.schedule)
        if len(message.schedule) <= messages.UNITS_PER_BID_LIMIT and opens(
            lot.id, lot.commitments[link], opened
        ):
            lot.opened[link] = opened
        else:
            lot.mismatched[link] = None
            self._effects.append(Blame(link, "reveal does not match its commitment"))
        if lot.all_revealed():
            self._clear(lot, now)

    # Awarding and holding.

    def _clear(self, lot: Lot, now: Now) -> None:
        """All are open, or time is up: decides, records, tells."""
        demand = self._demands[lot.key]
        for line in lot.sealed:
            if line.bidder not in lot.opened:
                self.standings.lapse(line.bidder, now.monotonic_ns)
        if self._short(demand) <= 0:
            self._abandon(lot, demand, now)
            return
        self._close(lot, demand)
        lot.phase = Phase.AWARDED
        awarded = self.awards.award(lot, now)
        for bidder in lot.opened:
            if bidder not in lot.winners:
                self.standings.keep(bidder)
        if not awarded:
            self._without_award(lot, demand, "no-bid", now)
        elif awarded < lot.invite.units:
            self._fell_short(demand, now)
        else:
            demand.failures = 0
        self._pursue(demand, now)

    def _close(self, lot: Lot, demand: Demand) -> None:
        del self._lots[lot.id]
        self._agenda.drop(("lot", lot.id))
        demand.lot = None

    def on_accept(self, link: bytes, message: messages.Accept) -> None:
        """A winner agrees."""
        self.standings.answer(link)
        self.awards.on_accept(link, message)

    def on_forfeit(self, link: bytes, message: messages.Forfeit, now: Now) -> None:
        """A winner gives slots up."""
        self.awards.on_forfeit(link, message, now)
        self._follow(now)

    def release(self, command: commands.ReleaseSlots, now: Now) -> None:
        """Slots are not needed any more."""
        self.giving.releases(command.lot, command.peer, now.monotonic_ns)
        self.awards.release(command)
        self._follow(now)

    def _follow(self, now: Now) -> None:
        """Slots were lost: what is wanted is sought again, after a pause if somebody defaulted."""
        for key, was_broken in self.awards.take_touched():
            demand = self._demands.get(key)
            if demand is None:
                continue
            if was_broken and demand.lot is None and self._short(demand) > 0:
                self._fell_short(demand, now)
            self._pursue(demand, now)

    def gone(self, bidder: bytes, reason: str, is_back: bool, now: Now) -> None:
        """A bidder is gone: its slots are lost, and open lots wait for it no longer."""
        for lot in tuple(self._lots.values()):
            if not lot.is_invited(bidder):
                continue
            if lot.phase is Phase.COMMITTING:
                if lot.commitments.pop(bidder, None) is not None and is_back:
                    self._send(bidder, messages.Release(lot.id, ALL))
                lot.declines[bidder] = reason[: messages.REASON_LIMIT]
                if lot.all_answered():
                    self._close_window(lot, now)
            elif bidder in lot.commitments:
                lot.limits[bidder] = 0
                if bidder not in lot.opened:
                    lot.mismatched[bidder] = None
                if lot.all_revealed():
                    self._clear(lot, now)
        self.awards.gone(bidder, reason, is_back, now)
        self._follow(now)

    # Time.

    def wake(self, now: Now) -> None:
        """Does what is due."""
        for due in self._agenda.due(now.monotonic_ns):
            match due:
                case ("lot", str(name)):
                    lot = self._lots[name]
                    if lot.phase is Phase.COMMITTING:
                        self._close_window(lot, now)
                    else:
                        self._clear(lot, now)
                case ("demand", (skill, version, requires)):
                    self._pursue(self._demands[(skill, version, requires)], now)
                case ("award", str(name)):
                    self.awards.repeat(name, now)
                    self._follow(now)
                case _:
                    self.awards.renew(now)

    def _send(self, to: bytes, message: Message) -> None:
        self._effects.append(Send(to, message))

    def check(self) -> None:
        """Asserts the issuer's invariants."""
        self.awards.check()
        assert len(self._demands) <= DEMANDS_LIMIT, "bounded-auction-tables: demands"
        for demand in self._demands.values():
            if demand.lot is not None:
                assert self._lots.get(demand.lot.id) is demand.lot, "one-open-lot: it is not kept"
        for lot in self._lots.values():
            assert self._demands[lot.key].lot is lot, "one-open-lot: a second one"
            assert lot.phase is not Phase.AWARDED, "one-open-lot: it was awarded"
            assert ("lot", lot.id) in self._agenda, "one-open-lot: its window never closes"
