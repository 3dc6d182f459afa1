"""What the tasks machine tells clients, people and the other machines. Batches on hot paths."""

import msgspec

from protocols.tasks.messages import JobKey


class TasksAccepted(msgspec.Struct, frozen=True, tag="tasks.accepted"):
    """The tasks of one request are on disk here; ids in the order of the request."""

    request: int
    tasks: tuple[str, ...]
    skill: str
    trace: str
    parent: str = ""
    """The task whose handler submitted them."""
    span: str = ""
    """The caller's span in the trace, 16 hexadecimal digits."""


class SubmissionRefused(msgspec.Struct, frozen=True, tag="tasks.submission-refused"):
    """A submission that was parked until its skill's spec is here is refused after all.

    The fields are those of `Refused`; `index` names the offending task, -1 where none is.
    """

    request: int
    kind: str
    message: str
    retry_after_ns: int = 0
    index: int = -1


class Settled(msgspec.Struct, frozen=True):
    """A task came to its end.

    `state`: done | failed | cancelled | expired | dead. `value` is the encoded result,
    empty unless done. `attempts` counts 1 + retries.
    """

    task: str
    state: str
    value: msgspec.Raw
    error_kind: str
    error_message: str
    attempts: int
    incomplete: bool
    producer: bytes
    """The peer that ran it; empty where none did."""
    confidence: int
    elapsed_us: int


class TasksSettled(msgspec.Struct, frozen=True, tag="tasks.settled"):
    """Tasks that ended, results on disk."""

    settled: tuple[Settled, ...]


class AttemptsFailed(msgspec.Struct, frozen=True, tag="tasks.attempts-failed"):
    """Attempts that ended without a result; `retried` says whether each goes on elsewhere."""

    peer: bytes
    attempts: tuple[tuple[str, int, str, str, bool], ...]
    """(task, attempt, status, message, retried)."""


class AttemptsStarted(msgspec.Struct, frozen=True, tag="tasks.attempts-started"):
    """Attempts sent to a peer in one batch."""

    peer: bytes
    lot: str
    skill: str
    attempts: tuple[JobKey, ...]


class RanAttempt(msgspec.Struct, frozen=True):
    """Where an attempt spent its time at the peer that ran it, by that peer's own clock."""

    task: str
    attempt: int
    status: str
    trace: str
    waited_us: int
    """From its arrival until it was handed to the agents."""
    held_us: int
    """From then until the agents said how it ended."""
    elapsed_us: int
    """How long its handler ran, as the agents measured."""


class AttemptsRan(msgspec.Struct, frozen=True, tag="tasks.attempts-ran"):
    """Attempts that ended here, whose results go to their custodian."""

    peer: bytes
    """The custodian."""
    skill: str
    attempts: tuple[RanAttempt, ...]


class TaskProgressed(msgspec.Struct, frozen=True, tag="tasks.progressed"):
    """A running handler said how far it is."""

    task: str
    attempt: int
    fraction: int
    text: str


class AttemptView(msgspec.Struct, frozen=True):
    """One attempt, as `mesh why` shows it. Wall clock nanoseconds; 0 where not known."""

    attempt: int
    lot: str
    peer: bytes
    started_wall_ns: int
    ended_wall_ns: int
    status: str
    message: str
    fencing_token: int = 0


class TaskView(msgspec.Struct, frozen=True):
    """All that its custodian knows of a task."""

    task: str
    state: str
    skill: str
    version: str
    space: str
    principal: str
    key: str
    strategy: str
    parent: str
    traceparent: str
    custodian: bytes
    accepted_wall_ns: int
    settled_wall_ns: int
    value: msgspec.Raw
    error_kind: str
    error_message: str
    attempts: int
    incomplete: bool
    producer: bytes
    history: tuple[AttemptView, ...]
    children: tuple[str, ...] = ()
    progress: str = ""
    confidence: int = -1
    redriven_wall_ns: int = 0
    exclusive: str | None = None
    waits_for: str = ""
    """What an exclusive task waits for before it joins its line; "" where it does not."""


class TaskLookedUp(msgspec.Struct, frozen=True, tag="tasks.looked-up"):
    """The answer to `LookUpTask`; None where no member knows it."""

    request: int
    view: TaskView | None


class TasksListed(msgspec.Struct, frozen=True, tag="tasks.listed"):
    """The answer to `ListTasks`: tasks of this custodian, newest first, without their values."""

    request: int
    views: tuple[TaskView, ...]


class TasksAttached(msgspec.Struct, frozen=True, tag="tasks.attached"):
    """The answer to `AttachTasks`; those that are settled come as `TasksSettled` right after."""

    request: int
    unknown: tuple[str, ...]


class TasksRedriven(msgspec.Struct, frozen=True, tag="tasks.redriven"):
    """The answer to `RedriveTasks`: what goes on, and (task, why not) of what does not."""

    request: int
    tasks: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]


class CancelAnswered(msgspec.Struct, frozen=True, tag="tasks.cancel-answered"):
    """The answer to `CancelTasks`: the task's state now, or "" where nobody knows it."""

    request: int
    task: str
    state: str


class Drained(msgspec.Struct, frozen=True, tag="tasks.drained"):
    """After `Drain`: nothing runs here and every result is acknowledged.

    `undecided` tasks of this custodian go on when it is started again.
    """

    undecided: int


class CompletionObserved(msgspec.Struct, frozen=True, tag="tasks.completion-observed"):
    """To the auction (issuer side): how long a task took where its bid had claimed a time."""

    peer: bytes
    claimed_us: int
    actual_us: int
    skill: str = ""
    version: str = ""


class BreakerChanged(msgspec.Struct, frozen=True, tag="tasks.breaker-changed"):
    """A skill's circuit breaker for a peer: ``closed``, ``open`` or ``half-open`` now.

    `faults` of the `outcomes` in the window are the peer's; `pause_ns` until it is half open.
    """

    peer: bytes
    skill: str
    version: str
    state: str
    faults: int
    outcomes: int
    pause_ns: int = 0


class PeerBarred(msgspec.Struct, frozen=True, tag="tasks.peer-barred"):
    """To the auction: a peer is not to be invited for a skill, or may be again."""

    skill: str
    version: str
    peer: bytes
    is_barred: bool


class BreakerView(msgspec.Struct, frozen=True):
    """A breaker as `mesh peers` and `mesh why` show it. `retry_ns` until it is half open."""

    peer: bytes
    skill: str
    version: str
    state: str
    faults: int
    outcomes: int
    budget_left: int
    retry_ns: int


class SlotsWanted(msgspec.Struct, frozen=True, tag="tasks.slots-wanted"):
    """To the auction: slots wanted in all for a skill (see auction's `Seek`)."""

    skill: str
    version: str
    units: int
    estimate_us: int
    trace: str = ""
    avoid: tuple[bytes, ...] = ()
    """Peers at which no task that waits may run now: slots there would be of no use."""
    requires: tuple[str, ...] = ()
    """Labels that a peer must have. Each set of them is a demand of its own."""


class SlotsReturned(msgspec.Struct, frozen=True, tag="tasks.slots-returned"):
    """To the auction: slots given back."""

    lot: str
    peer: bytes
    slots: int


class OfferPosted(msgspec.Struct, frozen=True, tag="tasks.offer-posted"):
    """To the blackboard: `custodian` (this peer) has work for whoever has places.

    `units` places are wanted under `number`, in all; `tag` names the skill's offer.
    """

    custodian: bytes
    tag: str
    skill: str
    version: str
    requires: tuple[str, ...]
    number: int
    units: int
    avoid: tuple[bytes, ...] = ()
    """Peers that need not claim: no task that waits may run there now."""


class PlacesClaimed(msgspec.Struct, frozen=True, tag="tasks.places-claimed"):
    """To the blackboard: `claimer` (this peer) has claimed `places` of an offer, in all."""

    custodian: bytes
    tag: str
    claimer: bytes
    number: int
    places: int
    load_ms: int


class ClaimsDecided(msgspec.Struct, frozen=True, tag="tasks.claims-decided"):
    """What was claimed of an offer, and who got what: (peer, places, load in ms, tasks given).

    `lot` is what attempts that follow from it have for their lot.
    """

    lot: str
    skill: str
    version: str
    claims: tuple[tuple[bytes, int, int, int], ...]


class WorkObserved(msgspec.Struct, frozen=True, tag="tasks.work-observed"):
    """To the auction (bidder side): how busy a skill is here."""

    skill: str
    version: str
    queued: int
    mean_us: int
    direct: int = 0
    """Those of them that hold no slot: they came without a lot, or theirs has ended."""


class LoadObserved(msgspec.Struct, frozen=True, tag="tasks.load-observed"):
    """To gossip, and to all here that choose among peers: how much this peer has to do."""

    peer: bytes
    load_ms: int


class CapacityChanged(msgspec.Struct, frozen=True, tag="tasks.capacity-changed"):
    """To the auction (bidder side): slots that this peer hosts for a skill."""

    skill: str
    version: str
    slots: int


class LeaseAsked(msgspec.Struct, frozen=True):
    """To the ordered log: a lease for an exclusive task; `LeaseTold` answers.

    `verb`: ``acquire`` for `holder`, ``renew`` or ``release`` by `token`. The same `request`
    once more is the same question, put to others as well.
    """

    request: int
    verb: str
    name: str
    holder: str
    token: int
    ttl_ms: int


class RunJob(msgspec.Struct, frozen=True):
    """One attempt to run here. Milliseconds remaining; 0 for none."""

    custodian: bytes
    task: str
    term: int
    attempt: int
    skill: str
    version: str
    input: msgspec.Raw
    timeout_ms: int
    deadline_ms: int
    depth: int
    traceparent: str
    parent: str
    space: str
    principal: str
    fencing_token: int = 0


class RunJobs(msgspec.Struct, frozen=True, tag="tasks.run-jobs"):
    """A `Perform`: hand these to the workers of this peer. Their ends come as `JobsEnded`."""

    jobs: tuple[RunJob, ...]


class StopJobs(msgspec.Struct, frozen=True, tag="tasks.stop-jobs"):
    """A `Perform`: stop these attempts: (custodian, task, attempt), and why.

    `reason` is ``cancelled`` or ``timeout``; the worker side answers with `JobsEnded`.
    """

    jobs: tuple[tuple[bytes, str, int], ...]
    reason: str


class ResumeJobs(msgspec.Struct, frozen=True, tag="tasks.resume-jobs"):
    """A `Perform`: these parked attempts have a slot again: (custodian, task, attempt)."""

    jobs: tuple[tuple[bytes, str, int], ...]
