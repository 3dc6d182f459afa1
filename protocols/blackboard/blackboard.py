"""The blackboard: the machine that the parts of this package make up.

See `docs/protocols/blackboard.md`. What happens where: `replica` holds the live ops and
reads them, `store` keeps replica and signed segments in step, `writing` is this peer as
a writer, `intake` verifies what others bring, `exchange` compares vectors, `frontier`
collects garbage, `healing` finds what vectors cannot tell.
"""

import random
from collections.abc import Iterable, Iterator

import msgspec

from protocols.blackboard import restoring
from protocols.blackboard.commands import (
    BoardPeerDown,
    BoardPeerUp,
    CredentialSeen,
    WriteBoard,
)
from protocols.blackboard.events import EntriesChanged
from protocols.blackboard.exchange import Exchange
from protocols.blackboard.following import Change, Following
from protocols.blackboard.frontier import Frontiers
from protocols.blackboard.healing import Healing
from protocols.blackboard.intake import Intake
from protocols.blackboard.messages import (
    WRITERS_PER_MESSAGE_LIMIT,
    AskHashes,
    AskOwn,
    AskSketch,
    AskWriters,
    BoardDigest,
    Delta,
    ForkShown,
    FrontierShown,
    Hashes,
    Own,
    Push,
    Sketch,
    Stored,
    Want,
    WantHashes,
    WritersShown,
)
from protocols.blackboard.outbox import Outbox
from protocols.blackboard.parameters import EVENT_KEYS_LIMIT, BoardParameters
from protocols.blackboard.policies import CompileSchema, Policies
from protocols.blackboard.reading import Entry
from protocols.blackboard.records import SpanPassed, WriterKnown
from protocols.blackboard.replica import Replica
from protocols.blackboard.rights import Rights
from protocols.blackboard.segments import Segment
from protocols.blackboard.store import Store
from protocols.blackboard.vectors import Chain, prefixes_of
from protocols.blackboard.writers import Writers
from protocols.blackboard.writing import Writing
from protocols.effects import Effect
from protocols.errors import Malformed
from protocols.identity import Keyring
from protocols.machine import MILLISECOND_NS, Instant, Now
from protocols.trust import Trust


class Blackboard:
    """The blackboard of one peer. Implements `protocols.machine.Machine`."""

    def __init__(
        self,
        keyring: Keyring,
        credential: bytes,
        parameters: BoardParameters,
        rng: random.Random,
        trust: Trust,
        compile_schema: CompileSchema,
    ) -> None:
        """Takes the peer's identity and credential chain, whom to trust, and how to check values.

        `compile_schema` makes a check of a JSON Schema: see `policies.CompileSchema`.
        """
        self._me = keyring.peer
        self._outbox = outbox = Outbox()
        self._writers = Writers(keyring, credential, trust)
        self.replica = Replica(Rights(self._writers.roles_of))
        self._store = store = Store(self.replica)
        self._intake = Intake(keyring, store, self._writers, outbox)
        self._policies = policies = Policies(self.replica, compile_schema, self._writers.own_roles)
        self._writing = Writing(keyring, parameters, rng, store, policies, outbox)
        self._exchange = Exchange(parameters, rng, store, self._intake, outbox)
        self._frontiers = Frontiers(keyring, parameters, store, self._writers, trust, outbox)
        self._healing = Healing(
            keyring.peer,
            parameters,
            rng,
            store,
            self._intake,
            self._exchange,
            self._frontiers,
            outbox,
        )
        self._following = Following(store, rng.randbytes(8))
        self._position = 0
        self._is_rights_new = False

    # Steps.

    @property
    def forked(self) -> tuple[bytes, ...]:
        """The writers that signed two segments under one number; the evidence is kept here."""
        return tuple(self._intake.forks)

    def submit(self, command: msgspec.Struct, now: Now) -> tuple[Effect, ...]:
        """Takes a local write, or word of a member.

        Raises:
            Refused: the write is refused, and nothing has changed.
        """
        match command:
            case WriteBoard():
                self._writing.write(command, now)
                self._exchange.stir(now.monotonic_ns)
            case CredentialSeen():
                self._credential_seen(command.credential, now)
            case BoardPeerUp():
                self._member_up(command.peer, now)
            case BoardPeerDown():
                self._writing.member_down(command.peer)
                self._exchange.member_down(command.peer)
                self._frontiers.member_down(command.peer, command.has_left)
                self._healing.member_down(command.peer)
            case _:
                raise AssertionError(f"{type(command).__name__} is no command of the blackboard")
        return self._end(now)

    def _member_up(self, peer: bytes, now: Now) -> None:
        if peer == self._me or peer in self._exchange.members:
            return
        for shown in self._writers.to_show(self._exchange.members):
            self._outbox.send(peer, WritersShown(shown))
        self._intake.show_forks(peer)
        self._frontiers.member_up(peer, now)
        self._writing.member_up(peer)
        self._exchange.member_up(peer, now.monotonic_ns)

    def receive(
        self, link: bytes, author: bytes, message: msgspec.Struct, now: Now
    ) -> tuple[Effect, ...]:
        """Takes a message of another blackboard."""
        at = now.monotonic_ns
        match message:
            case Push():
                by_hash = message.is_reconciled and self._healing.takes_by_hash(link)
                kept = self._intake.take(link, message.parts, at, by_hash)
                if message.is_ack_wanted:
                    self._intake.acknowledge(link, kept)
                self._exchange.stir(at)
            case Stored():
                self._writing.stored(message.generation, message.last)
            case BoardDigest():
                theirs = prefixes_of(message.vector)
                own = theirs.get((self._me, self._writing.generation), 0)
                self._writing.known_elsewhere(self._writing.generation, own)
                may_ask = self._healing.consider(link, message, now)
                self._exchange.compare(link, message, now, may_ask)
            case Want():
                self._exchange.answer(link, message)
            case Delta():
                if self._exchange.take(link, message, now, self._healing.is_trusted(link)):
                    self._healing.told_all(link, now)
            case WritersShown():
                self._learn(link, message, now)
            case AskWriters():
                self._show_writers(link, message)
            case AskOwn():
                last = self._store.last_of(link, message.generation)
                self._outbox.send(link, Own(message.generation, last))
            case Own():
                self._writing.told(link, message, now)
            case ForkShown():
                self._intake.take_fork(link, message)
            case FrontierShown():
                if self._frontiers.take(link, message, now):
                    self._exchange.ask_again(link, now)
            case AskSketch():
                self._healing.answer(link, message)
            case Sketch():
                self._healing.take_sketch(link, message)
            case AskHashes():
                self._healing.answer_hashes(link, message)
            case Hashes():
                self._healing.take_hashes(link, message)
            case WantHashes():
                self._healing.answer_wanted(link, message)
        return self._end(now)

    def _learn(self, link: bytes, shown: WritersShown, now: Now) -> None:
        for credential in shown.credentials:
            try:
                writer = self._writers.take(credential, now.wall_ns)
            except Malformed as error:
                self._outbox.blame(link, f"board: {error}")
                return
            if writer is not None:
                self._learned(writer, credential)

    def _credential_seen(self, credential: bytes, now: Now) -> None:
        """A newer one: this peer's own is shown to all, who judge by it what it wrote."""
        if self._writers.renew(credential):
            self._learned(self._me, credential)
            for peer in self._exchange.members:
                self._outbox.send(peer, WritersShown((credential,)))
        else:
            self._learn(self._me, WritersShown((credential,)), now)

    def _learned(self, writer: bytes, credential: bytes) -> None:
        """A writer has more roles than before; what it wrote is judged anew."""
        self._outbox.persist(WriterKnown(credential))
        self._store.reconsider(writer)
        self._is_rights_new = True

    def _show_writers(self, link: bytes, asked: AskWriters) -> None:
        known = self._writers.known
        found = [each for writer in asked.writers if writer in known for each in known[writer]]
        if found:
            self._outbox.send(link, WritersShown(tuple(found[:WRITERS_PER_MESSAGE_LIMIT])))

    def wake(self, now: Now) -> tuple[Effect, ...]:
        """Does all that is due."""
        self._writing.wake(now)
        self._exchange.wake(now.monotonic_ns)
        self._frontiers.wake(now)
        self._healing.wake(now.monotonic_ns)
        return self._end(now)

    def deadline(self) -> Instant | None:
        """The soonest of all parts."""
        dues = (
            self._writing.deadline(),
            self._exchange.deadline(),
            self._frontiers.deadline(),
            self._healing.deadline(),
        )
        return min((due for due in dues if due is not None), default=None)

    def _end(self, now: Now) -> tuple[Effect, ...]:
        store = self._store
        for (writer, generation), first, last in store.settle_claims():
            self._outbox.persist(SpanPassed(writer, generation, first, last))
        self._writing.outdone(now)
        for writer in self._intake.take_news():
            for peer in self._exchange.members:
                self._outbox.send(peer, self._intake.forks[writer])
        self._frontiers.stir(now.monotonic_ns)
        for prefix in self._policies.take_moved(
            store.changed, now.wall_ns // MILLISECOND_NS, self._is_rights_new
        ):
            store.touch(prefix)
        self._is_rights_new = False
        keys = store.take_changed()
        if keys:
            position = self.replica.position
            first, count = self._position + 1, position - self._position
            self._position = position
            shown = tuple(keys[:EVENT_KEYS_LIMIT])
            self._outbox.emit(EntriesChanged(shown, first, count, len(keys) > len(shown)))
        return self._outbox.take()

    # Questions.

    def read(self, key: str, wall_ms: int) -> Entry | None:
        """What a full key reads as at a time; None where it is absent."""
        return self.replica.read(key, wall_ms)

    def scan(self, prefix: str, wall_ms: int, after: str = "", limit: int = 1000) -> list[Entry]:
        """What the keys under a prefix read as, in their order, after one of them."""
        return self.replica.scan(prefix, wall_ms, after, limit)

    def cursor(self) -> bytes:
        """From here on; see `following`."""
        return self._following.cursor()

    def changes(
        self, prefix: str, cursor: bytes, limit: int, wall_ms: int
    ) -> tuple[list[Change], bytes, bool]:
        """What changed under a prefix since a cursor, the next one, and whether it is all.

        Raises:
            Malformed: it is no cursor.
        """
        return self._following.changes(prefix, cursor, limit, wall_ms)

    def knows(self, writer: bytes, generation: int, sequence: int) -> bool:
        """Whether an op is applied here, or superseded by what is."""
        return self._store.chains.knows(writer, generation, sequence)

    def digest(self) -> BoardDigest:
        """What this peer tells others of what it knows."""
        return self._exchange.digest(is_reply_wanted=False)

    def prefixes(self) -> dict[Chain, int]:
        """How far each writer is known."""
        return self._store.chains.prefixes()

    def segments(self) -> Iterator[Segment]:
        """The segments of which something is kept."""
        return self._store.chains.segments()

    # Disk.

    def snapshot(self) -> Iterator[msgspec.Struct]:
        """What is durable: see `restoring`."""
        return restoring.durable(
            self._store, self._writers, self._intake, self._writing, self._frontiers
        )

    def restore(self, records: Iterable[msgspec.Struct], now: Now) -> None:
        """Takes back what was on disk."""
        generation = restoring.restore(
            records, self._store, self._writers, self._intake, self._frontiers
        )
        self._policies.take_moved(
            self._store.changed, now.wall_ns // MILLISECOND_NS, is_rights_new=True
        )
        self._store.take_changed()
        self._position = self.replica.position
        others = [writer for writer in self._writers.known if writer != self._me]
        self._writing.restored(generation, others, now)

    def check(self) -> None:
        """Asserts the invariants of all parts."""
        self._store.check()
        self._writers.check()
        self._frontiers.check()
        self._healing.check()
        self._following.check()
        self._writing.check()
