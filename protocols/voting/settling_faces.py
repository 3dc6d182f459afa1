"""What one settlement speaks to: the application that it settles for, and its way out."""

from typing import Protocol

import msgspec

from protocols.machine import Now
from protocols.voting.marks import Proof


class Application(Protocol):
    """What is settled, and who judges it."""

    def propose(self, view: int, parent: bytes, now: Now) -> bytes | None:
        """A payload; None: not yet."""

    def accepts(
        self, view: int, payload: bytes, parent: bytes, nullified_views: int, now: Now
    ) -> bool | None:
        """Whether a payload is one to settle; None: cannot tell yet."""


class Said(msgspec.Struct, frozen=True, gc=False):
    """A mark that somebody signed."""

    elector: int
    view: int
    phase: str
    digest: bytes
    signature: bytes


class Output(Protocol):
    """Where what an instance says goes."""

    def may_sign(self) -> bool:
        """Whether this elector may sign here now."""

    def own_shown(self) -> None:
        """Somebody has shown a mark of this elector's own that its disk did not have."""

    def write(self, mark: Said, payload: bytes) -> None:
        """On disk, before it is said. The payload goes with what is notarised."""

    def say(self, mark: Said) -> None:
        """To all electors."""

    def propose(self, view: int, payload: bytes, signature: bytes, parent: Proof | None) -> None:
        """To all electors: the leader's notarising mark with its payload."""

    def prove(self, proof: Proof, to: int | None) -> None:
        """To one elector, or to all."""

    def contradiction(self, one: Said, other: Said) -> None:
        """An elector signed two marks that nobody honest signs both of."""

    def settled(self, payload: bytes, proof: Proof) -> None:
        """A payload is finalised."""
