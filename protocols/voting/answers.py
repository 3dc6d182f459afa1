"""Signed answers, and the set of them that electors settle.

A voter signs one answer in a ballot: a choice, or none (it abstains). Two that differ,
signed by one voter, are evidence against it, and count for nothing. The set S that a
leader proposes holds, for each voter that has answered, its answer or two that
contradict each other, all with their signatures. Its encoding is canonical: it is what
comes out when it is decoded and encoded again.
"""

import itertools
from collections.abc import Sequence
from typing import Annotated

import msgspec

from protocols.identity import Keyring
from protocols.voting.rules import MEDIAN, NO_CHOICE, NUMBER_BYTES, Tally, parse_rule, tally
from protocols.wire import CountField, Message, SignatureField, encode

ANSWER_DOMAIN = "voting.answer"
CHOICE_BYTES = 32
UNSTATED = -1
"""The confidence of a voter that stated none."""
CONFIDENCE_MOST = 1_000
"""Certain, in thousandths."""
ELECTORS_LIMIT = 31

ChoiceField = Annotated[bytes, msgspec.Meta(max_length=CHOICE_BYTES)]
ConfidenceField = Annotated[int, msgspec.Meta(ge=UNSTATED, le=CONFIDENCE_MOST)]


class Answer(Message, frozen=True, array_like=True, tag="voting.answer"):
    """What a voter signs."""

    epoch: CountField
    ballot: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    choice: ChoiceField
    confidence: ConfidenceField


class SignedAnswer(msgspec.Struct, frozen=True, array_like=True, order=True, gc=False):
    """A voter's answer in a ballot that is known, and its signature."""

    choice: ChoiceField
    confidence: ConfidenceField
    signature: SignatureField

    def contradicts(self, other: "SignedAnswer") -> bool:
        """Whether nobody honest signs both."""
        return (self.choice, self.confidence) != (other.choice, other.confidence)


class Answered(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a voter said: one answer, or two that contradict each other."""

    elector: Annotated[int, msgspec.Meta(ge=0, lt=ELECTORS_LIMIT)]
    answers: Annotated[tuple[SignedAnswer, ...], msgspec.Meta(min_length=1, max_length=2)]

    @property
    def counted(self) -> bytes:
        """The choice that counts: none for a voter that contradicted itself."""
        return self.answers[0].choice if len(self.answers) == 1 else NO_CHOICE


AnswerSet = tuple[Answered, ...]
_decoder = msgspec.msgpack.Decoder(
    Annotated[tuple[Answered, ...], msgspec.Meta(max_length=ELECTORS_LIMIT)]
)


def sign_answer(
    keyring: Keyring, epoch: int, ballot: bytes, choice: bytes, confidence: int = UNSTATED
) -> SignedAnswer:
    """Signs one answer. The caller has it on disk before it shows it to anybody."""
    body = encode(Answer(epoch, ballot, choice, confidence))
    return SignedAnswer(choice, confidence, keyring.sign(ANSWER_DOMAIN, body))


def is_signed(
    keyring: Keyring, voter: bytes, epoch: int, ballot: bytes, answer: SignedAnswer
) -> bool:
    """Whether a voter signed an answer in a ballot."""
    body = encode(Answer(epoch, ballot, answer.choice, answer.confidence))
    return keyring.verify(ANSWER_DOMAIN, voter, body, answer.signature)


def is_choice(rule: str, answer: SignedAnswer) -> bool:
    """Whether an answer has the form of one: a choice of the right length, or none."""
    if answer.choice == NO_CHOICE:
        return answer.confidence == UNSTATED
    wanted = NUMBER_BYTES if parse_rule(rule).name == MEDIAN else CHOICE_BYTES
    return len(answer.choice) == wanted


def encode_set(answers: Sequence[Answered]) -> bytes:
    """A set as it is proposed, and digested."""
    return encode(tuple(answers))


def decode_set(payload: bytes) -> AnswerSet | None:
    """A set from its bytes, in order and each voter once; None where they are not one."""
    try:
        found: AnswerSet = _decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    if encode_set(found) != payload:
        return None
    voters = [answered.elector for answered in found]
    in_order = all(one < other for one, other in itertools.pairwise(voters))
    return found if in_order and all(map(_is_plain, found)) else None


def _is_plain(answered: Answered) -> bool:
    if len(answered.answers) == 1:
        return True
    one, other = answered.answers
    return one < other and one.contradicts(other)


def set_fault(
    keyring: Keyring,
    electors: Sequence[bytes],
    voters: Sequence[int],
    ballot: tuple[int, bytes],
    rule: str,
    answers: AnswerSet,
) -> str | None:
    """What is wrong with a decoded set, or None; checks every signature in it.

    Args:
        keyring: verifies.
        electors: the peers of the electorate, by their index.
        voters: the indices of those that may vote.
        ballot: its epoch and id.
        rule: the request's.
        answers: the set.
    """
    allowed = frozenset(voters)
    for answered in answers:
        if answered.elector not in allowed:
            return f"elector {answered.elector} has no vote in this ballot"
        for answer in answered.answers:
            if not is_choice(rule, answer):
                return f"the answer of elector {answered.elector} is no choice under {rule}"
            if not is_signed(keyring, electors[answered.elector], *ballot, answer):
                return f"the signature of elector {answered.elector} is wrong"
    return None


def tally_of(rule: str, voters: int, liars: int, answers: AnswerSet) -> Tally:
    """What a set says under the rule of its request."""
    return tally(parse_rule(rule), voters, liars, [answered.counted for answered in answers])


def contradiction(epoch: int, ballot: bytes, answers: Sequence[SignedAnswer]) -> bytes:
    """Evidence against a voter: what it signed twice, for anybody to verify. No times in it."""
    signed = [
        (encode(Answer(epoch, ballot, each.choice, each.confidence)), each.signature)
        for each in answers
    ]
    return encode((ANSWER_DOMAIN, signed))
