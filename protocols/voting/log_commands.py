"""What the ordered log is told, and what it tells."""

import msgspec

from protocols.voting.ledger import Acquire, Action, Release, Renew, Result


class PutInOrder(msgspec.Struct, frozen=True):
    """Actions for the strong part of the board, answered by `PutInOrderDone` in time.

    They are carried out one after another; each has its own result. Where no quorum answers,
    nothing is answered: they may be carried out later.

    Raises `Refused`: NoElectorate, NotAnElector, NoQuorum, TooLarge, Busy (with a retry time).

    Attributes:
        request: the caller's own number.
        actions: in their order.
    """

    request: int
    actions: tuple[Action, ...]


LeaseAction = Acquire | Renew | Release


class AskLease(msgspec.Struct, frozen=True):
    """A lease for an exclusive task, answered by `LeaseAnswered`, sooner or later or never.

    A peer that is no elector asks electors. The same request once more asks others, too.
    """

    request: int
    action: LeaseAction


class LeaseAnswered(msgspec.Struct, frozen=True):
    """What came of `AskLease`.

    `reason`: ``held``, ``ended`` or ``full`` as in `Result`; any other means that nothing is
    known yet. `text` says it to people.
    """

    request: int
    action: LeaseAction
    is_done: bool
    reason: str = ""
    text: str = ""
    token: int = 0
    ends_ms: int = 0


class LogElectorUp(msgspec.Struct, frozen=True):
    """Gossip sees a peer alive."""

    peer: bytes


class LogElectorDown(msgspec.Struct, frozen=True):
    """Gossip sees a peer dead or gone: its views are not waited for."""

    peer: bytes


class FollowElectorate(msgspec.Struct, frozen=True):
    """The electorate of the log, as the mesh's root has signed it."""

    bundle: bytes


class DoubtLog(msgspec.Struct, frozen=True):
    """This peer's disk is an older copy, as another of its machines was shown."""


class PutInOrderDone(msgspec.Struct, frozen=True, tag="voting.put-in-order"):
    """Actions were finalised.

    Attributes:
        request: the caller's number.
        height: at which height.
        time_ms: the log time there.
        results: one for each action.
    """

    request: int
    height: int
    time_ms: int
    results: tuple[Result, ...]


class LogContradicted(msgspec.Struct, frozen=True, tag="voting.log-contradicted"):
    """An elector signed against itself in the log: two marks are the evidence."""

    height: int
    elector: bytes
    evidence: bytes


class ElectorateSettled(msgspec.Struct, frozen=True, tag="voting.electorate-settled"):
    """A later electorate is in the log: it settles whatever comes after."""

    bundle: bytes
