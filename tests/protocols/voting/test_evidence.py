"""Evidence against electors that signed against themselves: believed, kept, passed on."""

import msgspec
import pytest

from protocols.effects import Blame
from protocols.voting import ballot_commands as commands
from protocols.voting.answers import contradiction, sign_answer
from protocols.voting.ballot_messages import Vote
from protocols.voting.evidence import (
    SUSPECTS_LIMIT,
    Evidence,
    EvidenceRecord,
    EvidenceShown,
    kind_of,
)
from protocols.voting.marks import FINALISE, MARK_DOMAIN, NOTARISE, NULLIFY, Mark
from protocols.voting.settlement_messages import MarkSaid
from protocols.wire import encode
from tests.protocols.voting.chamber import Chamber, signer

BALLOT = b"b" * 32


def two_answers(place: int = 3, ballot: bytes = BALLOT) -> bytes:
    """One elector's two answers to one ballot."""
    keyring = signer(place)
    signed = [sign_answer(keyring, 1, ballot, choice * 32) for choice in (b"x", b"y")]
    return contradiction(1, ballot, signed)


def two_marks(*marks: Mark, place: int = 3) -> bytes:
    keyring = signer(place)
    bodies = [encode(mark) for mark in marks]
    return encode((MARK_DOMAIN, [(body, keyring.sign(MARK_DOMAIN, body)) for body in bodies]))


def mark(phase: str, digest: bytes = b"", view: int = 1, epoch: int = 1) -> Mark:
    return Mark(epoch, BALLOT, view, phase, digest)


def offences(chamber: Chamber) -> list[list[str]]:
    return [[each.offence for each in elector.machine.suspects()] for elector in chamber.electors]


@pytest.mark.parametrize(
    ("one", "other", "holds"),
    [
        (mark(NOTARISE, b"x" * 32), mark(NOTARISE, b"y" * 32), True),
        (mark(FINALISE, b"x" * 32), mark(FINALISE, b"y" * 32), True),
        (mark(FINALISE, b"x" * 32), mark(NULLIFY), True),
        (mark(NULLIFY), mark(FINALISE, b"x" * 32), True),
        (mark(NOTARISE, b"x" * 32), mark(NULLIFY), False),
        (mark(NOTARISE, b"x" * 32), mark(FINALISE, b"y" * 32), False),
        (mark(NOTARISE, b"x" * 32), mark(NOTARISE, b"x" * 32), False),
        (mark(NOTARISE, b"x" * 32), mark(NOTARISE, b"y" * 32, view=2), False),
        (mark(NOTARISE, b"x" * 32), mark(NOTARISE, b"y" * 32, epoch=2), False),
        (mark("other", b"x" * 32), mark("other", b"y" * 32), False),
    ],
)
def test_two_marks_are_evidence_where_nobody_honest_signs_both(
    one: Mark, other: Mark, holds: bool
) -> None:
    evidence = two_marks(one, other)
    assert kind_of(signer(3).peer, evidence, signer(0)) == (MARK_DOMAIN if holds else None)
    assert kind_of(signer(2).peer, evidence, signer(0)) is None, "somebody else's"


def test_evidence_that_is_bent_anywhere_proves_nothing() -> None:
    evidence, peer = two_answers(), signer(3).peer
    assert kind_of(peer, evidence, signer(0)) == "voting.answer"
    for place in range(len(evidence)):
        bent = bytearray(evidence)
        bent[place] ^= 1
        assert kind_of(peer, bytes(bent), signer(0)) is None
    assert kind_of(peer, evidence + b"\x00", signer(0)) is None
    assert kind_of(peer, b"", signer(0)) is None


def test_a_voter_that_answers_twice_is_known_to_all_and_after_every_restart() -> None:
    chamber = Chamber(4, guests=1)

    def lies(to: bytes, message: msgspec.Struct) -> list[msgspec.Struct]:
        if isinstance(message, Vote) and message.elector == 3 and to == signer(0).peer:
            answer = sign_answer(signer(3), 1, message.ballot, b"z" * 32)
            return [msgspec.structs.replace(message, answer=answer, text=b"")]
        return [message]

    chamber.electors[3].lies = lies
    for elector in chamber.electors:
        chamber.submit(elector, commands.ElectorUp(signer(4).peer))
    chamber.open()
    chamber.run(1.0)
    what = ["signed two answers to one ballot"]
    assert offences(chamber)[:3] == [what] * 3
    assert offences(chamber)[4] == what, "a guest is shown it"
    assert {each.peer for each in chamber.electors[4].machine.suspects()} == {signer(3).peer}
    assert len(chamber.electors[0].of(commands.SuspectKnown)) == 1
    before = chamber.electors[0].machine.suspects()
    for compacted in (False, True):
        chamber.restart(0, compacted)
        assert chamber.electors[0].machine.suspects() == before


def test_an_elector_that_marks_twice_is_known_to_all() -> None:
    chamber = Chamber(4)

    def lies(to: bytes, message: msgspec.Struct) -> list[msgspec.Struct]:
        if isinstance(message, MarkSaid) and message.phase == FINALISE:
            body = encode(Mark(1, message.ballot, message.view, NULLIFY, b""))
            against = MarkSaid(
                message.ballot, 3, message.view, NULLIFY, b"",
                signer(3).sign(MARK_DOMAIN, body),
            )  # fmt: skip
            return [message, against] if to == signer(1).peer else [message]
        return [message]

    chamber.electors[3].lies = lies
    for elector in chamber.electors:
        for place in range(4):
            chamber.submit(elector, commands.ElectorUp(signer(place).peer))
    for _ in range(3):
        chamber.open()
        chamber.run(5.0)
    assert offences(chamber)[:3] == [["signed two marks that contradict each other"]] * 3


def test_who_comes_later_is_shown_what_is_kept() -> None:
    chamber = Chamber(4, guests=1)
    chamber.submit(chamber.electors[0], commands.KeepEvidence(signer(3).peer, two_answers()))
    chamber.run(0.1)
    assert [len(each) for each in offences(chamber)] == [1, 0, 0, 0, 0]
    chamber.submit(chamber.electors[0], commands.ElectorUp(signer(4).peer))
    chamber.run(0.1)
    assert [len(each) for each in offences(chamber)] == [1, 0, 0, 0, 1]


def test_what_proves_nothing_is_its_bringers_offence() -> None:
    chamber = Chamber(4)
    elector, liar = chamber.electors[0], signer(2).peer
    bent = EvidenceShown(signer(1).peer, two_answers(place=3))
    (blame,) = elector.machine.receive(liar, liar, bent, chamber.now)
    assert blame == Blame(liar, "shows evidence that proves nothing")
    stranger = EvidenceShown(signer(9).peer, two_answers(place=9))
    assert not elector.machine.receive(liar, liar, stranger, chamber.now)
    assert not elector.machine.suspects(), "of electors alone"


def test_what_is_kept_has_a_limit_and_of_each_elector_one_of_a_kind_is_enough() -> None:
    table = Evidence(signer(0))
    peer = signer(3).peer
    assert table.take(peer, two_answers(), 5) == (True, True)
    assert table.take(peer, two_answers(ballot=b"c" * 32), 9) == (True, False)
    assert [each.since_ns for each in table.suspects()] == [5]
    for number in range(SUSPECTS_LIMIT - 1):
        table.restore(EvidenceRecord(number.to_bytes(32, "big"), two_answers(), 1))
    assert table.take(signer(2).peer, two_answers(place=2), 5) == (True, False)
    table.check()


def test_no_time_is_in_evidence_so_that_all_who_see_the_same_have_the_same() -> None:
    chamber = Chamber(4)
    evidence = two_answers()
    for index in (0, 1):
        chamber.run(1.0)
        chamber.now_ns += 10**9
        command = commands.KeepEvidence(signer(3).peer, evidence)
        chamber.submit(chamber.electors[index], command)
    kept = [
        next(each for each in chamber.electors[index].records if isinstance(each, EvidenceRecord))
        for index in (0, 1)
    ]
    assert kept[0].evidence == kept[1].evidence == evidence
    assert kept[0].since_ns < kept[1].since_ns
