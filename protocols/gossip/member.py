"""A member: a peer as this peer sees it."""

import enum
from dataclasses import dataclass

import msgspec

from protocols.credentials import decode_chain
from protocols.errors import Malformed
from protocols.gossip.messages import MemberRecord, SkillAdvert
from protocols.gossip.suspicion import Suspicion
from protocols.machine import Instant
from protocols.wire import Signed


class State(enum.IntEnum):
    """As in a digest."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


class MemberView(msgspec.Struct, frozen=True):
    """What others in this process may know of a member.

    `state` is ``alive``, ``suspect``, ``dead`` or ``left``; `load` is queued work in milliseconds;
    `clock_ms` is how far its wall clock was ahead of ours, the way of a message aside, or None.
    """

    peer: bytes
    name: str
    door: str
    state: str
    incarnation: int
    boot: int
    skills: tuple[SkillAdvert, ...]
    load: int
    credential: bytes
    labels: tuple[str, ...] = ()
    clock_ms: int | None = None


class KnownDoor(msgspec.Struct, frozen=True):
    """Where a peer can be met; `curve` is None where its credential does not say."""

    peer: bytes
    door: str
    curve: bytes | None


@dataclass(slots=True)
class Member:
    """One row of the roster. `suspicion` is there exactly while the state is suspect."""

    record: MemberRecord
    envelope: Signed
    state: State
    changed_at: Instant
    load: int = 0
    told_load: int = 0
    clock_ms: int | None = None
    suspicion: Suspicion | None = None
    evidence: tuple[Signed, ...] = ()
    """Accusations that a dead member died of."""
    retry_at: Instant = 0
    retry_after_ns: int = 0

    @property
    def peer(self) -> bytes:
        """Its id."""
        return self.record.peer

    @property
    def incarnation(self) -> int:
        """The highest that it announced to us."""
        return self.record.incarnation

    @property
    def present(self) -> bool:
        """Alive or suspect: still a member."""
        return self.state in (State.ALIVE, State.SUSPECT)

    @property
    def accusations(self) -> tuple[Signed, ...]:
        """The accusations of its present incarnation that are known here."""
        return self.suspicion.envelopes if self.suspicion is not None else self.evidence

    def view(self) -> MemberView:
        """A frozen copy."""
        return view_of(self.record, self.state, self.load, self.clock_ms)


def view_of(
    record: MemberRecord, state: State, load: int, clock_ms: int | None = None
) -> MemberView:
    """What a record says, with a state, a load and a clock."""
    return MemberView(
        peer=record.peer,
        name=record.name,
        door=record.door,
        state=state.name.lower(),
        incarnation=record.incarnation,
        boot=record.boot,
        skills=record.skills,
        load=load,
        credential=record.credential,
        labels=record.labels,
        clock_ms=clock_ms,
    )


def door_of(record: MemberRecord) -> KnownDoor:
    """The door of a record, with the CURVE key that its credential names."""
    try:
        _, _, credential = decode_chain(record.credential)
    except Malformed:
        return KnownDoor(record.peer, record.door, None)
    return KnownDoor(record.peer, record.door, credential.curve)
