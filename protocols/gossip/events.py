"""What gossip tells the other machines, agents and people."""

import msgspec

from protocols.gossip.messages import SkillAdvert


class MemberUp(msgspec.Struct, frozen=True, tag="gossip.member-up"):
    """A member is alive: new, back, refuted, or with changed skills, address or boot."""

    peer: bytes
    name: str
    door: str
    incarnation: int
    boot: int
    skills: tuple[SkillAdvert, ...]
    labels: tuple[str, ...] = ()


class MemberSuspected(msgspec.Struct, frozen=True, tag="gossip.member-suspected"):
    """A member does not answer; it is still a member."""

    peer: bytes
    name: str
    incarnation: int


class MemberDown(msgspec.Struct, frozen=True, tag="gossip.member-down"):
    """A member is gone: `reason` is ``dead``, ``left`` or ``revoked``."""

    peer: bytes
    name: str
    incarnation: int
    reason: str
    confirmations: int = 0
    """How many accusers confirmed it; 0 where the timer alone decided, or it left."""


class LoadChanged(msgspec.Struct, frozen=True, tag="gossip.load-changed"):
    """A member said how much work it has queued; a hint for whom to invite."""

    peer: bytes
    load: int


class PeerRevoked(msgspec.Struct, frozen=True, tag="gossip.peer-revoked"):
    """An authority ended a peer's credential; it may be this peer, or one never met.

    `kind` is ``revoked`` (its key, or this one credential), or ``issuer-revoked``.
    """

    peer: bytes
    name: str
    kind: str
    reason: str
    by: bytes


class IssuerAdded(msgspec.Struct, frozen=True, tag="gossip.issuer-added"):
    """A root named a peer that may sign credentials until then, by the wall clock."""

    peer: bytes
    not_after_s: int


class RootRotated(msgspec.Struct, frozen=True, tag="gossip.root-rotated"):
    """A root has a successor, and retires then, by the wall clock."""

    root: bytes
    predecessor: bytes
    retires_s: int


class StatementsFull(msgspec.Struct, frozen=True, tag="gossip.statements-full"):
    """A statement was not kept: there is no room for more of this author. Told once."""

    author: bytes


class CredentialRenewed(msgspec.Struct, frozen=True, tag="gossip.credential-renewed"):
    """A member shows another credential than before; it was verified."""

    peer: bytes
    credential: bytes
