"""What a ballot is about: the request, whose hash is the ballot's id.

A request names the electorate's epoch, who asks, which skill answers, and the rule. The
input that the skill is given and the options travel beside it, and it holds their hashes.
All that is signed in a ballot names its id, so nothing said in one can be shown in another.
"""

import hashlib
from collections.abc import Sequence
from typing import Annotated

import msgspec

from protocols.voting.normalising import ANSWER_LIMIT, EXACT, TEXT
from protocols.voting.rules import MEDIAN, parse_rule
from protocols.wire import CountField, Message, NameField, PeerIdField, encode

BALLOT_DOMAIN = b"stigmesh/voting.ballot/1\x00"
QUESTION_DOMAIN = b"stigmesh/voting.question/1\x00"
OPTIONS_DOMAIN = b"stigmesh/voting.options/1\x00"
REQUEST_LIMIT = 1024
"""Bytes of an encoded request."""
QUESTION_LIMIT = 48 * 1024
"""Bytes of the input that voters are asked with."""
OPTIONS_LIMIT = 32
CLOSE_MOST_MS = 24 * 3600 * 1000
REQUEST_DOMAIN = "voting.request"
"""What an opener signs its requests under."""
NUMBER = "number"

HashField = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
DurationField = Annotated[int, msgspec.Meta(ge=1, le=CLOSE_MOST_MS)]


class Request(Message, frozen=True, array_like=True, tag="voting.request"):
    """One question to an electorate.

    Attributes:
        epoch: of the electorate whose members vote and finalise.
        opener: the peer that asks; it has no say in the outcome.
        number: grows with each request of its opener, so that an old one is known as such.
        skill, version: what each voter runs to have an answer.
        question: the hash of the skill's input.
        rule: as `rules.parse_rule` has it.
        folding: how answers are made comparable; ``number`` for a median.
        options: the hash of the options, or empty where any answer is one.
        panel: how many electors vote, drawn by lot; 0 for all.
        close_ms: how long after they first saw it voters may take.
        deadline_ms: after so long electors give it up.
    """

    epoch: CountField
    opener: PeerIdField
    number: CountField
    skill: NameField
    version: NameField
    question: HashField
    rule: Annotated[str, msgspec.Meta(max_length=64)]
    folding: Annotated[str, msgspec.Meta(max_length=16)]
    options: Annotated[bytes, msgspec.Meta(max_length=32)]
    panel: Annotated[int, msgspec.Meta(ge=0, le=31)]
    close_ms: DurationField
    deadline_ms: DurationField


_decoder = msgspec.msgpack.Decoder(Request)


def ballot_id(body: bytes) -> bytes:
    """The 32 bytes that name the ballot of an encoded request."""
    return hashlib.sha256(BALLOT_DOMAIN + body).digest()


def question_hash(question: bytes) -> bytes:
    """The hash of an encoded input."""
    return hashlib.sha256(QUESTION_DOMAIN + question).digest()


def options_hash(options: Sequence[bytes]) -> bytes:
    """The hash of normalised options in their order; empty for none."""
    if not options:
        return b""
    return hashlib.sha256(OPTIONS_DOMAIN + encode(tuple(options))).digest()


def decode_request(body: bytes) -> Request | None:
    """The request within its bytes; None where they are not its one encoding, or it cannot be."""
    if len(body) > REQUEST_LIMIT:
        return None
    try:
        request = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return request if encode(request) == body and fault_of(request) is None else None


def fault_of(request: Request) -> str | None:
    """Why a request cannot be, or None."""
    try:
        rule = parse_rule(request.rule)
    except ValueError as error:
        return str(error)
    if rule.text != request.rule:
        return f"the rule {request.rule} is written {rule.text}"
    if rule.name == MEDIAN:
        if request.folding != NUMBER or request.options:
            return "a median is of numbers, without options"
    elif request.folding not in (EXACT, TEXT):
        return f"answers are compared as exact or text, not {request.folding!r}"
    if len(request.options) not in (0, 32):
        return "options are named by their hash"
    if request.deadline_ms < request.close_ms:
        return "a ballot's deadline comes before its close"
    if not request.skill:
        return "a ballot needs a skill that answers"
    return None


def options_fault(request: Request, options: Sequence[bytes]) -> str | None:
    """Whether these are not the options of a request: why, or None."""
    if options_hash(options) != request.options:
        return "the options are not those of the request"
    if len(options) > OPTIONS_LIMIT or any(len(option) > ANSWER_LIMIT for option in options):
        return f"more than {OPTIONS_LIMIT} options, or one over {ANSWER_LIMIT} bytes"
    if len(set(options)) != len(options) or len(options) == 1:
        return "options are two or more, each once"
    return None
