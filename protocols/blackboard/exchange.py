"""Anti-entropy: vectors are compared, and what one lacks is asked for, a piece at a time.

Each `sync_interval_ns` a random member is told this peer's vector (less often while
nothing differs). Whoever sees that it lacks something asks for it; whoever sees that
the other does answers with its own vector. One peer at a time is asked for long
answers, and each piece only after the one before has come: the credits of `bulk`
keep a long answer from delaying anything else.
"""

import random

import msgspec

from protocols.blackboard.events import BoardSynced
from protocols.blackboard.intake import Intake
from protocols.blackboard.messages import BoardDigest, Delta, Want
from protocols.blackboard.outbox import Outbox
from protocols.blackboard.parameters import MEMBERS_LIMIT, BoardParameters
from protocols.blackboard.records import SpanPassed
from protocols.blackboard.store import Store
from protocols.blackboard.sync import delta_of
from protocols.blackboard.vectors import Chain, Reach, Spans, lacks, reaches_of, vector_of
from protocols.machine import Instant, Now

JITTER_PERCENT = 20


class Session(msgspec.Struct):
    """One peer being asked for what it has more."""

    peer: bytes
    number: int
    have: dict[Chain, Spans]
    """What is known of the chains that are asked for, or was described already."""
    ends: Instant
    is_first: bool = False
    """Begun when that peer was first met in this boot."""


class Exchange:
    """Digests, and the one session in which this peer asks.

    Attributes:
        is_quiet: the last comparison found nothing.
    """

    def __init__(
        self,
        parameters: BoardParameters,
        rng: random.Random,
        store: Store,
        intake: Intake,
        outbox: Outbox,
    ) -> None:
        self._parameters = parameters
        self._rng = rng
        self._store = store
        self._intake = intake
        self._outbox = outbox
        self.members: dict[bytes, None] = {}
        self.is_quiet = True
        self._next_at: Instant | None = None
        self._session: Session | None = None
        self._number = rng.getrandbits(32)
        self._unmet: dict[bytes, None] = {}

    # Telling.

    def digest(self, is_reply_wanted: bool) -> BoardDigest:
        """What this peer knows."""
        store = self._store
        return BoardDigest(
            reaches_of(store.chains.known()),
            vector_of(store.floor),
            store.live_digest(),
            is_reply_wanted,
        )

    def member_up(self, peer: bytes, now: Instant) -> None:
        """A member is alive: compare at once."""
        if len(self.members) >= MEMBERS_LIMIT:
            return
        self.members[peer] = None
        self._unmet[peer] = None
        self._outbox.send(peer, self.digest(is_reply_wanted=True))
        if self._next_at is None:
            self._schedule(now)

    def member_down(self, peer: bytes) -> None:
        """A member is gone."""
        self.members.pop(peer, None)
        self._unmet.pop(peer, None)
        if self._session is not None and self._session.peer == peer:
            self._session = None
        if not self.members:
            self._next_at = None

    def ask_again(self, peer: bytes, now: Now) -> None:
        """A member stated something new: where nothing is asked of anybody, look at it."""
        if self._session is None and peer in self._unmet:
            self._outbox.send(peer, self.digest(is_reply_wanted=True))

    def stir(self, now: Instant) -> None:
        """Something is new: the next comparison comes after the short interval."""
        if self.is_quiet:
            self.is_quiet = False
            soon = now + self._parameters.sync_interval_ns
            if self._next_at is not None and self._next_at > soon:
                self._schedule(now)

    # Being told.

    def compare(self, link: bytes, digest: BoardDigest, now: Now, may_ask: bool) -> None:
        """A member's vector: asks for what is lacking here, answers where it lacks there."""
        if link not in self.members:
            return
        mine = self._store.chains.known()
        more = [each for each in digest.vector if lacks(mine, each)]
        is_behind = bool(more)
        if is_behind and may_ask:
            self._ask(link, mine, more, now.monotonic_ns)
        elif link in self._unmet and not is_behind:
            self._synced(link)
        told = reaches_of(mine)
        theirs = {(each.writer, each.generation): Spans.of(each) for each in digest.vector}
        if digest.is_reply_wanted and any(lacks(theirs, each) for each in told):
            self._outbox.send(link, self.digest(is_reply_wanted=False))
        if digest.vector != told:
            self.stir(now.monotonic_ns)

    def _ask(self, link: bytes, mine: dict[Chain, Spans], more: list[Reach], now: Instant) -> None:
        session = self._session
        if session is not None and session.ends > now:
            return
        self._number += 1
        have = {}
        for each in more:
            chain = (each.writer, each.generation)
            have[chain] = mine[chain].copy() if chain in mine else Spans()
        self._session = Session(
            link,
            self._number,
            have,
            now + self._parameters.want_timeout_ns,
            link in self._unmet,
        )
        self._want(self._session)

    def _want(self, session: Session) -> None:
        have = tuple(
            Reach(*chain, spans.prefix, spans.told) for chain, spans in session.have.items()
        )
        self._outbox.send(session.peer, Want(session.number, have))

    def answer(self, link: bytes, want: Want) -> None:
        """A member asks for what it lacks."""
        if link in self.members:
            self._outbox.send(link, delta_of(self._store, want.session, want.have))

    def take(self, link: bytes, delta: Delta, now: Now, is_trusted: bool) -> bool:
        """A piece of what was asked for; asks for the next. Whether it was the last.

        `is_trusted`: what is left out counts as known although nothing supersedes it here.
        """
        session = self._session
        if session is None or session.peer != link or session.number != delta.session:
            return False
        self._intake.take(link, delta.parts, now.monotonic_ns)
        store = self._store
        moved = False
        for each in delta.described:
            chain = (each.writer, each.generation)
            have = session.have.get(chain)
            if have is None or not have.missing(each.first, each.last):
                continue
            if have.is_full and not have.adjoins(each.first):
                continue
            moved = True
            have.add(each.first, each.last)
            for gap in each.omitted:
                if is_trusted:
                    self._pass(chain, gap.first, gap.last)
                else:
                    by = gap.by
                    named = None if by is None else (by.writer, by.generation, by.sequence)
                    store.claim(chain, gap.first, gap.last, named)
        if delta.is_more and moved:
            session.ends = now.monotonic_ns + self._parameters.want_timeout_ns
            self._want(session)
            return False
        self._session = None
        if session.is_first and link in self._unmet:
            self._synced(link)
        return True

    def _pass(self, chain: Chain, first: int, last: int) -> None:
        state = self._store.chains.make(chain)
        for low, high in state.known.missing(first, last):
            self._store.pass_over(chain, low, high)
            self._outbox.persist(SpanPassed(*chain, low, high))

    def _synced(self, link: bytes) -> None:
        del self._unmet[link]
        self._outbox.emit(BoardSynced(link, self._store.entries))

    # Time.

    def wake(self, now: Instant) -> None:
        """Compares with somebody, when due."""
        if self._session is not None and self._session.ends <= now:
            self._session = None
            self._store.forget_claims()
        if self._next_at is None or now < self._next_at:
            return
        self._store.tick()
        if self._session is None:
            # Nobody accounts for these any more: a liar's would be there for ever.
            self._store.forget_claims()
        if self.members:
            peer = self._rng.choice(list(self.members))
            self._outbox.send(peer, self.digest(is_reply_wanted=True))
        self.is_quiet = True
        self._schedule(now)

    def _schedule(self, now: Instant) -> None:
        parameters = self._parameters
        interval = parameters.sync_idle_ns if self.is_quiet else parameters.sync_interval_ns
        spread = interval * JITTER_PERCENT // 100
        self._next_at = now + interval - spread + self._rng.randrange(2 * spread + 1)

    def deadline(self) -> Instant | None:
        """When that is."""
        dues = [due for due in (self._next_at,) if due is not None]
        if self._session is not None:
            dues.append(self._session.ends)
        return min(dues, default=None)
