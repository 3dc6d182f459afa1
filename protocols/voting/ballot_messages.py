"""What electors say to each other about ballots, and what they write down.

What must convince others is signed inside the messages: requests by their openers, answers
by their voters. Everything else about a ballot is a Simplex instance's.
"""

from typing import Annotated

import msgspec

from protocols.voting.answers import SignedAnswer
from protocols.voting.normalising import ANSWER_LIMIT
from protocols.voting.requests import OPTIONS_LIMIT, QUESTION_LIMIT, REQUEST_LIMIT, HashField
from protocols.voting.roll import BUNDLE_LIMIT
from protocols.wire import CountField, Message, SignatureField

FILE_LIMIT = 512 * 1024
"""Bytes of a certificate with its bundle and texts."""

BodyField = Annotated[bytes, msgspec.Meta(max_length=REQUEST_LIMIT)]
TextField = Annotated[bytes, msgspec.Meta(max_length=ANSWER_LIMIT)]
OptionsField = Annotated[tuple[TextField, ...], msgspec.Meta(max_length=OPTIONS_LIMIT)]


class Question(Message, frozen=True, array_like=True, tag="voting.question"):
    """A request, and what it holds the hashes of. Electors pass it on to those that want it."""

    request: BodyField
    signature: SignatureField
    question: Annotated[bytes, msgspec.Meta(max_length=QUESTION_LIMIT)]
    options: OptionsField


class Want(Message, frozen=True, array_like=True, tag="voting.want"):
    """Something was said of a ballot that its hearer does not know: what is it?"""

    ballot: HashField


class Vote(Message, frozen=True, array_like=True, tag="voting.vote"):
    """A voter's answer, from itself or passed on by an elector that had not seen it before."""

    ballot: HashField
    elector: Annotated[int, msgspec.Meta(ge=0, lt=31)]
    answer: SignedAnswer
    text: TextField = b""
    """What the choice is a hash of; empty where that is not known, or the choice is a number."""


class Decided(Message, frozen=True, array_like=True, tag="voting.decided"):
    """A ballot is settled; the file proves it. To its opener, and to whoever is behind."""

    ballot: HashField
    certificate: Annotated[bytes, msgspec.Meta(max_length=FILE_LIMIT)]


class RollShown(Message, frozen=True, array_like=True, tag="voting.roll-shown"):
    """Who the electors are, for a peer that is none; the mesh's root signed it."""

    bundle: Annotated[bytes, msgspec.Meta(max_length=BUNDLE_LIMIT)]


BALLOT_KINDS = (Question, Want, Vote, Decided, RollShown)


class BallotRecord(msgspec.Struct, frozen=True, array_like=True, tag="voting.ballot"):
    """A ballot that is open here. `closes_ns` and `ends_ns` are by the wall clock."""

    asked: Question
    closes_ns: CountField
    ends_ns: CountField


class CastRecord(msgspec.Struct, frozen=True, array_like=True, tag="voting.cast"):
    """This elector's own answer, before anybody hears of it."""

    ballot: bytes
    answer: SignedAnswer
    text: bytes


class DecidedRecord(msgspec.Struct, frozen=True, array_like=True, tag="voting.decided-record"):
    """A settled ballot; its certificate is kept for those that are behind."""

    ballot: bytes
    certificate: bytes


class EndedRecord(msgspec.Struct, frozen=True, array_like=True, tag="voting.ended"):
    """A ballot that was given up; no answer of this elector's leaves in it any more."""

    ballot: bytes


class FloorRecord(msgspec.Struct, frozen=True, array_like=True, tag="voting.floor"):
    """Requests of an opener up to this number are old: those that are not known are refused."""

    opener: bytes
    number: CountField


BALLOT_RECORDS = (BallotRecord, CastRecord, DecidedRecord, EndedRecord, FloorRecord)
