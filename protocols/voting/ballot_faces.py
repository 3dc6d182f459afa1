"""What ballots stand on: what settles a set of answers, and what certifies it."""

from typing import Protocol

from protocols.machine import Now
from protocols.voting.ballot import Ballot
from protocols.voting.open_ballot import Electors, OpenBallot
from protocols.voting.requests import Request


class Trusting(Protocol):
    """Whether this elector may trust its own disk (`standing.py`)."""

    def may_sign(self, ballot: bytes) -> bool:
        """Whether it may sign marks in an open ballot now."""

    def is_silent(self, request: Request) -> bool:
        """Whether it may sign nothing in a request's ballot, as things are now."""

    def own_shown(self) -> None:
        """Somebody has shown a statement of its own that its disk did not have."""


class Settling(Protocol):
    """The Simplex instances of ballots."""

    def begin(self, ballot: bytes, electorate: Electors, application: Ballot, now: Now) -> None:
        """An instance for a ballot; no view of it ends by the clock yet."""

    def look(self, ballot: bytes, is_ready: bool, now: Now) -> None:
        """The ballot may propose or accept what it did not before; `is_ready` starts its clock."""

    def forget(self, ballot: bytes) -> None:
        """The ballot is over; the instance signs nothing any more."""


class Certifying(Protocol):
    """Makes and checks certificates."""

    def certify(self, opened: OpenBallot, payload: bytes, proof: bytes) -> tuple[bytes, str, int]:
        """The file of a settled ballot, its status and margin."""

    def is_certificate(self, opened: OpenBallot, file: bytes) -> tuple[str, int] | None:
        """Status and margin, where a file is the certificate of a ballot; else None."""
