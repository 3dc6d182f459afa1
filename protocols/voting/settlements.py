"""The settlements of one peer: an instance for each open ballot, and the way in and out."""

from collections.abc import Callable, Iterator

from protocols.effects import Blame, Effect, Emit, Persist, Send
from protocols.identity import Keyring
from protocols.machine import Instant, Now
from protocols.voting.ballot import Ballot
from protocols.voting.ballot_commands import ElectorContradicted
from protocols.voting.ballot_faces import Trusting
from protocols.voting.marks import MARK_DOMAIN, Mark, Proof
from protocols.voting.open_ballot import Electors
from protocols.voting.settlement_messages import MarkRecord, MarkSaid, ProofShown, Proposal
from protocols.voting.settling import Settlement
from protocols.voting.settling_faces import Said
from protocols.wire import encode

Settled = Callable[[bytes, bytes, bytes], None]
"""Takes a ballot, the payload that was finalised, and the encoded proof."""


class Way:
    """How one instance speaks: as effects, to its electors."""

    def __init__(
        self,
        ballot: bytes,
        electorate: Electors,
        me: bytes,
        effects: list[Effect],
        settled: Settled,
        is_down: Callable[[bytes], bool],
        trust: Trusting,
    ) -> None:
        """Takes the instance's name, to whom it speaks, and who hears of its end."""
        self._ballot = ballot
        self._epoch = electorate.epoch
        self._electors = electorate.electors
        self._me = me
        self._effects = effects
        self._settled = settled
        self._is_down = is_down
        self._trust = trust
        self.records: list[MarkRecord] = []

    def may_sign(self) -> bool:
        """Whether this elector may sign in it now."""
        return self._trust.may_sign(self._ballot)

    def own_shown(self) -> None:
        """A mark of its own that its disk did not have."""
        self._trust.own_shown()

    def write(self, mark: Said, payload: bytes) -> None:
        """On disk, before it is said."""
        record = MarkRecord(
            self._ballot, mark.elector, mark.view, mark.phase, mark.digest, mark.signature, payload
        )
        self.records.append(record)
        self._effects.append(Persist(record, sync=True))

    def say(self, mark: Said) -> None:
        """To all electors."""
        self._to_all(
            MarkSaid(self._ballot, mark.elector, mark.view, mark.phase, mark.digest, mark.signature)
        )

    def propose(self, view: int, payload: bytes, signature: bytes, parent: Proof | None) -> None:
        """To all electors."""
        self._to_all(Proposal(self._ballot, view, payload, signature, parent))

    def prove(self, proof: Proof, to: int | None) -> None:
        """To one elector, or to all."""
        shown = ProofShown(self._ballot, proof)
        if to is None:
            self._to_all(shown)
        elif self._electors[to] != self._me:
            self._effects.append(Send(self._electors[to], shown))

    def contradiction(self, one: Said, other: Said) -> None:
        """Evidence, and blame."""
        peer = self._electors[one.elector]
        bodies = [
            (encode(Mark(self._epoch, self._ballot, said.view, said.phase, said.digest)),
             said.signature)
            for said in (one, other)
        ]  # fmt: skip
        evidence = encode((MARK_DOMAIN, bodies))
        self._effects.append(Emit(ElectorContradicted(self._ballot, peer, evidence)))
        if peer != self._me:
            self._effects.append(Blame(peer, "signed against itself in a ballot", (evidence,)))

    def settled(self, payload: bytes, proof: Proof) -> None:
        """It is over."""
        self._settled(self._ballot, payload, encode(proof))

    def is_down(self, elector: int) -> bool:
        """Whether an elector counts as dead here."""
        return self._is_down(self._electors[elector])

    def _to_all(self, message: MarkSaid | Proposal | ProofShown) -> None:
        for elector in self._electors:
            if elector != self._me:
                self._effects.append(Send(elector, message))


class Settlements:
    """All instances of one peer."""

    def __init__(
        self,
        keyring: Keyring,
        effects: list[Effect],
        is_down: Callable[[bytes], bool],
        trust: Trusting,
    ) -> None:
        """Takes who signs, where effects go, who counts as dead, and whether it may sign."""
        self._keyring = keyring
        self._trust = trust
        self._effects = effects
        self._is_down = is_down
        self._instances: dict[bytes, Settlement] = {}
        self._ways: dict[bytes, Way] = {}
        self._restored: dict[bytes, list[MarkRecord]] = {}
        self._over: list[tuple[bytes, bytes, bytes]] = []

    def __contains__(self, ballot: bytes) -> bool:
        return ballot in self._instances

    def take_settled(self) -> list[tuple[bytes, bytes, bytes]]:
        """What was settled since it was asked last: ballot, payload, proof."""
        over, self._over = self._over, []
        return over

    # For ballots.

    def begin(self, ballot: bytes, electorate: Electors, application: Ballot, now: Now) -> None:
        """An instance for a ballot; no view of it ends by the clock yet."""
        electors, me = electorate.electors, self._keyring.peer
        way = Way(
            ballot, electorate, me, self._effects, self._note_settled, self._is_down, self._trust
        )
        instance = Settlement(
            electorate.epoch,
            ballot,
            electors,
            electors.index(me),
            electorate.order(ballot),
            self._keyring,
            application,
            way.is_down,
            way,
        )
        self._instances[ballot], self._ways[ballot] = instance, way
        for record in self._restored.pop(ballot, ()):
            way.records.append(record)
            instance.restore(
                Said(record.elector, record.view, record.phase, record.digest, record.signature),
                record.payload,
            )

    def look(self, ballot: bytes, is_ready: bool, now: Now) -> None:
        """The ballot may propose or accept what it did not before."""
        instance = self._instances.get(ballot)
        if instance is not None:
            instance.look(is_ready, now)

    def marks_of(self, ballot: bytes, elector: int) -> list[Said]:
        """What an elector has signed in the last view that it has signed something in."""
        instance = self._instances.get(ballot)
        return [] if instance is None else instance.marks_of(elector)

    def hear(self, ballot: bytes, said: Said, now: Now) -> None:
        """A mark that is shown in answer to an enquiry."""
        if ballot in self._instances:
            self._instances[ballot].hear(said, now)

    def forget(self, ballot: bytes) -> None:
        """The ballot is over."""
        self._instances.pop(ballot, None)
        self._ways.pop(ballot, None)

    def _note_settled(self, ballot: bytes, payload: bytes, proof: bytes) -> None:
        self._over.append((ballot, payload, proof))

    # Messages and time.

    def on_mark(self, link: bytes, message: MarkSaid, now: Now) -> None:
        """An elector's mark."""
        said = Said(message.elector, message.view, message.phase, message.digest, message.signature)
        if not self._instances[message.ballot].hear(said, now):
            self._effects.append(Blame(link, "a mark that its elector did not sign"))

    def on_proposal(self, link: bytes, message: Proposal, now: Now) -> None:
        """A leader's payload."""
        instance = self._instances[message.ballot]
        if not instance.hear_proposal(
            message.view, message.payload, message.signature, message.parent, now
        ):
            self._effects.append(Blame(link, "a proposal that its leader did not sign"))

    def on_proof(self, link: bytes, message: ProofShown, now: Now) -> None:
        """A quorum's marks."""
        if not self._instances[message.ballot].prove(message.proof, now):
            self._effects.append(Blame(link, "a proof that no quorum signed"))

    def wake(self, now: Now) -> None:
        """Ends views that take too long."""
        for instance in list(self._instances.values()):
            due = instance.deadline()
            if due is not None and due <= now.monotonic_ns:
                instance.wake(now)

    def deadline(self) -> Instant | None:
        """When `wake` is wanted."""
        due = [instance.deadline() for instance in self._instances.values()]
        return min((instant for instant in due if instant is not None), default=None)

    # Restart.

    def restore(self, record: MarkRecord) -> None:
        """Takes a mark of an earlier life, for when its ballot is begun."""
        self._restored.setdefault(record.ballot, []).append(record)

    def restored(self) -> None:
        """All ballots that are still open have begun."""
        self._restored.clear()

    def snapshot(self) -> Iterator[MarkRecord]:
        """The marks of open ballots."""
        for way in self._ways.values():
            yield from way.records

    def check(self) -> None:
        """Asserts the invariants."""
        for instance in self._instances.values():
            instance.check()
