"""A peer that certifies what nobody settled: alone, under its own name as often as it takes."""

import msgspec

from protocols.quorum import quorum
from protocols.voting.answers import Answered, encode_set, sign_answer, tally_of
from protocols.voting.ballot_messages import Decided, Question, RollShown
from protocols.voting.blocks import GENESIS, Block, instance_of, sign_order
from protocols.voting.certificate import make_certificate, make_file
from protocols.voting.ledger import Transact
from protocols.voting.log_messages import LogBlock, LogProof
from protocols.voting.marks import FINALISE, NULLIFY, Proof, digest_of
from protocols.voting.normalising import choice_of, normalised
from protocols.voting.requests import ballot_id, decode_request
from protocols.voting.roll import ROLL_DOMAIN, Roll, RollBundle
from protocols.voting.rules import MEDIAN, parse_rule
from protocols.voting.settlement_messages import ProofShown
from protocols.wire import encode
from simulations.adversaries.voting import EPOCH, VotingLiar, electors, seat_of, sign_mark
from simulations.peer import SimulatedPeer
from simulations.world import World


class Notary(VotingLiar):
    """Forges certificates, proofs, blocks, and the electorate that would vouch for them."""

    surely_heard = 12
    """Forgeries of so many ballots are not all too late, or lost."""

    def __init__(self) -> None:
        self._seen: dict[bytes, None] = {}

    def hear(self, world: World, peer: SimulatedPeer, message: msgspec.Struct) -> None:
        """A question is decided at once, in several ways."""
        if not isinstance(message, Question) or message.request in self._seen:
            return
        if seat_of(world, peer) < 0:
            return
        self._seen[message.request] = None
        ballot = ballot_id(message.request)
        height = len(self._seen)
        forged = [
            Decided(ballot, self._certificate(world, peer, message, is_alone))
            for is_alone in (True, False)
        ]
        nullified = self._proof(world, peer, ballot, 1, NULLIFY, b"")
        others = (
            ProofShown(ballot, nullified),
            LogProof(height, self._proof(world, peer, instance_of(EPOCH, height), 1, NULLIFY, b"")),
            RollShown(self._roll(world, peer, EPOCH + 1)),
            *(self._block(world, peer, is_alone) for is_alone in (True, False)),
        )
        for honest in world.honest:
            world.inject(peer, honest.peer, tuple(encode(each) for each in (*forged, *others)))
        if len(self._seen) >= self.surely_heard:
            self.offences = ("a certificate that does not verify",)
        world.coverage["a liar certifies"] += 1

    def _roll(self, world: World, peer: SimulatedPeer, epoch: int) -> bytes:
        """An electorate of itself, by its own word."""
        body = encode(Roll(world.root, epoch, (peer.peer,)))
        return encode(RollBundle(body, peer.keyring.sign(ROLL_DOMAIN, body)))

    def _proof(
        self, world: World, peer: SimulatedPeer, instance: bytes, view: int, phase: str,
        digest: bytes, is_alone: bool = False,
    ) -> Proof:  # fmt: skip
        """Its own signature, as often as a quorum has signers; once, where it is the electorate."""
        signature = sign_mark(peer, instance, view, phase, digest)
        count = 1 if is_alone else quorum(len(electors(world, peer)))
        seat = 0 if is_alone else seat_of(world, peer)
        return Proof(view, phase, digest, ((seat, signature),) * count)

    def _certificate(
        self, world: World, peer: SimulatedPeer, asked: Question, is_alone: bool
    ) -> bytes:
        request, ballot = decode_request(asked.request), ballot_id(asked.request)
        assert request is not None, "its opener signed it"
        is_number = parse_rule(request.rule).name == MEDIAN
        choice = b"" if is_number else choice_of(normalised("no"))
        answer = sign_answer(peer.keyring, EPOCH, ballot, choice)
        answers = (Answered(0 if is_alone else seat_of(world, peer), (answer,)),)
        payload = encode_set(answers)
        voters = 1 if is_alone else len(electors(world, peer))
        tally = tally_of(request.rule, voters, (voters - 1) // 3, answers)
        digest = digest_of(payload)
        proof = self._proof(world, peer, ballot, 1, FINALISE, digest, is_alone)
        bundle = self._roll(world, peer, EPOCH) if is_alone else world.bundle
        certificate = make_certificate(asked.request, payload, b"", tally, encode(proof))
        return make_file(certificate, bundle, asked.question, asked.options, {}, answers)

    def _block(self, world: World, peer: SimulatedPeer, is_alone: bool) -> LogBlock:
        """The first block of the log, with one write of its own."""
        order = sign_order(peer.keyring, 1 << 60, (Transact(writes=(("key-0", b"forged"),)),))
        payload = encode(Block(1, GENESIS, 1, b"", (order,)))
        instance = instance_of(EPOCH, 1)
        proof = self._proof(world, peer, instance, 1, FINALISE, digest_of(payload), is_alone)
        bundle = self._roll(world, peer, EPOCH) if is_alone else world.bundle
        return LogBlock(payload, proof, bundle)
