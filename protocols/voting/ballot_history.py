"""Ballots that are over: their certificates for those that are behind, and which are old.

An elector answers a ballot once. What it has forgotten it must not answer again, so it
keeps for each opener a floor: a request up to it that is not known here is old, and refused.
Floors rise as ballots are forgotten, oldest first.

Invariants:
    bounded-history: remembered ballots, their bytes and floors have limits.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator

import msgspec

from protocols.voting.ballot_messages import (
    BallotRecord,
    CastRecord,
    DecidedRecord,
    EndedRecord,
    FloorRecord,
    Question,
)
from protocols.voting.requests import ballot_id, decode_request

REMEMBERED_LIMIT = 512
"""Ballots that are over and remembered."""
REMEMBERED_BYTES = 8 * 1024 * 1024
OPENERS_LIMIT = 4096


class Past(msgspec.Struct, frozen=True, gc=False):
    """A ballot that is over; its certificate is empty where it ended without one."""

    asked: Question
    opener: bytes
    number: int
    certificate: bytes

    @property
    def size(self) -> int:
        """Bytes that it is counted with."""
        return len(self.certificate) + len(self.asked.request) + len(self.asked.question)


class BallotHistory:
    """What this elector remembers of ballots that are over."""

    def __init__(self) -> None:
        self._past: OrderedDict[bytes, Past] = OrderedDict()
        self._floors: OrderedDict[bytes, int] = OrderedDict()
        self._bytes = 0

    def __contains__(self, ballot: bytes) -> bool:
        return ballot in self._past

    def certificate(self, ballot: bytes) -> bytes:
        """The certificate of a ballot; empty where there is none, or it is not known."""
        past = self._past.get(ballot)
        return b"" if past is None else past.certificate

    def newest(self) -> dict[bytes, Question]:
        """Of each opener the request with the highest number."""
        found: dict[bytes, Past] = {}
        for past in self._past.values():
            if past.opener not in found or found[past.opener].number < past.number:
                found[past.opener] = past
        return {opener: past.asked for opener, past in found.items()}

    def last_certificates(self) -> Iterator[tuple[Question, bytes]]:
        """What was settled, the last first."""
        for past in reversed(self._past.values()):
            if past.certificate:
                yield past.asked, past.certificate

    def is_old(self, opener: bytes, number: int) -> bool:
        """Whether a request that is not known here may be one that was forgotten."""
        return number <= self._floors.get(opener, -1)

    def has_room_for(self, opener: bytes) -> bool:
        """Whether an opener's ballots can be told from forgotten ones later."""
        return opener in self._floors or len(self._floors) < OPENERS_LIMIT

    def add(self, asked: Question, certificate: bytes) -> None:
        """Remembers a ballot that is over; forgets the oldest where there are too many."""
        request = decode_request(asked.request)
        assert request is not None, "it was open here"
        ballot = ballot_id(asked.request)
        if ballot in self._past:
            return
        past = Past(asked, request.opener, request.number, certificate)
        self._past[ballot] = past
        self._bytes += past.size
        while len(self._past) > REMEMBERED_LIMIT or self._bytes > REMEMBERED_BYTES:
            _, oldest = self._past.popitem(last=False)
            self._bytes -= oldest.size
            self.raise_floor(oldest.opener, oldest.number)

    def raise_floor(self, opener: bytes, number: int) -> None:
        """Requests of an opener up to a number are old."""
        self._floors[opener] = max(number, self._floors.get(opener, -1))

    def restore(
        self, records: Iterable[msgspec.Struct]
    ) -> list[tuple[BallotRecord, CastRecord | None]]:
        """Takes the records of an earlier life; returns the ballots that are open still."""
        asked: dict[bytes, BallotRecord] = {}
        cast: dict[bytes, CastRecord] = {}
        for record in records:
            match record:
                case BallotRecord():
                    asked[ballot_id(record.asked.request)] = record
                case CastRecord():
                    cast[record.ballot] = record
                case DecidedRecord():
                    self.add(asked.pop(record.ballot).asked, record.certificate)
                case EndedRecord():
                    self.add(asked.pop(record.ballot).asked, b"")
                case FloorRecord():
                    self.raise_floor(record.opener, record.number)
        return [(record, cast.get(ballot)) for ballot, record in asked.items()]

    def records(self) -> Iterator[BallotRecord | DecidedRecord | EndedRecord | FloorRecord]:
        """What gives the same when it is restored."""
        for opener, number in self._floors.items():
            yield FloorRecord(opener, number)
        for ballot, past in self._past.items():
            yield BallotRecord(past.asked, 0, 0)
            if past.certificate:
                yield DecidedRecord(ballot, past.certificate)
            else:
                yield EndedRecord(ballot)

    def check(self) -> None:
        """Asserts the invariant."""
        assert len(self._past) <= REMEMBERED_LIMIT, "bounded-history"
        assert self._bytes == sum(past.size for past in self._past.values()), "bounded-history"
        assert self._bytes <= REMEMBERED_BYTES, "bounded-history"
        most = OPENERS_LIMIT + 2 * REMEMBERED_LIMIT  # ballots of new openers may be under way
        assert len(self._floors) <= most, "bounded-history"
