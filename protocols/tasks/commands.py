"""What clients, workers and the other machines tell the tasks machine."""

import msgspec

from protocols.tasks.messages import Outcome
from protocols.tasks.skills import SkillSpec


class TaskSpec(msgspec.Struct, frozen=True):
    """What a client asks for: the envelope without what the custodian fills in.

    Durations in milliseconds, 0 for none. `retries` -1 takes the skill's own.
    `to` (strategy ``direct``) is a peer id, or an empty string of bytes.
    """

    skill: str
    input: msgspec.Raw
    version: str = ""
    """"" takes the newest version that anyone hosts."""
    key: str = ""
    """Idempotency key; the task id is then H(space, key)."""
    strategy: str = "auction"
    to: bytes = b""
    timeout_ms: int = 0
    deadline_ms: int = 0
    retries: int = -1
    priority: int = 0
    weight_us: int = 0
    """The caller's estimate of the duration, for longest first; 0 where unknown."""
    budget: int = 0
    traceparent: str = ""
    parent: str = ""
    depth: int = 0
    space: str = "default"
    principal: str = ""
    requires: tuple[str, ...] = ()
    """Labels that the peer that runs it must have, beside those that the skill asks for."""
    exclusive: str | None = None
    """At most one attempt under this key has a valid lease at any time; "" is the task's own."""
    submitter: str = ""
    """Tasks of one submitter share a lane in the line; the principal where it is empty."""


class SubmitTasks(msgspec.Struct, frozen=True):
    """Accept these tasks, all or none. Answered by `TasksAccepted` with the same `request`.

    Raises `Refused`: UnknownSkill, InvalidInput, TooLarge, Busy (with a retry time),
    UnknownStrategy, UnknownPeer, TooDeep, KeyConflict. A failing element is named by its index.
    """

    request: int
    tasks: tuple[TaskSpec, ...]


class CancelTasks(msgspec.Struct, frozen=True):
    """Stop these tasks wherever they run; `request` is answered by `CancelAnswered`."""

    request: int
    task: str
    reason: str = "cancelled by the caller"


class LookUpTask(msgspec.Struct, frozen=True):
    """Find a task here or at any member; answered by `TaskLookedUp`."""

    request: int
    task: str


class ListTasks(msgspec.Struct, frozen=True):
    """This custodian's tasks in these states (all where empty); answered by `TasksListed`."""

    request: int
    states: tuple[str, ...] = ()
    limit: int = 100


class RedriveTasks(msgspec.Struct, frozen=True):
    """Run dead letters again: these, or all of a skill, or all where both are empty.

    Answered by `TasksRedriven`.
    """

    request: int
    tasks: tuple[str, ...] = ()
    skill: str = ""


class AttachTasks(msgspec.Struct, frozen=True):
    """Tell (again) how these tasks ended; answered by `TasksAttached`, then `TasksSettled`."""

    request: int
    tasks: tuple[str, ...]


class HostSkills(msgspec.Struct, frozen=True):
    """Every skill that this peer hosts now, with its slots: replaces what was said before."""

    skills: tuple[tuple[SkillSpec, int], ...]
    sick: tuple[tuple[str, str], ...] = ()
    """(name, version) of those whose agents cannot work now: what runs goes on, nothing begins."""
    labels: tuple[str, ...] = ()
    """What this peer is fit for, beside its skills."""


class JobsEnded(msgspec.Struct, frozen=True):
    """Attempts that this peer's workers ended; `custodian` tells whose."""

    ends: tuple[tuple[bytes, Outcome], ...]


class JobParked(msgspec.Struct, frozen=True):
    """A running attempt here awaits a child (`waiting`), or wants to go on."""

    custodian: bytes
    task: str
    attempt: int
    waiting: bool


class JobProgress(msgspec.Struct, frozen=True):
    """A running attempt here says how far it is; fraction in millionths."""

    custodian: bytes
    task: str
    attempt: int
    fraction: int
    text: str


class SlotsHeld(msgspec.Struct, frozen=True):
    """From the auction (issuer side): slots won, to be filled with tasks."""

    lot: str
    skill: str
    version: str
    peer: bytes
    slots: int
    completion_us: int
    requires: tuple[str, ...] = ()
    """The labels that were asked for (see `SlotsWanted`)."""


class SlotsGone(msgspec.Struct, frozen=True):
    """From the auction (issuer side): slots lost; what runs there is retried if its peer died."""

    lot: str
    peer: bytes
    slots: int
    reason: str


class SlotsRecalled(msgspec.Struct, frozen=True):
    """From the auction (issuer side): give so many back as tasks end; another issuer waits."""

    lot: str
    peer: bytes
    slots: int


class SlotsLent(msgspec.Struct, frozen=True):
    """From the auction (bidder side): an issuer may assign so many at once; absolute, 0 ends it."""

    lot: str
    issuer: bytes
    skill: str
    version: str
    slots: int


class OfferSeen(msgspec.Struct, frozen=True):
    """From the blackboard: what a custodian offers; the fields of `OfferPosted`."""

    custodian: bytes
    tag: str
    skill: str
    version: str
    requires: tuple[str, ...]
    number: int
    units: int
    avoid: tuple[bytes, ...] = ()


class OfferGone(msgspec.Struct, frozen=True):
    """From the blackboard: an offer ended, or was taken away."""

    custodian: bytes
    tag: str


class ClaimSeen(msgspec.Struct, frozen=True):
    """From the blackboard: what a peer claims of an offer; the fields of `PlacesClaimed`."""

    custodian: bytes
    tag: str
    claimer: bytes
    number: int
    places: int
    load_ms: int


class LeaseTold(msgspec.Struct, frozen=True):
    """From the ordered log: the answer to `LeaseAsked`.

    `reason`, where it was not done: ``held`` by another, ``ended``, or why nothing is known yet,
    which `text` says to people.
    """

    request: int
    verb: str
    name: str
    is_done: bool
    reason: str = ""
    text: str = ""
    token: int = 0
    ends_ms: int = 0


class PeerUp(msgspec.Struct, frozen=True):
    """From gossip: a member, its boot number and the (name, version, digest) of its skills."""

    peer: bytes
    name: str
    boot: int
    skills: tuple[tuple[str, str, bytes], ...]
    sick: tuple[tuple[str, str], ...] = ()
    """(name, version) of those that cannot work there now."""
    labels: tuple[str, ...] = ()


class PeerLoad(msgspec.Struct, frozen=True):
    """From gossip: what a member says that it has to do, in milliseconds."""

    peer: bytes
    load_ms: int


class PeerSuspected(msgspec.Struct, frozen=True):
    """From gossip: this member does not answer. It is refuted by `PeerUp`, or by a word of its."""

    peer: bytes


class PeerDown(msgspec.Struct, frozen=True):
    """From gossip or the links: this member is gone, or its process is.

    `has_ended` where nothing is left of its process for certain; a silent peer may run on.
    """

    peer: bytes
    reason: str
    has_ended: bool = False


class Drain(msgspec.Struct, frozen=True):
    """Take no new work: refuse submissions and assignments, finish what runs."""
