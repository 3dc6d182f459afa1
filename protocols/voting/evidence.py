"""What electors signed against themselves, kept for good and passed on.

Evidence is two signed answers to one ballot, or two marks that no honest elector signs both of,
in a ballot or at a height of the log. It holds no time and nothing that anybody else says, so
whoever has it can show it to anybody, who checks both signatures and that they contradict each
other before believing it. One of each kind is kept of an elector; when this peer came to know of
it is written beside it, for people.

Invariants:
    bounded-evidence: what is kept of those that signed against themselves has a limit.
"""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from protocols.identity import Keyring
from protocols.voting.answers import ANSWER_DOMAIN, Answer
from protocols.voting.marks import FINALISE, MARK_DOMAIN, NULLIFY, PHASES, Mark
from protocols.wire import Message, PeerIdField, SignatureField, encode

EVIDENCE_LIMIT = 2048
"""Bytes of one piece."""
SUSPECTS_LIMIT = 128
"""Pieces that are kept."""
OFFENCES = {
    ANSWER_DOMAIN: "signed two answers to one ballot",
    MARK_DOMAIN: "signed two marks that contradict each other",
}

EvidenceField = Annotated[bytes, msgspec.Meta(max_length=EVIDENCE_LIMIT)]
_Signed = tuple[bytes, SignatureField]
_decoder = msgspec.msgpack.Decoder(tuple[str, tuple[_Signed, _Signed]])
_answers = msgspec.msgpack.Decoder(Answer)
_marks = msgspec.msgpack.Decoder(Mark)


class EvidenceShown(Message, frozen=True, array_like=True, tag="voting.evidence-shown"):
    """An elector signed against itself; here is what."""

    elector: PeerIdField
    evidence: EvidenceField


class EvidenceRecord(msgspec.Struct, frozen=True, array_like=True, tag="voting.evidence"):
    """Evidence against an elector, and when it was known here by the wall clock."""

    elector: PeerIdField
    evidence: EvidenceField
    since_ns: int


class Suspect(msgspec.Struct, frozen=True):
    """Somebody who signed against itself: what it did, and since when it is known here."""

    peer: bytes
    offence: str
    since_ns: int


def offence_of(evidence: bytes) -> str:
    """What a piece that holds tells of, in words."""
    return OFFENCES[_domain(evidence)]


def kind_of(elector: bytes, evidence: bytes, keyring: Keyring) -> str | None:
    """What kind of evidence it is against an elector; None where it proves nothing."""
    if len(evidence) > EVIDENCE_LIMIT:
        return None
    try:
        domain, (one, other) = _decoder.decode(evidence)
        if encode((domain, (one, other))) != evidence:
            return None
        contradict = {ANSWER_DOMAIN: _two_answers, MARK_DOMAIN: _two_marks}.get(domain)
        if contradict is None or not contradict(one[0], other[0]):
            return None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    signed = all(keyring.verify(domain, elector, *each) for each in (one, other))
    return domain if signed else None


def _two_answers(one: bytes, other: bytes) -> bool:
    first, second = _answers.decode(one), _answers.decode(other)
    is_one_ballot = (first.epoch, first.ballot) == (second.epoch, second.ballot)
    return is_one_ballot and first != second


def _two_marks(one: bytes, other: bytes) -> bool:
    first, second = _marks.decode(one), _marks.decode(other)
    places = {(mark.epoch, mark.instance, mark.view) for mark in (first, second)}
    if len(places) != 1 or not {first.phase, second.phase} <= {*PHASES}:
        return False
    if first.phase == second.phase:
        return first.digest != second.digest
    return {first.phase, second.phase} == {NULLIFY, FINALISE}


class Evidence:
    """What one peer has against electors."""

    def __init__(self, keyring: Keyring) -> None:
        """Begins with nothing."""
        self._keyring = keyring
        self._kept: dict[tuple[bytes, str], EvidenceRecord] = {}

    def take(self, elector: bytes, evidence: bytes, wall_ns: int) -> tuple[bool, bool]:
        """Takes a piece; whether it proves something, and whether it is kept as new."""
        if (elector, _domain(evidence)) in self._kept:
            return True, False  # or claims to; one is enough, and nothing is verified for more
        kind = kind_of(elector, evidence, self._keyring)
        if kind is None or len(self._kept) >= SUSPECTS_LIMIT:
            return kind is not None, False
        self._kept[elector, kind] = EvidenceRecord(elector, evidence, wall_ns)
        return True, True

    def suspects(self) -> list[Suspect]:
        """Who signed against itself, as far as this peer knows."""
        return [
            Suspect(elector, OFFENCES[kind], kept.since_ns)
            for (elector, kind), kept in self._kept.items()
        ]

    def shown(self) -> Iterator[EvidenceShown]:
        """All of it, for another peer."""
        for kept in self._kept.values():
            yield EvidenceShown(kept.elector, kept.evidence)

    def restore(self, record: EvidenceRecord) -> None:
        """Takes what an earlier life has verified."""
        self._kept[record.elector, _domain(record.evidence)] = record

    def records(self) -> Iterator[EvidenceRecord]:
        """What gives the same when it is restored."""
        yield from self._kept.values()

    def check(self) -> None:
        """Asserts the invariant."""
        assert len(self._kept) <= SUSPECTS_LIMIT, "bounded-evidence"


def _domain(evidence: bytes) -> str:
    try:
        return _decoder.decode(evidence)[0]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return ""
