"""Every checker of voting catches what it is there for."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest

from protocols.voting.answers import Answered, encode_set, sign_answer, tally_of
from protocols.voting.ballot_commands import BallotDecided, CastAnswer
from protocols.voting.blocks import GENESIS, Block, instance_of, sign_order
from protocols.voting.certificate import make_certificate, make_file
from protocols.voting.ledger import Ledger, Result, Transact
from protocols.voting.log_commands import PutInOrderDone
from protocols.voting.log_messages import LogBlock, LogMark
from protocols.voting.marks import FINALISE, MARK_DOMAIN, NULLIFY, Mark, Proof, digest_of
from protocols.voting.normalising import choice_of, normalised
from protocols.voting.requests import Request, ballot_id, question_hash
from protocols.wire import encode
from simulations.auditing import Electorate
from simulations.checkers.ballots import BallotsAreSound, NobodySignsAgainstItself
from simulations.checkers.ordered_log import LogIsLinearisable, OneLog
from simulations.ledger_model import LedgerModel
from simulations.observations import Sent
from simulations.voting_load import Ordered, VotingClients, VotingLoad
from simulations.world import Checker, Violation, World

QUESTION = encode("so?")


class Stage:
    """Electors of a world that does not run, and what they might have signed."""

    def __init__(self, electors: int = 4) -> None:
        self.world = World(1, electors)
        self.world.elect(electors)
        self.electorate = Electorate()
        self.electorate.read(self.world)
        self.log = OneLog(self.electorate)

    def tell(self, checker: Checker, who: int, *events: msgspec.Struct) -> None:
        for event in events:
            kind = type(event.message) if isinstance(event, Sent) else type(event)
            assert kind in checker.hears, "it would never hear of it"
            checker.event(self.world, self.world.peers[who], event)

    def request(self) -> bytes:
        me = self.world.peers[0].peer
        asked = (question_hash(QUESTION), "majority", "text", b"", 0, 1_000, 9_000)
        return encode(Request(1, me, 1, "judge", "1", *asked))

    def proof(self, instance: bytes, payload: bytes, signers: Iterable[int]) -> Proof:
        digest = digest_of(payload)
        body = encode(Mark(1, instance, 1, FINALISE, digest))
        peers = self.world.peers
        signed = tuple((n, peers[n].keyring.sign(MARK_DOMAIN, body)) for n in signers)
        return Proof(1, FINALISE, digest, signed)

    def decided(
        self, said: Mapping[int, str], signers: Iterable[int] = (0, 1, 2), **changes: Any
    ) -> BallotDecided:
        """What an elector would tell of a ballot in which these said that."""
        body = self.request()
        ballot = ballot_id(body)
        answers = tuple(
            Answered(n, (sign_answer(self.world.peers[n].keyring, 1, ballot, _choice(text)),))
            for n, text in said.items()
        )
        payload = encode_set(answers)
        tally = tally_of("majority", 4, 1, answers)
        proof = encode(self.proof(ballot, payload, signers))
        certificate = make_certificate(body, payload, b"", tally, proof)
        bundle = changes.get("bundle", self.world.bundle)
        file = make_file(certificate, bundle, QUESTION, (), {}, answers)
        return BallotDecided((), ballot, tally.status, tally.margin, file)


def _choice(text: str) -> bytes:
    return choice_of(normalised(text)) if text else b""


def ballots(stage: Stage, said: Mapping[int, str]) -> BallotsAreSound:
    """A checker that has heard what agents said."""
    checker = BallotsAreSound(stage.electorate)
    ballot = ballot_id(stage.request())
    for who, text in said.items():
        stage.tell(checker, who, CastAnswer(ballot, encode(text)))
    return checker


ALL = dict.fromkeys(range(4), "yes")


def test_a_sound_certificate_is_taken() -> None:
    stage = Stage()
    checker = ballots(stage, ALL)
    stage.tell(checker, 0, stage.decided(ALL))
    stage.tell(checker, 1, stage.decided(ALL, signers=(1, 2, 3)))
    assert stage.world.coverage["a ballot is certified"] == 2


@pytest.mark.parametrize("signers", [(0, 1), (0, 0, 0)], ids=["two", "one thrice"])
def test_a_certificate_without_a_quorum_is_caught(signers: tuple[int, ...]) -> None:
    stage = Stage()
    with pytest.raises(Violation, match="certificate-soundness"):
        stage.tell(ballots(stage, ALL), 0, stage.decided(ALL, signers))


def test_three_of_five_are_no_quorum() -> None:
    stage = Stage(5)
    with pytest.raises(Violation, match="certificate-soundness: 3 signatures"):
        stage.tell(ballots(stage, ALL), 0, stage.decided(ALL))


def test_a_certificate_of_another_electorate_is_caught() -> None:
    stage, other = Stage(), Stage()
    other.world.elect(3)
    decided = stage.decided(ALL, bundle=other.world.bundle)
    with pytest.raises(Violation, match="certificate-soundness: its electorate"):
        stage.tell(ballots(stage, ALL), 0, decided)


def test_two_outcomes_of_a_ballot_are_caught() -> None:
    stage = Stage()
    checker = ballots(stage, ALL)
    stage.tell(checker, 0, stage.decided(ALL))
    with pytest.raises(Violation, match="ballot-agreement"):
        stage.tell(checker, 1, stage.decided({0: "yes", 1: "yes", 2: "yes"}))


def test_an_answer_that_nobody_gave_is_caught() -> None:
    stage = Stage()
    with pytest.raises(Violation, match="ballot-validity: peer-3 never said"):
        stage.tell(ballots(stage, ALL), 0, stage.decided({**ALL, 2: "no"}))


def test_what_is_certified_against_honest_voters_is_caught() -> None:
    stage = Stage()
    said = {**ALL, 2: "no", 3: "no"}
    checker = ballots(stage, said)
    decided = stage.decided(said)
    file = decided.certificate.replace(b"undecided", b"certified")
    with pytest.raises(Violation, match="ballot-validity: certified"):
        stage.tell(
            checker, 0, msgspec.structs.replace(decided, status="certified", certificate=file)
        )


def test_a_second_mark_in_a_view_is_caught() -> None:
    stage = Stage()
    checker = NobodySignsAgainstItself(stage.electorate)
    marks = [LogMark(3, 1, 1, phase, digest, bytes(64), 1) for phase, digest in
             ((FINALISE, b"d" * 32), (NULLIFY, b""), (FINALISE, b"e" * 32))]  # fmt: skip
    first, nullified, other = (Sent(b"", mark) for mark in marks)
    stage.tell(checker, 1, first, first)
    for contradicting in (nullified, other):
        with pytest.raises(Violation, match="one-signature"):
            stage.tell(checker, 1, contradicting)


def block(stage: Stage, value: bytes, signers: Iterable[int] = (0, 1, 2)) -> LogBlock:
    """The first block, with one write of peer-1's."""
    order = sign_order(stage.world.peers[0].keyring, 1, (write(value),))
    payload = encode(Block(1, GENESIS, 5, b"", (order,)))
    return LogBlock(payload, stage.proof(instance_of(1, 1), payload, signers), stage.world.bundle)


def write(value: bytes) -> Transact:
    return Transact(writes=(("key", value),), reads=("key",))


def read_is(value: bytes | None) -> tuple[Result, ...]:
    return (Result(True, values=(("key", value, 1 << 16 if value else 0),)),)


def test_two_blocks_of_a_height_and_one_without_proof_are_caught() -> None:
    stage = Stage()
    stage.tell(stage.log, 0, Sent(b"", block(stage, b"a")), Sent(b"", block(stage, b"a")))
    with pytest.raises(Violation, match="log-agreement"):
        stage.tell(stage.log, 1, Sent(b"", block(stage, b"b")))
    with pytest.raises(Violation, match="log-soundness"):
        stage.tell(stage.log, 1, Sent(b"", block(stage, b"b", signers=(0, 1))))


def history(stage: Stage, *told: tuple[Transact, int, tuple[Result, ...]]) -> LogIsLinearisable:
    """Requests one after another, each with its height and what its caller was told."""
    checker = LogIsLinearisable(stage.electorate, stage.log)
    for number, (action, height, results) in enumerate(told):
        stage.world.now += 1
        stage.tell(checker, 0, Ordered(number, (action,)))
        stage.world.now += 1
        stage.tell(checker, 0, PutInOrderDone(number, height, 5, results))
    return checker


READ = Transact(reads=("key",))


def test_a_stale_read_is_caught() -> None:
    stage = Stage()
    checker = history(stage, (write(b"a"), 1, read_is(None)), (READ, 2, read_is(None)))
    with pytest.raises(Violation, match="log-linearisable"):
        checker.finish(stage.world)


def test_what_comes_before_something_that_was_answered_is_caught() -> None:
    stage = Stage()
    checker = history(stage, (READ, 2, read_is(None)), (READ, 2, read_is(None)))
    with pytest.raises(Violation, match="log-real-time"):
        checker.finish(stage.world)


def test_a_result_that_the_blocks_do_not_lead_to_is_caught() -> None:
    stage = Stage()
    stage.tell(stage.log, 0, Sent(b"", block(stage, b"a")))
    checker = history(stage, (write(b"a"), 1, read_is(b"z")))
    with pytest.raises(Violation, match="log-results"):
        checker.finish(stage.world)


def test_the_model_of_the_ledger_does_as_the_ledger() -> None:
    world = World(5, 2)
    clients = VotingClients(VotingLoad(orders=1), world.rng)
    ledger, model = Ledger(), LedgerModel()
    reasons: set[str] = set()
    for height in range(1, 300):
        actions = clients.actions(world.peers[height % 2].name)
        time_ms = height * 150
        (found,) = ledger.apply(((b"who", height, actions),), height, time_ms)
        assert list(found) == model.apply(height, time_ms, actions)
        clients.learn(actions, found)
        reasons.update(result.reason for result in found)
    assert reasons == {"", "changed", "held", "ended"}
