"""What peers bring: verified, checked for forks, kept.

Nothing is kept that its writer did not sign, of whoever brings it. A writer that is
known to have forked adds nothing any more: its ops are taken from others alone, which
took them before they knew, so that both branches end up everywhere.
"""

from protocols.blackboard.chains import ChainState, begins_well, read_fork
from protocols.blackboard.events import WriterForked
from protocols.blackboard.messages import WRITERS_PER_MESSAGE_LIMIT, AskWriters, ForkShown, Stored
from protocols.blackboard.ops import Op, decode_op
from protocols.blackboard.outbox import Outbox
from protocols.blackboard.parameters import (
    FORKS_LIMIT,
    GENERATIONS_LIMIT,
    MEMBERS_LIMIT,
    SIGNATURES_PER_SECOND,
)
from protocols.blackboard.records import ForkKept, SegmentKept
from protocols.blackboard.segments import (
    Header,
    Segment,
    SegmentPart,
    SignedHeader,
    is_signed,
    read_part,
)
from protocols.blackboard.store import Store
from protocols.blackboard.vectors import CHAINS_LIMIT
from protocols.blackboard.writers import Writers
from protocols.errors import Malformed
from protocols.identity import Keyring
from protocols.machine import SECOND_NS, Instant


class Intake:
    """Takes parts of segments, and evidence of forks.

    Attributes:
        forks: the writers that forked, and what shows it.
    """

    def __init__(self, keyring: Keyring, store: Store, writers: Writers, outbox: Outbox) -> None:
        self._keyring = keyring
        self._store = store
        self._writers = writers
        self._outbox = outbox
        self.forks: dict[bytes, ForkShown] = {}
        self._news: dict[bytes, None] = {}
        self._budgets: dict[bytes, tuple[int, int]] = {}

    def take(
        self, link: bytes, parts: tuple[SegmentPart, ...], now: Instant, is_trusted: bool = False
    ) -> list[Header]:
        """Takes what is new of some parts; the headers of those that are kept by now.

        Args:
            link: who brings them.
            parts: unverified.
            now: for the budget of signatures.
            is_trusted: ops count as new although their numbers are known (`healing`).
        """
        kept: list[Header] = []
        unknown: dict[bytes, None] = {}
        for part in parts:
            try:
                segment = read_part(part)
            except Malformed as error:
                self._outbox.blame(link, f"a malformed segment: {error}")
                break
            header = segment.header
            if not self._is_known(link, header.writer):
                unknown[header.writer] = None
                continue
            if not self._within_budget(link, now):
                break
            if not is_signed(self._keyring, header, segment.signed):
                self._outbox.blame(link, "a segment with a wrong signature")
                break
            if self._take(link, segment, is_trusted):
                kept.append(header)
        if unknown:
            self._outbox.send(link, AskWriters(tuple(unknown)[:WRITERS_PER_MESSAGE_LIMIT]))
        return kept

    def acknowledge(self, link: bytes, kept: list[Header]) -> None:
        """Tells a writer which of its segments are on this disk."""
        for header in kept:
            if header.writer == link:
                self._outbox.send(link, Stored(header.generation, header.last))

    def show_forks(self, peer: bytes) -> None:
        """Tells a peer of all forks."""
        for shown in self.forks.values():
            self._outbox.send(peer, shown)

    def take_news(self) -> list[bytes]:
        """Forked writers of which others are still to be told."""
        news = list(self._news)
        self._news.clear()
        return news

    def take_fork(self, link: bytes, shown: ForkShown) -> None:
        """Takes evidence; whoever shows what proves nothing lies."""
        try:
            one, other = read_fork(shown.one, shown.other)
        except Malformed as error:
            self._outbox.blame(link, f"false evidence: {error}")
            return
        if one.writer in self.forks:
            return
        if not (
            is_signed(self._keyring, one, shown.one)
            and is_signed(self._keyring, other, shown.other)
        ):
            self._outbox.blame(link, "false evidence: a signature is wrong")
            return
        self._forked(one, shown)

    def restore_fork(self, record: ForkKept) -> None:
        """Takes back evidence that was verified."""
        one, _ = read_fork(record.one, record.other)
        self.forks[one.writer] = ForkShown(record.one, record.other)

    def _is_known(self, link: bytes, writer: bytes) -> bool:
        return writer in (link, self._keyring.peer) or writer in self._writers.known

    def _within_budget(self, link: bytes, now: Instant) -> bool:
        second = now // SECOND_NS
        begun, used = self._budgets.get(link, (second, 0))
        if begun != second:
            used = 0
        if len(self._budgets) >= MEMBERS_LIMIT and link not in self._budgets:
            del self._budgets[next(iter(self._budgets))]
        self._budgets[link] = (second, used + 1)
        return used < SIGNATURES_PER_SECOND

    def _take(self, link: bytes, segment: Segment, is_trusted: bool) -> bool:
        """Keeps what is new of a verified segment; whether all that it shows is here now."""
        header = segment.header
        if not begins_well(header):
            self._outbox.blame(header.writer, "a chain that begins amid nothing")
            return False
        state = self._store.chains.get(header.chain)
        if state is None:
            if not self._has_room_for(header.writer):
                return False
        elif header.writer != self._keyring.peer:
            other = state.contradiction(segment)
            if other is not None:
                self._forked(header, ForkShown(segment.signed, other))
        is_forked = header.writer in self.forks
        if is_forked and link == header.writer:
            return False
        wanted = _wanted(state, segment, is_forked or is_trusted)
        if not wanted:
            return True
        ops = self._decode(segment, wanted)
        if ops is None or not self._store.has_room_for(ops):
            return False
        part = segment.part(dict.fromkeys(wanted))
        self._store.keep(segment, ops)
        self._outbox.persist(SegmentKept(part))
        return True

    def _has_room_for(self, writer: bytes) -> bool:
        chains = self._store.chains
        return (
            len(chains.states) < CHAINS_LIMIT
            and chains.generations.get(writer, 0) < GENERATIONS_LIMIT
        )

    def _decode(self, segment: Segment, wanted: list[int]) -> list[tuple[Op, bytes]] | None:
        header = segment.header
        try:
            return decoded(segment, wanted)
        except Malformed as error:
            self._outbox.blame(header.writer, f"signed what is no op: {error}")
            return None

    def _forked(self, header: Header, shown: ForkShown) -> None:
        writer = header.writer
        if writer in self.forks or len(self.forks) >= FORKS_LIMIT or writer == self._keyring.peer:
            return
        self.forks[writer] = shown
        self._news[writer] = None
        self._outbox.persist(ForkKept(shown.one, shown.other))
        evidence = (*_evidence(shown.one), *_evidence(shown.other))
        self._outbox.blame(writer, "forked: two segments under one number", *evidence)
        self._outbox.emit(WriterForked(writer, header.generation, header.first))


def _evidence(signed: SignedHeader) -> tuple[bytes, bytes]:
    return signed.body, signed.signature


def _wanted(state: ChainState | None, segment: Segment, by_hash: bool) -> list[int]:
    """The numbers of a segment's ops that are not here."""
    first = segment.header.first
    numbers = [first + at for at in sorted(segment.ops)]
    if state is None:
        return numbers
    same = state.same(segment)
    if same is not None:
        numbers = [each for each in numbers if each - first not in same.ops]
    if by_hash:
        return numbers
    return [each for each in numbers if each not in state.known]


def decoded(segment: Segment, wanted: list[int]) -> list[tuple[Op, bytes]]:
    """Ops of a segment, each where it says it is.

    Raises:
        Malformed: one is not.
    """
    header = segment.header
    found = []
    for number in wanted:
        encoded = segment.ops[number - header.first]
        op = decode_op(encoded)
        if (op.writer, op.generation, op.sequence) != (*header.chain, number):
            raise Malformed("an op with another number than its place")
        found.append((op, encoded))
    return found
