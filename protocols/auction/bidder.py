"""The bidder's half: seals bids, opens them, checks awards, grants slots.

States of a bid: COMMITTED, REVEALED, SETTLED (`bids.BidPhase`), then forgotten.
Invariant: granted + reserved slots of a skill never exceed its capacity.
What the rules are, and why: docs/protocols/auction.md, "A bid".
"""

from collections.abc import Callable

from protocols.auction import commands, messages
from protocols.auction.agenda import Agenda
from protocols.auction.bids import Bid, BidPhase
from protocols.auction.clearing import contradiction
from protocols.auction.grants import Grants
from protocols.auction.lot_ids import lot_boot
from protocols.auction.parameters import (
    AFTERLIFE_NS,
    BIDS_LIMIT,
    BIDS_PER_ISSUER_LIMIT,
    LEASE_LEAST_NS,
    LEASE_MOST_NS,
    REMEMBERED_BIDS_LIMIT,
    RESERVATION_SLACK_NS,
    WINDOW_MOST_NS,
)
from protocols.auction.recalls import Recalls
from protocols.auction.sealing import NONCE_BYTES
from protocols.auction.standing import Standings
from protocols.auction.supply import Host, Supply
from protocols.auction.waiting import Waiting
from protocols.effects import Blame, Effect, Send
from protocols.errors import Refused
from protocols.machine import MICROSECOND_NS, Instant, Now
from protocols.wire import Message

BUSY, NO_SKILL, TOO_MANY, DISTRUSTED = "busy", "no-skill", "too-many-lots", "distrusted"


class Bidder:
    """Hosts, bids and grants of one peer.

    Appends what it wants done to `effects`, which the auction hands out after
    each step.
    """

    def __init__(self, me: bytes, entropy: Callable[[int], bytes], effects: list[Effect]) -> None:
        self._me = me
        self._entropy = entropy
        self._effects = effects
        self._bids: dict[str, Bid] = {}
        self._open: dict[bytes, int] = {}
        self._agenda: Agenda[str] = Agenda()
        self.supply = Supply()
        self.grants = Grants(effects)
        self._recalls = Recalls(self.grants, effects)
        self._waiting = Waiting(self._recalls, effects)
        self.standings = Standings()

    def deadline(self) -> Instant | None:
        """When `wake` is wanted."""
        bids, leases = self._agenda.next(), self.grants.deadline()
        if bids is None or leases is None:
            return leases if bids is None else bids
        return min(bids, leases)

    def set_capacity(self, command: commands.SetCapacity, now: Now) -> None:
        """Takes how many slots a skill has. Fewer than are promised: some are taken back.

        Raises:
            Refused: a negative number.
        """
        if command.slots < 0:
            raise Refused("BadCapacity", "slots must not be negative")
        host = self.supply.exact(command.skill, command.version)
        if host is None:
            if not command.slots:
                return
            host = self.supply.add(command.skill, command.version)
        self._cut(host, command.slots)
        host.slots = command.slots
        if not host.slots:
            self._settle_all(host)
            self.supply.withdraw(host)
            self._recalls.forget(host)
        self._tell_waiting(now)

    def _cut(self, host: Host, slots: int) -> None:
        """Takes back what exceeds `slots`: reservations first, then the latest grants."""
        for bid in reversed(tuple(self._bids.values())):
            excess = host.granted + host.reserved - slots
            if excess <= 0:
                return
            if bid.host is host and bid.reserved:
                taken = min(excess, bid.reserved)
                bid.reserved -= taken
                host.reserved -= taken
        for grant in reversed(tuple(self.grants)):
            excess = host.granted + host.reserved - slots
            if excess <= 0:
                return
            if grant.host is host:
                lost = self.grants.keep(grant, max(0, grant.slots - excess))
                self._forfeit(grant.issuer, grant.lot, lost, "capacity withdrawn", grant.slots)

    def _settle_all(self, host: Host) -> None:
        for bid in tuple(self._bids.values()):
            if bid.host is host:
                self._drop(bid)

    def observe(self, command: commands.ObserveWork, now: Now) -> None:
        """Takes how busy a skill is. Numbers out of range are brought into it."""
        host = self.supply.exact(command.skill, command.version)
        if host is not None:
            host.queued = min(max(command.queued, 0), 2**31)
            host.mean_us = min(max(command.mean_us, 0), 2**62)
            host.direct = min(max(command.direct, 0), 2**31)
            self._tell_waiting(now)

    # Bidding.

    def on_invite(self, link: bytes, message: messages.Invite, now: Now) -> None:
        """An invitation: answered by a sealed bid, or declined with the reason."""
        bid = self._bids.get(message.lot)
        if bid is not None:
            if bid.is_open and bid.invite == message:
                self._seal(bid)
            return
        if message.lot in self.grants or not self._is_sound(link, message):
            return
        host = self.supply.find(message.skill, message.version)
        reason = self._objection(link, host, now)
        ask = (link, message.skill, message.version)
        mono = now.monotonic_ns
        waited = self._waiting.waited(ask, mono)
        schedule: tuple[messages.Unit, ...] = ()
        if host is not None and not reason:
            schedule = host.offer(message, waited, self._recalls.kept_from(host, link, mono))
        if host is None or not schedule:
            if host is not None and not reason:
                reason = BUSY
                self._waiting.add(ask, mono)
                self._recalls.turned_away(host, link, message, waited, mono)
            retry_us = 0 if host is None else host.mean_us  # until the next task here ends
            self._send(link, messages.Decline(message.lot, reason, retry_us))
            return
        self._waiting.served(ask)
        self._recalls.served(host, link)
        bid = Bid(self._me, link, message, host, schedule, self._entropy(NONCE_BYTES))
        self._make_room()
        self._bids[bid.lot] = bid
        self._open[link] = self._open.get(link, 0) + 1
        host.reserved += bid.reserved
        window_ns = min(message.window_us * MICROSECOND_NS, WINDOW_MOST_NS)
        self._agenda.put(bid.lot, now.monotonic_ns + 2 * window_ns + RESERVATION_SLACK_NS)
        self._seal(bid)

    def _seal(self, bid: Bid) -> None:
        """Sends the commitment; in a pair, where the issuer's is known, the bid with it."""
        self._send(bid.issuer, messages.Commit(bid.lot, bid.commitment))
        if bid.is_pair:
            bid.phase = BidPhase.REVEALED
            bid.book = bid.pair_book()
            self._send(bid.issuer, messages.Reveal(bid.lot, bid.nonce, bid.schedule))

    def _is_sound(self, link: bytes, invite: messages.Invite) -> bool:
        """Whether an invitation is its sender's own, and for this peer."""
        if lot_boot(invite.lot, link) is None or invite.units <= 0:
            return False
        peers = [candidate.peer for candidate in invite.candidates]
        if len(peers) > messages.BIDDERS_PER_LOT_LIMIT or len(set(peers)) != len(peers):
            return False
        return self._me in peers

    def _objection(self, link: bytes, host: Host | None, now: Now) -> str:
        if host is None:
            return NO_SKILL
        if self.standings.of(link).shunned(now.monotonic_ns):
            return DISTRUSTED
        is_crowded = sum(self._open.values()) >= BIDS_LIMIT or not self.grants.has_room()
        if is_crowded or self._open.get(link, 0) >= BIDS_PER_ISSUER_LIMIT:
            return TOO_MANY
        return ""

    def _make_room(self) -> None:
        """Forgets the oldest bid that was decided when too many are remembered."""
        if len(self._bids) >= REMEMBERED_BIDS_LIMIT:
            self._drop(next(bid for bid in self._bids.values() if not bid.is_open))

    def on_book(self, link: bytes, message: messages.Book) -> None:
        """The window is closed: opens the bid to the issuer and to the other bidders."""
        bid = self._own(link, message.lot)
        if bid is None or bid.phase is not BidPhase.COMMITTED:
            return
        sealed = {line.bidder: line.commitment for line in message.sealed}
        if len(sealed) != len(message.sealed) or not all(map(bid.is_candidate, sealed)):
            self._drop(bid)
            self._effects.append(Blame(link, "book lists a peer that was not invited, or twice"))
            return
        if sealed.get(self._me) != bid.commitment:
            # Another boot of this peer may have bid in this lot: no offence, and no bid.
            self._drop(bid)
            return
        bid.phase = BidPhase.REVEALED
        bid.book = message.sealed
        reveal = messages.Reveal(bid.lot, bid.nonce, bid.schedule)
        for peer in dict.fromkeys((link, *sealed)):
            if peer != self._me or link == self._me:
                self._send(peer, reveal)

    def on_reveal(self, link: bytes, message: messages.Reveal) -> None:
        """Another bidder's reveal; it may come before the book."""
        bid = self._bids.get(message.lot)
        if bid is not None and bid.is_open and link != self._me:
            bid.see(messages.Opened(link, message.nonce, message.schedule))

    # Awards.

    def on_award(self, link: bytes, message: messages.Award, now: Now) -> None:
        """The outcome: recomputed, and then held to, or refused."""
        bid = self._own(link, message.lot)
        won = sum(winner.slots for winner in message.winners if winner.bidder == self._me)
        if bid is None:
            if won:
                self._answer_unknown(link, message.lot, won)
            return
        # What this peer decided in this very step is not worked out a second time.
        offence = None if link == self._me else contradiction(bid.invite, bid.book, message)
        if offence is not None:
            self._repudiate(bid, won, offence, now)
            return
        if bid.is_open:
            self.standings.keep(link)
            if bid.leaves_out(message.opened):
                self.standings.omit(link)
        self._settle(bid, won, now)
        self._tell_waiting(now)

    def _answer_unknown(self, link: bytes, lot: str, won: int) -> None:
        grant = self.grants.of(lot, link)
        if grant is not None:
            self._send(link, messages.Accept(lot))
        else:
            self._forfeit(link, lot, won, "the lot is not known here", 0)

    def _repudiate(self, bid: Bid, won: int, offence: str, now: Now) -> None:
        """Takes no part in a lot whose award does not follow."""
        grant = self.grants.of(bid.lot, bid.issuer)
        if grant is not None:
            self.grants.keep(grant, 0)
        self._drop(bid)
        if won:
            self._forfeit(bid.issuer, bid.lot, won, offence, 0)
        self.standings.lapse(bid.issuer, now.monotonic_ns)
        self._effects.append(Blame(bid.issuer, offence))
        self._tell_waiting(now)

    def _settle(self, bid: Bid, won: int, now: Now) -> None:
        """Grants what was won beyond what earlier awards of the lot gave, as far as it is free."""
        reserved = bid.reserved
        self._unreserve(bid)
        if bid.is_open:
            self._close(bid)
            self._agenda.put(bid.lot, now.monotonic_ns + AFTERLIFE_NS)
        wanted = max(0, won - bid.awarded)
        bid.awarded += wanted
        # What was set aside stays promised, whatever has come without a lot meanwhile.
        room = max(reserved, bid.host.free)
        taken = min(wanted, room) if self.grants.has_room() else 0
        if taken:
            lease_ns = bid.invite.lease_us * MICROSECOND_NS
            lease_ns = min(max(lease_ns, LEASE_LEAST_NS), LEASE_MOST_NS)
            self.grants.give(bid.lot, bid.issuer, bid.host, taken, lease_ns, now)
        grant = self.grants.of(bid.lot, bid.issuer)
        if won and (taken < wanted or grant is None):
            kept = 0 if grant is None else grant.slots
            self._forfeit(bid.issuer, bid.lot, wanted - taken, "no free slot", kept)
        if won and grant is not None:
            self._send(bid.issuer, messages.Accept(bid.lot))

    # Leases.

    def on_renew(self, link: bytes, message: messages.Renew, now: Now) -> None:
        """The issuer holds so many slots: no more than are granted, or it is told."""
        grant = self.grants.of(message.lot, link)
        if grant is None:
            bid = self._own(link, message.lot)
            if bid is not None and bid.is_open:
                self._drop(bid)
            self._forfeit(link, message.lot, message.slots, "the lot is not known here", 0)
        else:
            self.grants.keep(grant, message.slots)
            if message.slots > grant.slots:
                lacking = message.slots - grant.slots
                self._forfeit(link, grant.lot, lacking, "not granted", grant.slots)
            if grant.slots:
                self.grants.extend(grant, now)
        self._tell_waiting(now)

    def on_release(self, link: bytes, message: messages.Release, now: Now) -> None:
        """The issuer gives slots back, or does not need the bid."""
        grant = self.grants.of(message.lot, link)
        if grant is not None:
            self.grants.keep(grant, message.kept)
        bid = self._own(link, message.lot)
        if bid is not None and not message.kept:
            self._drop(bid)
        self._tell_waiting(now)

    def gone(self, issuer: bytes, before_boot: int | None, now: Now) -> None:
        """An issuer is gone: its grants end, its bids are void.

        `before_boot` where it is back: what it opened under that boot or a later one stands.
        """

        def is_void(lot: str) -> bool:
            boot = lot_boot(lot, issuer)
            return before_boot is None or boot is None or boot < before_boot

        for grant in self.grants:
            if grant.issuer == issuer and is_void(grant.lot):
                self.grants.keep(grant, 0)
        for bid in tuple(self._bids.values()):
            if bid.issuer == issuer and is_void(bid.lot):
                self._drop(bid)
        self._waiting.forget(issuer)
        self._tell_waiting(now)

    def wake(self, now: Now) -> None:
        """Ends what has run out: bids without award, memories of bids, leases."""
        for lot in self._agenda.due(now.monotonic_ns):
            bid = self._bids[lot]
            if bid.is_open:
                self.standings.lapse(bid.issuer, now.monotonic_ns)
            self._drop(bid)
        for grant in self.grants.expired(now):
            slots = grant.slots
            self.grants.keep(grant, 0)
            self._forfeit(grant.issuer, grant.lot, slots, "the lease ran out", 0)
        self._tell_waiting(now)

    # Inside.

    def _own(self, issuer: bytes, lot: str) -> Bid | None:
        bid = self._bids.get(lot)
        return bid if bid is not None and bid.issuer == issuer else None

    def _unreserve(self, bid: Bid) -> None:
        bid.host.reserved -= bid.reserved
        bid.reserved = 0

    def _close(self, bid: Bid) -> None:
        bid.phase = BidPhase.SETTLED
        self._open[bid.issuer] -= 1
        if not self._open[bid.issuer]:
            del self._open[bid.issuer]

    def _drop(self, bid: Bid) -> None:
        """Forgets a bid, and frees what it had reserved."""
        self._unreserve(bid)
        if bid.is_open:
            self._close(bid)
        del self._bids[bid.lot]
        self._agenda.drop(bid.lot)

    def _tell_waiting(self, now: Now) -> None:
        if len(self._waiting):
            self._waiting.tell(self.supply, now.monotonic_ns)

    def _forfeit(self, issuer: bytes, lot: str, slots: int, reason: str, kept: int) -> None:
        self._send(issuer, messages.Forfeit(lot, slots, reason, kept))

    def _send(self, to: bytes, message: Message) -> None:
        self._effects.append(Send(to, message))

    def check(self) -> None:
        """Asserts the bidder's invariants."""
        self.grants.check()
        assert len(self._bids) <= REMEMBERED_BIDS_LIMIT, "bounded-auction-tables: bids"
        self._waiting.check()
        is_open = [bid for bid in self._bids.values() if bid.is_open]
        assert len(is_open) <= BIDS_LIMIT, "bounded-auction-tables: open bids"
        assert sum(self._open.values()) == len(is_open), "open-bids-add-up"
        for bid in self._bids.values():
            assert bid.is_open or not bid.reserved, "reservations-end-with-the-bid"
            assert bid.lot in self._agenda, "reservations-end-with-the-bid: no timer"
        granted: dict[Host, int] = {}
        for grant in self.grants:
            granted[grant.host] = granted.get(grant.host, 0) + grant.slots
        reserved: dict[Host, int] = {}
        for bid in self._bids.values():
            reserved[bid.host] = reserved.get(bid.host, 0) + bid.reserved
        for host in self.supply:
            assert host.granted == granted.pop(host, 0), "one-winner: grants miscounted"
            assert host.reserved == reserved.pop(host, 0), "one-winner: reservations miscounted"
            assert host.granted + host.reserved <= host.slots, "one-winner: promised twice"
        assert not granted, "one-winner: slots of nothing hosted are granted"
        assert not any(reserved.values()), "one-winner: slots of nothing hosted are reserved"
