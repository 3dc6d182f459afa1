"""The machine of ballots: the electorate that this peer knows, its ballots, their settlements.

Driven by local commands, messages and time like any other machine. What a ballot is told may
let its settlement go on, and what a settlement comes to ends its ballot; both happen within
one step. The protocol is on docs/protocols/voting.md.
"""

from collections.abc import Iterable

import msgspec

from protocols.effects import Blame, Effect, Emit, Persist, Send
from protocols.errors import Refused
from protocols.identity import Keyring
from protocols.machine import Instant, Now
from protocols.voting import ballot_commands as commands
from protocols.voting import ballot_messages as messages
from protocols.voting import settlement_messages
from protocols.voting.answers import decode_set
from protocols.voting.ballot_return import BallotReturn
from protocols.voting.ballots import Ballots
from protocols.voting.certificate import Decision
from protocols.voting.evidence import Evidence, EvidenceRecord, EvidenceShown, Suspect, offence_of
from protocols.voting.roll import RecoveryRoll, Roll, is_outdated, open_bundle
from protocols.voting.settlement_messages import MarkRecord, MarkSaid, ProofShown, Proposal
from protocols.voting.settlements import Settlements
from protocols.voting.standing import StandingRecord
from protocols.voting.standing_messages import STANDING_KINDS, BarRecord, Enquiry, Seen
from protocols.voting.vouching import Certifier


class ElectorateRecord(msgspec.Struct, frozen=True, array_like=True, tag="voting.electorate"):
    """The electorate's bundle. A later record replaces it."""

    bundle: bytes


KINDS = (
    *messages.BALLOT_KINDS,
    *settlement_messages.SETTLEMENT_KINDS,
    *STANDING_KINDS,
    EvidenceShown,
)
RECORDS = (
    ElectorateRecord,
    *messages.BALLOT_RECORDS,
    MarkRecord,
    StandingRecord,
    BarRecord,
    EvidenceRecord,
)


class Balloting:
    """One peer's ballots."""

    def __init__(self, keyring: Keyring, mesh: bytes, boot: int) -> None:
        """Begins without an electorate.

        Args:
            keyring: signs as this peer.
            mesh: the mesh's id, its root's public key.
            boot: how often this peer has started; makes its requests' numbers grow.
        """
        self._keyring = keyring
        self._mesh = mesh
        self._boot = boot
        self._effects: list[Effect] = []
        self._down: dict[bytes, None] = {}
        self._up: dict[bytes, None] = {}
        self._evidence = Evidence(keyring)
        self._bundle = b""
        self._earlier: dict[int, bytes] = {}
        """The bundles of earlier epochs whose ballots are open here still."""
        self._roll: Roll | None = None
        self._certifier = Certifier(mesh, keyring, self._bundle_of)
        self._return = BallotReturn(keyring, self._roll_now, self._is_down, self._effects)
        self._settlements = Settlements(keyring, self._effects, self._is_down, self._return)
        self._ballots = Ballots(
            keyring, boot, self._roll_now, self._settlements, self._certifier, self._return,
            self._effects,
        )  # fmt: skip
        self._return.attach(self._ballots, self._settlements)

    # Queries.

    @property
    def electorate(self) -> Roll | None:
        """Who votes, as far as this peer knows."""
        return self._roll

    @property
    def bundle(self) -> bytes:
        """What proves it; empty where there is none."""
        return self._bundle

    @property
    def standing(self) -> tuple[bool, bool, int]:
        """Whether it signs nothing now, is on an older copy; in how many ballots it is silent."""
        silent = sum(each.is_silent for each in self._ballots.open_ballots.values())
        return self._return.is_waiting, self._return.is_restored, silent

    def suspects(self) -> list[Suspect]:
        """Who signed against itself, as far as this peer knows."""
        return self._evidence.suspects()

    def read(self, certificate: bytes) -> Decision:
        """What a certificate's file says.

        Raises:
            CertificateRefused: it proves nothing.
        """
        return self._certifier.read(certificate)

    # The interface of a machine.

    def submit(self, command: msgspec.Struct, now: Now) -> tuple[Effect, ...]:
        """Takes local intent.

        Raises:
            Refused: see the command.
        """
        match command:
            case commands.OpenBallot():
                self._ballots.open(command, now)
            case commands.CastAnswer():
                self._ballots.cast(command, now)
            case commands.ElectorUp():
                self._down.pop(command.peer, None)
                self._up[command.peer] = None
                self._ballots.elector_up(command.peer, now)
                self._return.elector_up()
                self._show_roll(command.peer, self._roll)
                shown = self._evidence.shown()
                self._effects.extend(Send(command.peer, each) for each in shown)
            case commands.ElectorDown():
                self._down[command.peer] = None
                self._up.pop(command.peer, None)
                self._ballots.elector_down(command.peer, now)
            case commands.AdoptElectorate():
                self._adopt(command.bundle, self._opened(command.bundle), now)
            case commands.ProposeElectorate():
                self._propose(command.bundle, now)
            case commands.KeepEvidence():
                self._keep(command.elector, command.evidence, b"", now)
            case commands.DoubtDisk():
                self._return.own_shown()
            case _:
                raise AssertionError(f"no voting command: {type(command).__name__}")
        return self._take_effects(now)

    def receive(
        self, link: bytes, author: bytes, message: msgspec.Struct, now: Now
    ) -> tuple[Effect, ...]:
        """Takes a remote message; what does not fit is dropped, or blamed."""
        match message:
            case messages.Question():
                self._ballots.on_question(link, message, now)
            case messages.Vote():
                self._ballots.on_vote(link, message, now)
            case messages.Want():
                self._ballots.on_want(link, message, now)
            case messages.Decided():
                self._ballots.on_decided(link, message, now)
            case messages.RollShown():
                self._on_roll(link, message.bundle, now)
            case MarkSaid() | Proposal() | ProofShown():
                self._on_settlement(link, message, now)
            case Enquiry():
                self._return.on_enquiry(link, message, now)
            case Seen():
                self._return.on_seen(link, message, now)
            case EvidenceShown():
                self._keep(message.elector, message.evidence, link, now)
            case _:
                raise AssertionError(f"no voting message: {type(message).__name__}")
        return self._take_effects(now)

    def wake(self, now: Now) -> tuple[Effect, ...]:
        """Does all that is due."""
        self._ballots.wake(now)
        self._settlements.wake(now)
        return self._take_effects(now)

    def deadline(self) -> Instant | None:
        """When `wake` is wanted."""
        due = (self._ballots.deadline(), self._settlements.deadline(), self._return.deadline())
        return min((instant for instant in due if instant is not None), default=None)

    def snapshot(self) -> Iterable[msgspec.Struct]:
        """The records that give today's durable state."""
        if self._bundle:
            yield ElectorateRecord(self._bundle)
        yield from self._evidence.records()
        yield from self._return.snapshot()
        yield from self._settlements.snapshot()
        yield from self._ballots.snapshot()

    def restore(self, records: Iterable[msgspec.Struct], now: Now) -> None:
        """Takes the records of an earlier life."""
        of_ballots: list[msgspec.Struct] = []
        is_anew = self._boot <= 1
        for record in records:
            is_anew = False
            match record:
                case ElectorateRecord():
                    roll = open_bundle(record.bundle, self._mesh, self._keyring)
                    assert roll is not None, "verified before it was written"
                    self._roll, self._bundle = roll, record.bundle
                case MarkRecord():
                    self._settlements.restore(record)
                case EvidenceRecord():
                    self._evidence.restore(record)
                case StandingRecord() | BarRecord():
                    self._return.restore(record)
                case _:
                    of_ballots.append(record)
        if not is_anew:
            self._return.doubt()
        self._ballots.restore(of_ballots, now)
        self._settlements.restored()

    def check(self) -> None:
        """Asserts the invariants."""
        self._ballots.check()
        self._return.check()
        self._evidence.check()
        self._settlements.check()

    # Inside.

    def _bundle_of(self, epoch: int) -> bytes:
        return self._earlier.get(epoch, self._bundle)

    def _roll_now(self) -> Roll | None:
        return self._roll

    def _is_down(self, peer: bytes) -> bool:
        return peer in self._down

    def _keep(self, elector: bytes, evidence: bytes, link: bytes, now: Now) -> None:
        """Believes what proves itself, writes it down and passes it on, once."""
        if self._roll is None or elector not in self._roll.electors:
            return
        is_proof, is_new = self._evidence.take(elector, evidence, now.wall_ns)
        if not is_proof and link:
            self._effects.append(Blame(link, "shows evidence that proves nothing"))
        if is_new:
            self._effects.append(Persist(EvidenceRecord(elector, evidence, now.wall_ns), sync=True))
            self._effects.append(Emit(commands.SuspectKnown(elector, offence_of(evidence))))
            others = [peer for peer in self._up if peer not in (link, self._keyring.peer)]
            shown = EvidenceShown(elector, evidence)
            self._effects.extend(Send(peer, shown) for peer in others)

    # The electorate.

    def _opened(self, bundle: bytes) -> Roll:
        roll = open_bundle(bundle, self._mesh, self._keyring)
        if roll is None:
            raise Refused("NoElectorate", "the list of electors is not signed by the mesh's root")
        return roll

    def _show_roll(self, peer: bytes, known: Roll | None) -> None:
        """A peer learns who decides from one at least of `known` that is honest."""
        if known is not None and self._keyring.peer in known.electors[: known.tolerates + 1]:
            self._effects.append(Send(peer, messages.RollShown(self._bundle)))

    def _adopt(self, bundle: bytes, roll: Roll, now: Now) -> None:
        """These decide from now on, if it is a later list."""
        before = self._roll
        if before is not None and roll.epoch <= before.epoch:
            return
        if before is not None:
            self._earlier[before.epoch] = self._bundle
        open_ones = self._ballots.open_ballots.values()
        for each in open_ones:
            each.outlive(roll.epoch, isinstance(roll, RecoveryRoll), now)
        epochs = {each.electorate.epoch for each in open_ones}
        self._earlier = {epoch: it for epoch, it in self._earlier.items() if epoch in epochs}
        self._roll, self._bundle = roll, bundle
        if before is not None:
            self._return.electorate_changed()
        self._effects.append(Persist(ElectorateRecord(bundle), sync=True))
        self._effects.append(Emit(commands.ElectorateChanged(roll.epoch, roll.electors)))
        if isinstance(roll, RecoveryRoll):  # those before, who would tell, may be gone
            self._effects.extend(Send(peer, messages.RollShown(bundle)) for peer in self._up)
        elif before is not None:
            for peer in self._up:  # whom the log did not reach, too
                self._show_roll(peer, before)

    def _on_roll(self, link: bytes, bundle: bytes, now: Now) -> None:
        """An elector waits for its log; others, and all at a recovery, take the root's word."""
        if bundle == self._bundle:
            return
        try:
            roll = self._opened(bundle)
        except Refused:
            self._effects.append(Blame(link, "shows electors that the root never signed"))
            return
        if self._roll is not None and roll.epoch <= self._roll.epoch:
            return
        if is_outdated(bundle, self._bundle):
            return  # whoever shows it need not know better
        is_elector = self._roll is not None and self._keyring.peer in self._roll.electors
        if not is_elector or isinstance(roll, RecoveryRoll):
            self._adopt(bundle, roll, now)
        self._effects.append(Emit(commands.ElectorateHeard(bundle)))

    def _propose(self, bundle: bytes, now: Now) -> None:
        roll, known = self._opened(bundle), self._roll
        if known is None:
            raise Refused("NoElectorate", "this peer does not know yet who decides: try again")
        if roll.epoch <= known.epoch:
            raise Refused(
                "StaleElectorate",
                f"these electors are of epoch {roll.epoch}, and the mesh is at {known.epoch} "
                "already: see `mesh electors ls`, and change that list",
            )
        if is_outdated(bundle, self._bundle):
            raise Refused(
                "StaleElectorate",
                "these electors are signed by a root that has been succeeded: name the key of "
                "the present one by --root-key",
            )
        if isinstance(roll, RecoveryRoll):
            self._adopt(bundle, roll, now)
            self._effects.append(Emit(commands.ElectorateHeard(bundle)))
            return
        if self._keyring.peer in known.electors:
            self._effects.append(Emit(commands.ElectorateHeard(bundle)))
        for elector in known.electors:
            if elector in self._up and elector != self._keyring.peer:
                self._effects.append(Send(elector, messages.RollShown(bundle)))

    def _on_settlement(
        self, link: bytes, message: MarkSaid | Proposal | ProofShown, now: Now
    ) -> None:
        if message.ballot not in self._settlements:
            self._ballots.unknown(link, message.ballot, now)
            return
        match message:
            case MarkSaid():
                self._settlements.on_mark(link, message, now)
            case Proposal():
                answers = decode_set(message.payload)
                if answers is not None:
                    # Whoever proposes them shows answers that may be new here.
                    self._ballots.on_answers(message.ballot, answers, now)
                self._settlements.on_proposal(link, message, now)
            case ProofShown():
                self._settlements.on_proof(link, message, now)

    def _settle(self, now: Now) -> None:
        while settled := self._settlements.take_settled():
            for ballot, payload, proof in settled:
                self._ballots.settled(ballot, payload, proof, now)

    def _take_effects(self, now: Now) -> tuple[Effect, ...]:
        self._settle(now)
        self._return.go_on(now)
        self._settle(now)
        effects = tuple(self._effects)
        self._effects.clear()
        return effects
