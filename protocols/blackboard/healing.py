"""What vectors cannot tell: forks, ops that were withheld, and peers that are too old.

Two peers whose vectors are equal and whose live ops are not have been told different
things: by a writer that forked, or by somebody who left out what nothing supersedes.
They compare all live ops by coded symbols (`reconciliation`), or where much differs by
all hashes, and send each other what is missing. A forked writer's ops are taken so.

A peer that does not dominate the floor of f + 1 members, or whose digest is not that of
f + 1 members (and of more than agree with it) at one vector, cannot tell by itself what
was removed. It is *reset*: it takes another's word for what is live, within what those
f + 1 have by their signed statements. What it has beyond that nobody else has, and it
stays: above all its own writes.

Invariants:
    board-comparisons-bounded: the comparisons that are worked on have a limit.
    board-reset-is-agreed: a peer is reset on the signed word of f + 1 members, and drops
        nothing that they do not have.
"""

import random
from collections.abc import Callable

import msgspec

from protocols.blackboard.events import PeerReset
from protocols.blackboard.exchange import Exchange
from protocols.blackboard.frontier import Frontiers
from protocols.blackboard.intake import Intake
from protocols.blackboard.messages import (
    AskHashes,
    AskSketch,
    BoardDigest,
    Hashes,
    Push,
    Sketch,
    WantHashes,
)
from protocols.blackboard.ops import decode_op
from protocols.blackboard.outbox import Outbox
from protocols.blackboard.parameters import DELTA_BYTES, BoardParameters
from protocols.blackboard.reconciliation import FIRST_SYMBOLS, ITEM_BYTES, SYMBOLS_LIMIT, grown
from protocols.blackboard.records import OpsDropped
from protocols.blackboard.segments import SegmentPart, op_hash
from protocols.blackboard.sketching import JOBS_LIMIT, Job, items_in
from protocols.blackboard.store import Store
from protocols.blackboard.vectors import (
    Chain,
    Reach,
    covers,
    is_all_told,
    least,
    prefixes_of,
    reaches_of,
)
from protocols.errors import Malformed
from protocols.machine import MILLISECOND_NS, Instant, Now
from protocols.quorum import tolerated

HASHES_PER_PAGE = 65_536
SLICE_NS = 10 * MILLISECOND_NS
"""Between two slices of a comparison other things have their turn."""


class Comparison(msgspec.Struct):
    """One peer's live ops being compared with this one's.

    `within`: where this peer is reset, the vector up to which it drops what the other
    has not; None where both only show each other what they have.
    """

    peer: bytes
    number: int
    salt: bytes
    ends: Instant
    count: int
    theirs: bytes = b""
    job: Job | None = None
    within: dict[Chain, int] | None = None
    agreed_by: tuple[bytes, ...] = ()
    is_by_hashes: bool = False


class Healing:
    """Compares live ops, and resets this peer where it has to be."""

    def __init__(
        self,
        me: bytes,
        parameters: BoardParameters,
        rng: random.Random,
        store: Store,
        intake: Intake,
        exchange: Exchange,
        frontiers: Frontiers,
        outbox: Outbox,
    ) -> None:
        self._me = me
        self._parameters = parameters
        self._rng = rng
        self._store = store
        self._intake = intake
        self._exchange = exchange
        self._frontiers = frontiers
        self._outbox = outbox
        self._number = rng.getrandbits(32)
        self._now: Comparison | None = None
        self._jobs: list[tuple[Job, Callable[[Job], None]]] = []
        self._work_at: Instant = 0
        self._compared_at: dict[bytes, Instant] = {}
        self._healer = b""
        """Whose ops count as new whatever is known of their numbers; after a reset."""
        self._resetting: tuple[bytes, tuple[bytes, ...], dict[Chain, int]] | None = None

    # Whether something is wrong.

    def consider(self, link: bytes, digest: BoardDigest, now: Now) -> bool:
        """Looks at a member's digest; False where nothing may be asked of it otherwise."""
        frontiers = self._frontiers
        mine = self._store.chains.prefixes()
        floor = {(each.writer, each.generation): each.prefix for each in digest.floor}
        if not covers(mine, floor):
            above = frontiers.above(mine)
            if link in above and len(above) >= self._enough():
                vectors = [frontiers.statements[peer].vector for peer in above]
                self._resetting = (link, tuple(above), least(vectors))
                return True
            return False
        live = self._store.live_digest()
        spans = self._store.chains.known()
        known = reaches_of(spans)
        if (
            digest.vector == known
            and is_all_told(spans)
            and digest.live
            and live
            and digest.live != live
        ):
            self._differs(link, known, live, now.monotonic_ns)
        return True

    def is_trusted(self, link: bytes) -> bool:
        """Whether this peer is reset to what a member has."""
        return self._resetting is not None and self._resetting[0] == link

    def _enough(self) -> int:
        """How many agree: f + 1 of all that are known, so that a liar alone is no agreement."""
        known = {**self._exchange.members, **dict.fromkeys(self._frontiers.statements)}
        return tolerated(len(known) + 1) + 1

    def _differs(self, link: bytes, known: tuple[Reach, ...], live: bytes, now: Instant) -> None:
        statements = self._frontiers.statements
        same = [
            peer
            for peer in self._exchange.members
            if peer in statements and statements[peer].known == known and statements[peer].live
        ]
        others = (
            [peer for peer in same if statements[peer].live == statements[link].live]
            if (link in same and statements[link].live != live)
            else []
        )
        with_me = 1 + sum(statements[peer].live == live for peer in same)
        if len(others) >= self._enough() and len(others) > with_me:
            self._compare(link, now, prefixes_of(known), tuple(others))
        else:
            self._compare(link, now, None, ())

    # Comparing.

    def _compare(
        self, link: bytes, now: Instant, within: dict[Chain, int] | None, by: tuple[bytes, ...]
    ) -> None:
        last = self._compared_at.get(link)
        is_soon = last is not None and now - last < self._parameters.compare_interval_ns
        if self._now is not None or (is_soon and within is None):
            return
        self._compared_at[link] = now
        self._number += 1
        salt = self._rng.randbytes(16)
        ends = now + self._parameters.compare_timeout_ns
        self._now = Comparison(
            link, self._number, salt, ends, FIRST_SYMBOLS, within=within, agreed_by=by
        )
        self._outbox.send(link, AskSketch(self._number, salt, 0, FIRST_SYMBOLS))

    def answer(self, link: bytes, ask: AskSketch) -> None:
        """A member wants coded symbols."""
        if link not in self._exchange.members or ask.first + ask.count > SYMBOLS_LIMIT:
            return
        job = self._job(link, ask.session, ask.salt, ask.first, ask.first + ask.count)
        self._add(job, self._send_sketch)

    def _job(self, peer: bytes, session: int, salt: bytes, first: int, count: int) -> Job:
        ops = [encoded for op, encoded in self._store.replica.live() if op.is_lasting]
        return Job(peer, session, salt, first, count, ops)

    def _add(self, job: Job, then: Callable[[Job], None]) -> None:
        self._jobs = [each for each in self._jobs if each[0].peer != job.peer or each[1] != then]
        if len(self._jobs) < JOBS_LIMIT:
            self._jobs.append((job, then))

    def _send_sketch(self, job: Job) -> None:
        self._outbox.send(job.peer, Sketch(job.session, job.first, job.symbols.encoded(job.first)))

    def take_sketch(self, link: bytes, sketch: Sketch) -> None:
        """Coded symbols have come: this peer's own are worked out."""
        comparison = self._now
        if (
            comparison is None
            or comparison.peer != link
            or comparison.number != sketch.session
            or comparison.is_by_hashes
            or len(comparison.theirs) // 16 != sketch.first
        ):
            return
        comparison.theirs += sketch.symbols
        job = self._job(link, sketch.session, comparison.salt, 0, comparison.count)
        self._add(job, self._decode)

    def _decode(self, job: Job) -> None:
        comparison = self._now
        if comparison is None or comparison.number != job.session:
            return
        try:
            found = job.symbols.difference(comparison.theirs)
        except Malformed as error:
            self._outbox.blame(comparison.peer, f"a malformed sketch: {error}")
            self._now = None
            return
        if found is not None:
            self._settle(comparison, job, *found)
            return
        first, comparison.count = comparison.count, grown(comparison.count)
        if comparison.count > SYMBOLS_LIMIT:
            comparison.is_by_hashes = True
            comparison.theirs = b""
            self._outbox.send(comparison.peer, AskHashes(comparison.number, comparison.salt))
        else:
            more = comparison.count - first
            self._outbox.send(
                comparison.peer, AskSketch(comparison.number, comparison.salt, first, more)
            )

    # All hashes, where much differs.

    def answer_hashes(self, link: bytes, ask: AskHashes) -> None:
        """A member wants all hashes."""
        if link in self._exchange.members:
            job = self._job(link, ask.session, ask.salt, 0, 0)
            job.after = ask.after
            self._add(job, self._send_hashes)

    def _send_hashes(self, job: Job) -> None:
        hashes, is_more = job.hashes(HASHES_PER_PAGE)
        self._outbox.send(job.peer, Hashes(job.session, hashes, is_more))

    def take_hashes(self, link: bytes, hashes: Hashes) -> None:
        """A page of all hashes."""
        comparison = self._now
        if (
            comparison is None
            or comparison.peer != link
            or comparison.number != hashes.session
            or not comparison.is_by_hashes
        ):
            return
        comparison.theirs += hashes.hashes
        if hashes.is_more and hashes.hashes:
            after = hashes.hashes[-ITEM_BYTES:]
            self._outbox.send(link, AskHashes(comparison.number, comparison.salt, after))
            return
        self._add(self._job(link, hashes.session, comparison.salt, 0, 0), self._compare_hashes)

    def _compare_hashes(self, job: Job) -> None:
        comparison = self._now
        if comparison is None or comparison.number != job.session:
            return
        theirs = dict.fromkeys(items_in(comparison.theirs))
        only_theirs = [item for item in theirs if item not in job.by_item]
        only_mine = [item for item in job.by_item if item not in theirs]
        self._settle(comparison, job, only_theirs, only_mine)

    # What differs.

    def _settle(
        self, comparison: Comparison, job: Job, only_theirs: list[int], only_mine: list[int]
    ) -> None:
        """Asks for what is missing here; shows, or drops, what is missing there."""
        self._now = None
        if only_theirs:
            wanted = b"".join(item.to_bytes(ITEM_BYTES, "big") for item in sorted(only_theirs))
            self._outbox.send(
                comparison.peer, WantHashes(comparison.number, comparison.salt, wanted)
            )
        mine = [job.by_item[item] for item in sorted(only_mine) if item in job.by_item]
        if comparison.within is None:
            self._show(comparison.peer, mine)
            return
        gone = []
        for encoded in mine:
            op = decode_op(encoded)
            if op.sequence <= comparison.within.get((op.writer, op.generation), 0):
                gone.append((op.writer, op.generation, op.sequence, op_hash(encoded)))
        if gone:
            self._store.drop(tuple(gone))
            self._outbox.persist(OpsDropped(tuple(gone)))
        self._resettled(comparison.agreed_by, comparison.within)
        self._healer = comparison.peer

    def _resettled(self, agreed_by: tuple[bytes, ...], within: dict[Chain, int]) -> None:
        reapplied = sum(
            1
            for op, _ in self._store.replica.live()
            if op.writer == self._me and op.sequence > within.get((op.writer, op.generation), 0)
        )
        self._outbox.emit(PeerReset(agreed_by, reapplied))

    def _show(self, peer: bytes, ops: list[bytes]) -> None:
        """Sends ops with their proofs, whatever vectors say."""
        parts: list[SegmentPart] = []
        size = 0
        for part, ops_bytes in self._store.parts_of(ops):
            parts.append(part)
            size += ops_bytes
            if size >= DELTA_BYTES:
                self._outbox.send(peer, Push(tuple(parts), is_reconciled=True))
                parts, size = [], 0
        if parts:
            self._outbox.send(peer, Push(tuple(parts), is_reconciled=True))

    def answer_wanted(self, link: bytes, wanted: WantHashes) -> None:
        """A member wants the ops with these hashes."""
        if link in self._exchange.members:
            job = self._job(link, wanted.session, wanted.salt, 0, 0)
            job.wanted = wanted.hashes
            self._add(job, self._send_wanted)

    def _send_wanted(self, job: Job) -> None:
        found = [job.by_item[item] for item in items_in(job.wanted) if item in job.by_item]
        self._show(job.peer, found)

    def takes_by_hash(self, link: bytes) -> bool:
        """Whether what a member shows counts as new whatever is known of its numbers."""
        return link == self._healer

    # A reset.

    def told_all(self, link: bytes, now: Now) -> None:
        """The member that this peer is reset to has told all that is new."""
        if not self.is_trusted(link):
            return
        assert self._resetting is not None, "is_trusted says so"
        _, agreed_by, within = self._resetting
        self._resetting = None
        self._now = None
        self._compare(link, now.monotonic_ns, within, agreed_by)

    def member_down(self, peer: bytes) -> None:
        """A member is gone, and what was asked of it with it."""
        if self._now is not None and self._now.peer == peer:
            self._now = None
        if self._resetting is not None and self._resetting[0] == peer:
            self._resetting = None
        if self._healer == peer:
            self._healer = b""
        self._jobs = [each for each in self._jobs if each[0].peer != peer]
        self._compared_at.pop(peer, None)

    # Time.

    def wake(self, now: Instant) -> None:
        """Works on a comparison for a while."""
        if self._now is not None and self._now.ends <= now:
            self._now = None
        if self._jobs:
            job, then = self._jobs[0]
            job.work()
            if job.is_done:
                del self._jobs[0]
                then(job)
            self._work_at = now + SLICE_NS

    def deadline(self) -> Instant | None:
        """When it is wanted."""
        dues = []
        if self._jobs:
            dues.append(self._work_at)
        if self._now is not None:
            dues.append(self._now.ends)
        return min(dues, default=None)

    def check(self) -> None:
        """Asserts the invariants."""
        assert len(self._jobs) <= JOBS_LIMIT, "board-comparisons-bounded"
