"""A task and its attempts, as their custodian keeps them in memory.

Plain slotted classes, because these are what the hot path changes. What goes to
disk or over a link is in `records.py` and `messages.py`.
"""

import hashlib
from typing import TYPE_CHECKING

import msgspec

from protocols.tasks.lifecycle import ACCEPTED, TRANSITIONS

if TYPE_CHECKING:
    from protocols.tasks.dispatch import Desk, Slots
    from protocols.tasks.leases import Lease

NIL = msgspec.Raw(b"\xc0")
"""An encoded nil: what stands for a value where there is none."""

_BASE32 = bytes(b"abcdefghijklmnopqrstuvwxyz234567"[index & 31] for index in range(256))
UNKEYED_ID_LENGTH, KEYED_ID_LENGTH = 16, 20
FINGERPRINT_BYTES = 16


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """All that tasks submitted alike have in common. Milliseconds; 0 means none."""

    skill: str
    version: str
    strategy: str
    to: bytes
    timeout_ms: int
    deadline_wall_ns: int
    retries: int
    priority: int
    budget: int
    traceparent: str
    parent: str
    depth: int
    space: str
    principal: str
    requires: tuple[str, ...] = ()
    """Labels that a peer must have to run it: what the call asks for, and the skill."""
    submitter: str = ""
    """Who has a lane of its own in the line: the principal, or the client's process."""
    exclusive: str | None = None
    """The key of an exclusive task; "" where that is its id, None for any other task."""


class Attempt:
    """One try at a task. `slots` is None where it occupies none (any more)."""

    __slots__ = (
        "ended_wall",
        "is_heard",
        "is_over",
        "is_parked",
        "is_resent",
        "lot",
        "message",
        "number",
        "patience",
        "peer",
        "seen",
        "slots",
        "started",
        "started_wall",
        "status",
        "token",
    )

    def __init__(
        self, number: int, lot: str, peer: bytes, slots: "Slots | None", now: int, wall: int
    ) -> None:
        self.number = number
        self.lot = lot
        self.peer = peer
        self.slots = slots
        self.started = now
        self.seen = now
        self.started_wall = wall
        self.ended_wall = 0
        self.status = ""
        self.message = ""
        self.patience = 1
        self.is_heard = False
        self.is_over = False
        """Its worker has said how it ended, or that it never began: it runs nowhere."""
        self.token = 0
        self.is_parked = False
        self.is_resent = False


class Task:
    """One task of this custodian.

    `current` is the attempt that is out, `history` all attempts, `current` included;
    `suspicions` are the peers at which an attempt may have ended its host.
    `is_fresh`: this very process made up the id, so it knows every attempt there ever was.
    Of any other task an earlier process may have given attempts that its disk forgot.
    """

    __slots__ = (
        "accepted_wall",
        "attempts",
        "attempts_before",
        "avoid",
        "avoid_until",
        "confidence",
        "current",
        "decided",
        "desk",
        "elapsed_us",
        "envelope",
        "error_kind",
        "error_message",
        "failures",
        "fingerprint",
        "history",
        "id",
        "incomplete",
        "input",
        "is_aside",
        "is_fresh",
        "key",
        "lease",
        "losses",
        "producer",
        "progress",
        "redriven_wall",
        "refusals",
        "settled_wall",
        "size",
        "state",
        "suspicions",
        "value",
        "weight_us",
    )

    def __init__(
        self,
        task_id: str,
        envelope: Envelope,
        desk: "Desk",
        task_input: msgspec.Raw,
        key: str,
        weight_us: int,
        fingerprint: bytes,
        accepted_wall: int,
    ) -> None:
        self.id = task_id
        self.envelope = envelope
        self.desk = desk
        self.input = task_input
        self.size = len(task_input)
        self.key = key
        self.weight_us = weight_us
        self.fingerprint = fingerprint
        self.accepted_wall = accepted_wall
        self.state = ACCEPTED
        self.current: Attempt | None = None
        self.history: list[Attempt] = []
        self.is_fresh = False
        self.is_aside = False
        """It waits for its key, in no line (`gate.py`)."""
        self.lease: Lease | None = None
        self.attempts = 0
        self.attempts_before = 0
        self.redriven_wall = 0
        self.failures = 0
        self.losses = 0
        self.refusals = 0
        self.suspicions: tuple[bytes, ...] = ()
        self.avoid: tuple[bytes, ...] = ()
        self.avoid_until = 0
        self.settled_wall = 0
        self.decided = 0
        self.value = NIL
        self.error_kind = ""
        self.error_message = ""
        self.incomplete = False
        self.producer = b""
        self.confidence = -1
        self.elapsed_us = 0
        self.progress = ""

    def move(self, state: str) -> None:
        """Changes the state along the table of `lifecycle.py`."""
        assert (self.state, state) in TRANSITIONS, f"settled-stays: {self.state} to {state}"
        self.state = state

    @property
    def tries(self) -> int:
        """1 + retries, since it was accepted or redriven."""
        return self.attempts - self.attempts_before - self.refusals

    def attempt(self, number: int) -> Attempt | None:
        """The attempt of that number, the newest first."""
        for attempt in reversed(self.history):
            if attempt.number == number:
                return attempt
        return None


class Ids:
    """Makes the ids of tasks without key: a hash of peer, boot, a number drawn, and a counter.

    The boot counter alone repeats where a disk is replaced by an older copy.
    """

    def __init__(self, me: bytes, boot: int, drawn: int) -> None:
        self.__setstate__((me + boot.to_bytes(8, "big") + drawn.to_bytes(8, "big"), 0))

    def __getstate__(self) -> tuple[bytes, int]:
        return self._whose, self._counter

    def __setstate__(self, state: tuple[bytes, int]) -> None:
        self._whose, self._counter = state
        self._prefix = hashlib.blake2b(
            self._whose, digest_size=UNKEYED_ID_LENGTH, person=b"mesh task"
        )

    def next(self) -> str:
        """An id that no task of any peer or boot has had."""
        self._counter += 1
        state = self._prefix.copy()
        state.update(self._counter.to_bytes(8, "big"))
        return state.digest().translate(_BASE32).decode()


def keyed_id(space: str, key: str) -> str:
    """The id of a task with an idempotency key, the same at every peer."""
    name = space.encode()
    body = len(name).to_bytes(4, "big") + name + key.encode()
    digest = hashlib.blake2b(body, digest_size=KEYED_ID_LENGTH, person=b"mesh keyed task").digest()
    return digest.translate(_BASE32).decode()


def fingerprint(skill: str, task_input: msgspec.Raw) -> bytes:
    """What must be the same when a key is used again."""
    name = skill.encode()
    state = hashlib.blake2b(len(name).to_bytes(4, "big") + name, digest_size=FINGERPRINT_BYTES)
    state.update(task_input)
    return state.digest()
