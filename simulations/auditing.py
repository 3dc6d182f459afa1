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
    """The electors of a run.

    Attributes:
        electors: their ids, in their order.
        epoch: the one epoch of a run.
        forgetful: those whose disks have forgotten what was synced. They are no liars, but
            may sign nothing at all in what had begun before.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.electors: list[bytes] = []
        self.forgetful: dict[bytes, None] = {}
        self._keyring: Keyring | None = None

    def read(self, world: World) -> None:
        """Reads the bundle that the world's root has signed, where there is one."""
        if world.bundle:
            body = msgspec.msgpack.decode(msgspec.msgpack.decode(world.bundle)[1])
            self.epoch, self.electors = body[2], body[3]
            self._keyring = world.stranger(b"auditor")

    def _is_signed(self, domain: str, elector: int, body: bytes, signature: bytes) -> bool:
        assert self._keyring is not None, "there are electors"
        return self._keyring.verify(domain, self.electors[elector], body, signature)

    @property
    def tolerated(self) -> int:
        """How many may do anything at all."""
        return (len(self.electors) - 1) // 3

    @property
    def quorum(self) -> int:
        """The least number of which any two share more than may lie."""
        count = len(self.electors)
        return next(q for q in range(1, count + 1) if 2 * q - count > self.tolerated)

    def may_lie(self, world: World) -> list[bytes]:
        """The electors that nothing is to be expected of."""
        return [each for each in self.electors if world.by_id[each].liar is not None]

    def is_sound(self, world: World) -> bool:
        """Whether no more of them may lie than the protocol bears."""
        return len(self.may_lie(world)) <= self.tolerated

    def able(self, world: World) -> list[SimulatedPeer]:
        """The honest electors that run, and have everything that they had synced."""
        gone = {*self.may_lie(world), *self.forgetful}
        running = [world.by_id[each] for each in self.electors if each not in gone]
        return [peer for peer in running if peer.is_running]

    def proof_fault(self, proof: list[Any], instance: bytes, payload: bytes) -> str:
        """What is wrong with a proof that a payload is final; empty for nothing."""
        view, phase, digest, signatures = proof
        if (phase, digest) != (FINALISE, payload_digest(payload)):
            return "it is of another payload, or of no finalisation"
        if len({elector for elector, _ in signatures}) < self.quorum:
            return f"{len(signatures)} signatures are of fewer than {self.quorum} electors"
        body = msgspec.msgpack.encode([MARK, self.epoch, instance, view, phase, digest])
        for elector, signature in signatures:
            if not self._is_signed(MARK, elector, body, signature):
                return f"elector {elector} has not signed it"
        return ""

    def answer_fault(self, ballot: bytes, elector: int, answer: list[Any]) -> str:
        """What is wrong with a voter's answer; empty for nothing."""
        choice, confidence, signature = answer
        body = msgspec.msgpack.encode([ANSWER, self.epoch, ballot, choice, confidence])
        is_signed = self._is_signed(ANSWER, elector, body, signature)
        return "" if is_signed else f"elector {elector} has not signed its answer"


class Audited(msgspec.Struct, frozen=True):
    """What a certificate says: the ballot, the answers that were settled, and the outcome."""

    ballot: bytes
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
    if bundle != world.bundle:
        raise Violation("certificate-soundness: its electorate is none of this mesh")
    ballot = hashlib.sha256(b"stigmesh/voting.ballot/1\x00" + request).digest()
    asked = msgspec.msgpack.decode(request)
    fault = electorate.proof_fault(msgspec.msgpack.decode(proof), ballot, payload)
    answers = msgspec.msgpack.decode(payload)
    voters = [elector for elector, _ in answers]
    if any(one >= other for one, other in itertools.pairwise(voters)):
        fault = fault or "a voter is counted twice"
    for elector, said in answers:
        for each in said:
            fault = fault or electorate.answer_fault(ballot, elector, each)
    if fault:
        raise Violation(f"certificate-soundness: {fault}")
    choices = tuple((elector, tuple(each[0] for each in said)) for elector, said in answers)
    return Audited(ballot, payload, choices, asked[7], asked[10], status, choice, margin)


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
