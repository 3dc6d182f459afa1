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


class MemberSuspected(msgspec.Struct, frozen=True, tag="gossip.member-suspected"):
    """A member does not answer; it is still a member."""

    peer: bytes
    name: str
    incarnation: int


class MemberDown(msgspec.Struct, frozen=True, tag="gossip.member-down"):
    """A member is gone: `reason` is ``dead`` or ``left``."""

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
