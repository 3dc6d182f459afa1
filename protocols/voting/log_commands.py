"""What the ordered log is told, and what it tells."""

import msgspec

from protocols.voting.ledger import Action, Result


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
