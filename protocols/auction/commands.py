"""What the core tells its auction. Peers and skills come from gossip, demand from tasks."""

import msgspec


class CandidateUp(msgspec.Struct, frozen=True):
    """A member may be invited for these skills: (name, version) pairs. Replaces what was known."""

    peer: bytes
    boot: int
    skills: tuple[tuple[str, str], ...]
    labels: tuple[str, ...] = ()


class CandidateDown(msgspec.Struct, frozen=True):
    """A member is gone, or its process is: its slots are free at once, its lots end."""

    peer: bytes
    reason: str


class CandidateLoad(msgspec.Struct, frozen=True):
    """A hint of how much work a member has queued, milliseconds."""

    peer: bytes
    load: int


class Seek(msgspec.Struct, frozen=True):
    """Issuer: so many slots are wanted in all for this skill, those already held included.

    Idempotent: the latest call stands. `units` 0 releases every slot that is idle
    (the tasks machine names those with `ReleaseSlots`). `version` may be "" for any.
    `estimate_us` is the expected duration of one task, 0 where nobody knows.
    """

    skill: str
    version: str
    units: int
    estimate_us: int
    trace: str = ""
    """The trace id of the task that caused it, for events."""
    avoid: tuple[bytes, ...] = ()
    """Peers not to be invited for the next second, as long as others host the skill."""
    requires: tuple[str, ...] = ()
    """Labels without which no peer is invited. Each set of them is a demand of its own."""


class ReleaseSlots(msgspec.Struct, frozen=True):
    """Issuer: these slots are not needed any more."""

    lot: str
    peer: bytes
    slots: int


class SetCapacity(msgspec.Struct, frozen=True):
    """Bidder: this peer hosts the skill with so many slots in all; 0 withdraws it."""

    skill: str
    version: str
    slots: int


class ObserveWork(msgspec.Struct, frozen=True):
    """Bidder: how busy a skill is here, so that bids say the truth.

    `queued`: tasks assigned and not finished; `mean_us`: moving mean of one task's duration.
    """

    skill: str
    version: str
    queued: int
    mean_us: int
    direct: int = 0
    """Tasks that take up a place here and hold no slot of a lot; no bid offers their places."""


class SetPrice(msgspec.Struct, frozen=True):
    """Bidder: what the skill's agent asks for one task; replaces what it asked before.

    The defaults are those of an agent that asks for nothing.
    """

    skill: str
    version: str
    duration_us: int = 0
    """How long one task takes here, as the agent has it; 0 leaves that to measurement."""
    cost: int = 0
    """What one task costs here, millionths of the unit of account."""
    confidence: int = 1_000_000
    """How likely a task is to succeed here, millionths."""


class BarCandidate(msgspec.Struct, frozen=True):
    """Issuer: a peer is not to be invited for a skill until this is taken back."""

    skill: str
    version: str
    peer: bytes
    is_barred: bool


class ObserveCompletion(msgspec.Struct, frozen=True):
    """Issuer: a task took `actual_us` in a slot whose bid had claimed `claimed_us`."""

    peer: bytes
    claimed_us: int
    actual_us: int
    skill: str = ""
    version: str = ""
