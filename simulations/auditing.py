"""What a settled ballot or block must prove, written down a second time.

The production verifier is under test as well, and what it takes for proven need not be. So
this reads the bytes of a certificate anew, counts its own quorum, knows the electorate from
the world and not from the file, and signs nothing.
"""

import hashlib
import itertools
from typing import Any

import msgspec

from protocols.identity import Keyring
from protocols.machine import MILLISECOND_NS
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World

FINALISE, NULLIFY = "finalise", "nullify"
MARK, ANSWER = "voting.mark", "voting.answer"


class Electorate:
    """The electors of a run: today's, and those of every epoch.

    Attributes:
        forgetful: those whose disks have forgotten what was synced. They are no liars, but
            may sign nothing at all in what had begun before.
    """

    def __init__(self) -> None:
        self.forgetful: dict[bytes, None] = {}
        self._world: World | None = None
        self._keyring: Keyring | None = None

    def read(self, world: World) -> None:
        """Takes the world whose root signs who the electors are."""
        self._world = world
        if world.bundle:
            self._keyring = world.stranger(b"auditor")

    @property
    def rolls(self) -> dict[int, tuple[bytes, ...]]:
        """Whom the root has signed, by epoch."""
        assert self._world is not None, "read before the run"
        return dict(self._world.rolls.values())

    @property
    def epoch(self) -> int:
        """Today's epoch; 0 where nobody votes."""
        assert self._world is not None, "read before the run"
        return self._world.rolls.get(self._world.bundle, (0, ()))[0]

    @property
    def electors(self) -> tuple[bytes, ...]:
        """Today's electors, in their order."""
        return self.rolls.get(self.epoch, ())

    @property
    def quorum(self) -> int:
        """How many of today's it takes."""
        return quorum_of(len(self.electors))

    def _is_signed(
        self, domain: str, epoch: int, elector: int, body: bytes, signature: bytes
    ) -> bool:
        assert self._keyring is not None, "there are electors"
        return self._keyring.verify(domain, self.rolls[epoch][elector], body, signature)

    def is_sound(self, world: World) -> bool:
        """Whether no more electors of any epoch may lie than the protocol bears."""
        return all(
            sum(world.by_id[each].liar is not None for each in electors)
            <= tolerated_of(len(electors))
            for electors in self.rolls.values()
        )

    def able(self, world: World) -> list[SimulatedPeer]:
        """The honest electors that run, and have everything that they had synced."""
        running = [world.by_id[each] for each in self.electors if each not in self.forgetful]
        return [peer for peer in running if peer.is_running and peer.liar is None]

    def proof_fault(self, epoch: int, proof: list[Any], instance: bytes, payload: bytes) -> str:
        """What is wrong with a proof that a payload is final; empty for nothing."""
        view, phase, digest, signatures = proof
        if (phase, digest) != (FINALISE, payload_digest(payload)):
            return "it is of another payload, or of no finalisation"
        if len({elector for elector, _ in signatures}) < quorum_of(len(self.rolls[epoch])):
            return f"{len(signatures)} signatures are of fewer than {self.quorum} electors"
        body = msgspec.msgpack.encode([MARK, epoch, instance, view, phase, digest])
        for elector, signature in signatures:
            if not self._is_signed(MARK, epoch, elector, body, signature):
                return f"elector {elector} has not signed it"
        return ""

    def answer_fault(self, epoch: int, ballot: bytes, elector: int, answer: list[Any]) -> str:
        """What is wrong with a voter's answer; empty for nothing."""
        choice, confidence, signature = answer
        body = msgspec.msgpack.encode([ANSWER, epoch, ballot, choice, confidence])
        is_signed = self._is_signed(ANSWER, epoch, elector, body, signature)
        return "" if is_signed else f"elector {elector} has not signed its answer"


class Audited(msgspec.Struct, frozen=True):
    """What a certificate says: the ballot, the answers that were settled, and the outcome."""

    ballot: bytes
    electors: tuple[bytes, ...]
    payload: bytes
    answers: tuple[tuple[int, tuple[bytes, ...]], ...]
    rule: str
    panel: int
    status: str
    choice: bytes
    margin: int

    @property
    def outcome(self) -> tuple[bytes, str, bytes, int]:
        """What all certificates of one ballot share."""
        return self.payload, self.status, self.choice, self.margin


def audit(world: World, electorate: Electorate, file: bytes) -> Audited:
    """What a certificate's file proves.

    Raises:
        Violation: it proves nothing.
    """
    _, certificate, bundle, *_ = msgspec.msgpack.decode(file)
    _, request, payload, _, status, choice, margin, proof = msgspec.msgpack.decode(certificate)
    if bundle not in world.rolls:
        raise Violation("certificate-soundness: its electorate is none of this mesh")
    epoch, electors = world.rolls[bundle]
    ballot = ballot_of(request)
    asked = msgspec.msgpack.decode(request)
    if asked[1] != epoch:
        raise Violation("certificate-soundness: it is of another epoch than its electors")
    fault = electorate.proof_fault(epoch, msgspec.msgpack.decode(proof), ballot, payload)
    answers = msgspec.msgpack.decode(payload)
    voters = [elector for elector, _ in answers]
    if any(one >= other for one, other in itertools.pairwise(voters)):
        fault = fault or "a voter is counted twice"
    for elector, said in answers:
        for each in said:
            fault = fault or electorate.answer_fault(epoch, ballot, elector, each)
    if fault:
        raise Violation(f"certificate-soundness: {fault}")
    choices = tuple((elector, tuple(each[0] for each in said)) for elector, said in answers)
    return Audited(ballot, electors, payload, choices, asked[7], asked[10], status, choice, margin)


def ballot_of(request: bytes) -> bytes:
    """The name of the ballot of a request."""
    return hashlib.sha256(b"stigmesh/voting.ballot/1\x00" + request).digest()


def tolerated_of(count: int) -> int:
    """How many of so many electors may do anything at all."""
    return (count - 1) // 3


def quorum_of(count: int) -> int:
    """The least number of electors of which any two share more than may lie."""
    bad = tolerated_of(count)
    return next(q for q in range(1, count + 1) if 2 * q - count > bad)


def payload_digest(payload: bytes) -> bytes:
    """The digest that stands for a payload in marks."""
    return hashlib.sha256(b"stigmesh/voting.payload/1\x00" + payload).digest()


def height_instance(epoch: int, height: int) -> bytes:
    """The name of the instance that settles a height."""
    encoded = msgspec.msgpack.encode([epoch, height])
    return hashlib.sha256(b"stigmesh/voting.log/1\x00" + encoded).digest()


def wall_ms(peer: SimulatedPeer) -> int:
    """What a peer's wall clock says."""
    return peer.clock().wall_ns // MILLISECOND_NS
