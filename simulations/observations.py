"""What the world itself tells checkers, beside the events of cores."""

import msgspec

from protocols.machine import Instant


class PeerStarted(msgspec.Struct, frozen=True):
    """A peer's process has begun."""

    boot: int


class PeerStopped(msgspec.Struct, frozen=True):
    """A peer's process is no more.

    `why` is ``crash``, ``power``, ``disk-full``, ``disk-hangs``, ``corrupt`` or ``left``.
    """

    why: str


class DiskForgot(msgspec.Struct, frozen=True):
    """A peer's disk holds nothing any more of what was written since that instant.

    It lost power before a sync, was damaged, or is an older copy. No promise of that
    time binds the peer: that much `docs/guarantees.md` says. `is_synced` where it may have
    lost what was synced as well, as no power cut does.
    """

    since: Instant
    is_synced: bool = True


class JobHanded(msgspec.Struct, frozen=True):
    """A core handed an attempt to its agents."""

    custodian: bytes
    task: str
    attempt: int
    skill: str
    token: int = 0


class JobFinished(msgspec.Struct, frozen=True):
    """A handler ended; its core is about to hear of it."""

    custodian: bytes
    task: str
    attempt: int
    status: str


class WrongAnswer(msgspec.Struct, frozen=True):
    """A handler is about to end well, with a wrong answer that its custodian has to believe."""

    custodian: bytes
    task: str
    attempt: int


class Sent(msgspec.Struct, frozen=True):
    """A core sent a message, of a kind that a checker wants to hear, to a peer."""

    to: bytes
    message: msgspec.Struct


class Asked(msgspec.Struct, frozen=True):
    """A client, or a handler for its child, submits; `index` names the asking."""

    request: int


class CancelAsked(msgspec.Struct, frozen=True):
    """A client is about to cancel a task."""

    task: str


class RequestRefused(msgspec.Struct, frozen=True):
    """A submission was refused at once."""

    request: int
    kind: str


OF_THE_WORLD = (
    PeerStarted, PeerStopped, DiskForgot, JobHanded, JobFinished, Asked, CancelAsked,
    RequestRefused,
)  # fmt: skip
"""What no effect of a core tells; `Sent` and events of cores are effects."""
