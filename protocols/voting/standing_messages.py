"""What a restarted elector asks the others, and what they tell it of itself."""

from typing import Annotated

import msgspec

from protocols.voting.answers import SignedAnswer
from protocols.voting.ballot_messages import BodyField
from protocols.voting.marks import DigestField, PhaseField
from protocols.wire import CountField, Message, PeerIdField, SignatureField

OPEN_SHOWN_LIMIT = 256
OVER_SHOWN_LIMIT = 8
"""Of the ballots that are over and that an elector has answered, the last so many are told."""
NEWEST_LIMIT = 512
"""Openers whose newest request is told."""
MARKS_SHOWN_LIMIT = 3


class SeenMark(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A mark of whoever asked."""

    view: CountField
    phase: PhaseField
    digest: DigestField
    signature: SignatureField


MarksField = Annotated[tuple[SeenMark, ...], msgspec.Meta(max_length=MARKS_SHOWN_LIMIT)]


class SeenBallot(msgspec.Struct, frozen=True, array_like=True):
    """What whoever asked has signed in a ballot, its last view's marks alone.

    The request comes along, so that it can be told from one that was forgotten.
    """

    request: BodyField
    answers: Annotated[tuple[SignedAnswer, ...], msgspec.Meta(max_length=2)]
    marks: MarksField = ()


class SeenRequest(msgspec.Struct, frozen=True, array_like=True):
    """The newest request of an opener; all that have a lower number began before it."""

    request: BodyField
    signature: SignatureField


class Enquiry(Message, frozen=True, array_like=True, tag="voting.enquiry"):
    """What have you seen of me in ballots?"""

    number: CountField


class Seen(Message, frozen=True, array_like=True, tag="voting.seen"):
    """This, and nothing else."""

    number: CountField
    ballots: Annotated[
        tuple[SeenBallot, ...], msgspec.Meta(max_length=OPEN_SHOWN_LIMIT + OVER_SHOWN_LIMIT)
    ]
    newest: Annotated[tuple[SeenRequest, ...], msgspec.Meta(max_length=NEWEST_LIMIT)]


class LogEnquiry(Message, frozen=True, array_like=True, tag="voting.log-enquiry"):
    """What have you seen of me in the log?"""

    number: CountField


class LogSeen(Message, frozen=True, array_like=True, tag="voting.log-seen"):
    """My height, and your marks at the next one."""

    number: CountField
    height: CountField
    marks: MarksField


class BarRecord(msgspec.Struct, frozen=True, array_like=True, tag="voting.bar"):
    """In requests of an opener up to this number a restored elector signs nothing."""

    opener: PeerIdField
    number: CountField


STANDING_KINDS = (Enquiry, Seen)
LOG_STANDING_KINDS = (LogEnquiry, LogSeen)
