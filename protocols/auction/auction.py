"""The auction of one peer: issuer of its own lots, bidder in everybody's, its own included.

Driven by local commands (demand, capacity, who is there), remote messages and
time. The issuer's half and the bidder's half share nothing but this face and
the list of effects; they speak to each other as they do to other peers, by
messages to oneself.

Invariants:
    one-winner: of every skill hosted here, granted and reserved slots never exceed the capacity.
    held-slots-add-up: held slots are counted once per lot and bidder, and none is empty.
    one-open-lot: a demand has at most one open lot, and every open lot a demand and a timer.
    unanswered-slots-are-held: a winner whose answer is awaited holds slots of the lot.
    settled-lots-are-forgotten: a lot with no answer to come is not kept.
    grants-are-leased: every grant has slots, and a lease that runs out.
    reservations-end-with-the-bid: only open bids reserve, and every bid has a timer.
    open-bids-add-up: open bids are counted once per issuer.
    bounded-auction-tables: demands, lots, bids, grants, waiting issuers and stories have limits.

Source: a sealed-bid multi-unit auction by commit and reveal; the rules
are on docs/protocols/auction.md.
"""

import random
from collections.abc import Callable, Iterable, Iterator

import msgspec

from protocols.auction import commands, messages
from protocols.auction.bidder import Bidder
from protocols.auction.candidates import Candidates
from protocols.auction.events import LotCleared
from protocols.auction.issuer import Issuer
from protocols.auction.parameters import AuctionParameters
from protocols.auction.records import LotRecord
from protocols.auction.standing import Standing
from protocols.effects import Effect
from protocols.machine import Instant, Now


class Auction:
    """One peer's auction machine."""

    def __init__(
        self,
        me: bytes,
        parameters: AuctionParameters,
        rng: random.Random,
        entropy: Callable[[int], bytes],
        boot: int,
    ) -> None:
        """Starts with nothing sought, hosted, held or granted.

        Args:
            me: this peer's id.
            parameters: windows, leases and pauses.
            rng: chooses whom to invite.
            entropy: secret bytes, for nonces and tie-break seeds.
            boot: how often this peer has started; makes names of lots unique.
        """
        self._me = me
        self._effects: list[Effect] = []
        self._candidates = Candidates(me, rng)
        self._bidder = Bidder(me, entropy, self._effects)
        self._issuer = Issuer(
            me,
            boot,
            parameters,
            self._candidates,
            entropy,
            self._bidder.supply.hosts,
            self._effects,
        )

    # The interface of a machine.

    def submit(self, command: msgspec.Struct, now: Now) -> tuple[Effect, ...]:
        """Takes local intent: demand, release, capacity, observations, who is there.

        Raises:
            Refused: a number is negative, or too many skills are sought or priced.
        """
        match command:
            case commands.Seek():
                self._issuer.seek(command, now)
            case commands.ReleaseSlots():
                self._issuer.release(command, now)
            case commands.SetCapacity():
                self._set_capacity(command, now)
            case commands.ObserveWork():
                self._bidder.observe(command, now)
            case commands.SetPrice():
                self._bidder.supply.price(command)
            case commands.ObserveCompletion():
                skill = (command.skill, command.version)
                self._issuer.standings.observe(
                    command.peer, skill, command.claimed_us, command.actual_us
                )
            case commands.BarCandidate():
                self._bar(command, now)
            case commands.CandidateUp():
                self._candidate_up(command, now)
            case commands.CandidateDown():
                self._candidate_down(command, now)
            case commands.CandidateLoad():
                self._candidates.loaded(command.peer, command.load)
            case _:
                raise AssertionError(f"no auction command: {type(command).__name__}")
        return self._take_effects()

    def receive(
        self, link: bytes, author: bytes, message: msgspec.Struct, now: Now
    ) -> tuple[Effect, ...]:
        """Takes a remote message; what does not fit is dropped."""
        match message:
            case messages.Invite():
                self._bidder.on_invite(link, message, now)
            case messages.Commit():
                self._issuer.on_commit(link, message, now)
            case messages.Decline():
                self._issuer.on_decline(link, message, now)
            case messages.Book():
                self._bidder.on_book(link, message)
            case messages.Reveal():
                self._bidder.on_reveal(link, message)
                self._issuer.on_reveal(link, message, now)
            case messages.Award():
                self._bidder.on_award(link, message, now)
            case messages.Accept():
                self._issuer.on_accept(link, message)
            case messages.Forfeit():
                self._issuer.on_forfeit(link, message, now)
            case messages.Renew():
                self._bidder.on_renew(link, message, now)
            case messages.Release():
                self._bidder.on_release(link, message, now)
            case messages.Recall():
                self._issuer.giving.on_recall(link, message, now.monotonic_ns)
            case messages.Vacancy():
                self._issuer.on_vacancy(link, message, now)
            case _:
                pass
        return self._take_effects()

    def wake(self, now: Now) -> tuple[Effect, ...]:
        """Closes windows, renews leases, tries again: whatever is due."""
        self._issuer.wake(now)
        self._bidder.wake(now)
        return self._take_effects()

    def deadline(self) -> Instant | None:
        """The least instant of both halves; None when nothing is sought, held or granted."""
        issuer, bidder = self._issuer.deadline(), self._bidder.deadline()
        if issuer is None or bidder is None:
            return bidder if issuer is None else issuer
        return min(issuer, bidder)

    def snapshot(self) -> Iterator[msgspec.Struct]:
        """The stories of awarded lots; slots do not survive a restart."""
        return (LotRecord(story) for story in self._issuer.awards.history.awarded())

    def restore(self, records: Iterable[msgspec.Struct], now: Now) -> None:
        """Takes the stories back."""
        for record in records:
            assert isinstance(record, LotRecord), "an auction records lots only"
            self._issuer.awards.history.put(record.story)

    def check(self) -> None:
        """Asserts the invariants of both halves."""
        assert not self._effects, "every step hands out all its effects"
        self._candidates.check()
        self._issuer.check()
        self._bidder.check()

    # Queries.

    def lot_story(self, lot: str) -> LotCleared | None:
        """What happened in a lot of this peer, for `mesh why`; None if it is forgotten."""
        return self._issuer.awards.history.get(lot)

    def stories(self) -> Iterator[LotCleared]:
        """The stories that are kept, lots without award first, each kind oldest first."""
        return self._issuer.awards.history.recent()

    def standing(self, peer: bytes) -> Standing:
        """What this peer, as issuer, remembers of a bidder."""
        return self._issuer.standings.of(peer)

    def issuer_standing(self, peer: bytes) -> Standing:
        """What this peer, as bidder, remembers of an issuer."""
        return self._bidder.standings.of(peer)

    def held(self, skill: str, version: str, requires: tuple[str, ...] = ()) -> int:
        """How many slots are held for a demand."""
        return self._issuer.awards.holdings.sum((skill, version, requires))

    def granted(self, skill: str, version: str) -> int:
        """How many slots of a skill hosted here are granted."""
        host = self._bidder.supply.exact(skill, version)
        return 0 if host is None else host.granted

    # Who is there.

    def _set_capacity(self, command: commands.SetCapacity, now: Now) -> None:
        self._bidder.set_capacity(command, now)
        if command.slots:
            self._issuer.retry(now, ((command.skill, command.version),))

    def _bar(self, command: commands.BarCandidate, now: Now) -> None:
        key = (command.skill, command.version)
        self._candidates.bar(key, command.peer, command.is_barred)
        if not command.is_barred:
            self._issuer.retry(now, (key,))

    def _candidate_up(self, command: commands.CandidateUp, now: Now) -> None:
        peer = command.peer
        if peer == self._me:
            gained = frozenset(command.labels) - self._candidates.own_labels
            self._candidates.own_labels = frozenset(command.labels)
            if gained:
                self._issuer.retry(now, command.skills)
            return
        boot = self._candidates.boot(peer)
        if boot is not None and command.boot < boot:
            return
        known = self._candidates.skills(peer)
        if not self._candidates.labels(peer).issuperset(command.labels):
            known = ()  # it may be fit now for what it was not fit for before
        if boot is not None and command.boot > boot:
            self._candidates.remove(peer)
            self._issuer.standings.renew(peer)
            self._bidder.standings.renew(peer)
            self._issuer.gone(peer, "it has restarted", is_back=True, now=now)
            known = ()
        if boot != command.boot:
            # What an earlier boot had opened is void, also where this peer never heard of it.
            self._bidder.gone(peer, command.boot, now)
        if self._candidates.put(peer, command.boot, command.skills, command.labels):
            new = tuple(skill for skill in command.skills if skill not in known)
            self._issuer.retry(now, new)

    def _candidate_down(self, command: commands.CandidateDown, now: Now) -> None:
        self._candidates.remove(command.peer)
        self._issuer.gone(command.peer, command.reason, is_back=False, now=now)
        self._bidder.gone(command.peer, None, now)

    def _take_effects(self) -> tuple[Effect, ...]:
        if not self._effects:
            return ()
        effects = tuple(self._effects)
        self._effects.clear()
        return effects
