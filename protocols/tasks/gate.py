"""Exclusive tasks wait here for their key, and join their line when the log has granted it.

An exclusive task has no attempt without a lease of the ordered log, and each attempt has a lease,
and so a fencing token, of its own. One task of a key is past the gate at a time; the others wait.
A lease is given back when the end of its attempt is known; otherwise it ends by itself.

Invariants:
    one-holder: of the tasks of a key, at most one has, or asks for, its lease.
    bounded-leases: leases asked for and held have a limit.
"""

from collections import OrderedDict, deque

from protocols.machine import SECOND_NS, Now
from protocols.tasks.commands import LeaseTold
from protocols.tasks.dispatch import Desk
from protocols.tasks.events import LeaseAsked
from protocols.tasks.leases import (
    ACQUIRE,
    ASKING,
    CONFIRMING,
    HELD,
    HELD_FIRST_NS,
    HELD_MOST_NS,
    LAPSING_LIMIT,
    LEASE_AGAIN_NS,
    LEASE_PREFIX,
    LEASE_TTL_MS,
    LEASES_LIMIT,
    RELEASE,
    RENEW,
    Lease,
    Pending,
)
from protocols.tasks.lifecycle import ACCEPTED
from protocols.tasks.messages import Extended, LeaseEnd, ResultsAck
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import NEVER
from protocols.tasks.task import Attempt, Task

RELEASES_LIMIT = 1024
RELEASE_TRIES = 5


class Gate:
    """The keys of one custodian's exclusive tasks.

    Attributes:
        dirty: desks to be looked at when the step ends; shared with `Attempts`.
    """

    def __init__(self, me: bytes, boot: int, drawn: int, outbox: Outbox) -> None:
        """Takes who asks; `boot` and `drawn` keep holders apart over restarts and old disks."""
        self._outbox = outbox
        self._whose = f"{me.hex()}/{boot}.{drawn:x}"
        self._counter = 0
        self._queues: dict[str, deque[Task]] = {}
        self._wanting: dict[str, None] = {}
        """Keys that tasks wait for while no task here has them."""
        self._active: dict[str, Lease] = {}
        self._asked: dict[int, Lease] = {}
        self._releases: OrderedDict[int, tuple[str, int, int, int]] = OrderedDict()
        """Leases to be given back, until that is answered: name, token, when again, tries left."""
        self._lapsing: OrderedDict[tuple[str, int], tuple[str, int]] = OrderedDict()
        self._unsure: dict[tuple[bytes, int], int] = {}
        """Batches of results, and how many in each are not confirmed yet."""
        self._due = NEVER
        self.dirty: dict[Desk, None] = {}

    # Tasks come and go.

    def enter(self, task: Task, is_first: bool = False) -> None:
        """A task is to be run: it joins its line, or waits here for its key."""
        name = lease_name(task)
        if name:
            assert task.lease is None, "one-holder: it has a lease"
            task.is_aside = True
            task.desk.aside += 1
            queue = self._queues.setdefault(name, deque())
            (queue.appendleft if is_first else queue.append)(task)
            self._wanting[name] = None
        elif is_first:
            task.desk.line.push_front(task)
        else:
            task.desk.line.push(task)

    def leave(self, task: Task) -> bool:
        """A task that has not begun is settled; answers whether it was waiting here."""
        was_aside = task.is_aside
        if was_aside:
            task.is_aside = False
            task.desk.aside -= 1
        lease = task.lease
        if lease is not None:
            self._drop(lease)
            if lease.token:
                self._release(lease.name, lease.token)
        return was_aside

    def may_run(self, task: Task, now: Now) -> bool:
        """Whether a task may be given to a slot now; one whose lease ran out waits anew."""
        if task.envelope.exclusive is None:
            return True
        lease = task.lease
        if lease is not None and lease.state == HELD and now.monotonic_ns < lease.until:
            return True
        if lease is not None:
            self._drop(lease)
            self._release(lease.name, lease.token)
        self.enter(task, True)
        return False

    def begun(self, task: Task, attempt: Attempt) -> None:
        """An attempt goes out under the task's lease."""
        if task.lease is not None:
            attempt.token = task.lease.token

    def ended(self, task: Task, attempt: Attempt) -> None:
        """An attempt is out no more; `attempt.is_over` where it runs nowhere for certain."""
        lease = task.lease
        if lease is None:
            return
        self._drop(lease)
        if attempt.is_over:
            self._release(lease.name, lease.token)
            return
        self._lapsing[(task.id, attempt.number)] = (lease.name, lease.token)
        if len(self._lapsing) > LAPSING_LIMIT:
            self._lapsing.popitem(last=False)

    def heard_end(self, task: str, number: int) -> None:
        """An attempt that was given up has ended after all: its key is free."""
        lapsing = self._lapsing.pop((task, number), None)
        if lapsing is not None:
            self._release(*lapsing)

    def restored(self, task: Task, attempt: Attempt, now: int) -> None:
        """An attempt of an earlier life may still run: its lease is asked for more time."""
        before = self._active.get(lease_name(task))
        if before is not None:
            self._drop(before)
        lease = Lease(lease_name(task), "", task)
        lease.state, lease.token, lease.due = HELD, attempt.token, now
        lease.until = now + LEASE_TTL_MS // 1000 * SECOND_NS
        task.lease = self._active[lease.name] = lease
        self._due = min(self._due, now)

    # Results.

    def confirm(self, task: Task, pending: Pending, now: Now) -> None:
        """A result came: it counts if the log says that the lease is still held."""
        lease = task.lease
        assert lease is not None, "one-holder: an exclusive attempt without a lease"
        if lease.state == CONFIRMING:
            return
        batch = (pending.link, pending.batch)
        self._unsure[batch] = self._unsure.get(batch, 0) + 1
        lease.state, lease.pending = CONFIRMING, pending
        self._ask(lease, RENEW, now)

    def is_unsure(self, link: bytes, batch: int) -> bool:
        """Whether a batch of results must not be acknowledged yet."""
        return (link, batch) in self._unsure

    def _drop(self, lease: Lease) -> None:
        lease.task.lease = None
        del self._active[lease.name]
        self._asked.pop(lease.request, None)
        if self._queues.get(lease.name):
            self._wanting[lease.name] = None
        else:
            self._queues.pop(lease.name, None)
        if lease.pending is not None:
            batch = (lease.pending.link, lease.pending.batch)
            self._unsure[batch] -= 1
            if not self._unsure[batch]:
                del self._unsure[batch]
                self._outbox.send(batch[0], ResultsAck((batch[1],)))

    # Asking the log.

    def _ask(self, lease: Lease, verb: str, now: Now) -> None:
        self._asked.pop(lease.request, None)
        self._counter += 1
        lease.request, lease.verb, lease.asked_at = self._counter, verb, now.monotonic_ns
        self._asked[lease.request] = lease
        self._say(lease, now)

    def _say(self, lease: Lease, now: Now) -> None:
        lease.due = now.monotonic_ns + LEASE_AGAIN_NS
        self._due = min(self._due, lease.due)
        self._outbox.emit(
            LeaseAsked(
                lease.request, lease.verb, lease.name, lease.holder, lease.token, LEASE_TTL_MS
            )
        )

    def _release(self, name: str, token: int) -> None:
        self._counter += 1
        self._releases[self._counter] = (name, token, 0, RELEASE_TRIES)
        self._due = 0
        if len(self._releases) > RELEASES_LIMIT:
            self._releases.popitem(last=False)

    def end_step(self, now: Now) -> None:
        """Asks for keys that tasks wait for, and gives back what is to be given back."""
        if self._due <= now.monotonic_ns and self._releases:
            self._give_back(now)
        for name in tuple(self._wanting):
            if len(self._active) >= LEASES_LIMIT:
                return
            del self._wanting[name]
            if name not in self._active:
                self._next(name, now)

    def _next(self, name: str, now: Now) -> None:
        queue = self._queues.get(name)
        while queue:
            task = queue.popleft()
            if task.state == ACCEPTED and task.is_aside:
                self._counter += 1
                lease = Lease(name, f"{self._whose}.{self._counter}", task)
                task.lease = self._active[name] = lease
                self._ask(lease, ACQUIRE, now)
                return
        self._queues.pop(name, None)

    def _give_back(self, now: Now) -> None:
        for request, (name, token, due, tries) in tuple(self._releases.items()):
            if due > now.monotonic_ns:
                continue
            if not tries:
                del self._releases[request]
                continue
            again = now.monotonic_ns + LEASE_AGAIN_NS
            self._releases[request] = (name, token, again, tries - 1)
            self._outbox.emit(LeaseAsked(request, RELEASE, name, "", token, 0))
        self._time()

    # The log's answers.

    def told(self, command: LeaseTold, now: Now) -> Lease | None:
        """The log's answer; returns a lease whose attempt is to be looked at.

        That is one whose result counts now (`CONFIRMING`, and granted), or that is lost.
        """
        if self._releases.pop(command.request, None) is not None:
            return None
        lease = self._asked.pop(command.request, None)
        if lease is None:
            self._came_late(command)
            return None
        lease.request = 0
        if lease.verb == ACQUIRE:
            self._acquired(lease, command, now)
        elif command.is_done:
            lease.granted(command.token, command.ends_ms, now)
            lease.why = ""
            attempt = lease.task.current
            if lease.state == CONFIRMING:
                return lease
            if attempt is not None:
                end = LeaseEnd(lease.task.id, attempt.number, lease.ends_ms)
                self._outbox.send(attempt.peer, Extended((end,)))
        elif command.reason == "ended":
            lease.until, lease.due = 0, NEVER
            return lease
        else:
            lease.due = now.monotonic_ns + LEASE_AGAIN_NS
        self._due = min(self._due, lease.due)
        return None

    def _came_late(self, command: LeaseTold) -> None:
        """A lease was granted that nobody wants any more, or that was granted twice."""
        lease = self._active.get(command.name)
        is_ours = lease is not None and lease.token == command.token
        if command.verb == ACQUIRE and command.is_done and not is_ours:
            self._release(command.name, command.token)

    def _acquired(self, lease: Lease, command: LeaseTold, now: Now) -> None:
        if not command.is_done:
            is_held = command.reason == "held"
            lease.due = now.monotonic_ns + (lease.pause if is_held else LEASE_AGAIN_NS)
            lease.pause = min(2 * lease.pause, HELD_MOST_NS) if is_held else HELD_FIRST_NS
            lease.why = command.text
            return
        lease.granted(command.token, command.ends_ms, now)
        lease.why = ""
        if lease.until <= now.monotonic_ns:
            # By this clock it has ended already: better wait than run on it.
            lease.why = f"a lease of {lease.name!r} that has not ended by this peer's clock"
            self._release(lease.name, lease.token)
            lease.token, lease.due = 0, now.monotonic_ns + HELD_MOST_NS
            return
        task = lease.task
        lease.state = HELD
        task.is_aside = False
        task.desk.aside -= 1
        task.desk.line.push(task)
        self.dirty[task.desk] = None

    # Time.

    def wake(self, now: Now) -> list[Lease]:
        """Asks again, and for more time; returns leases of attempts that ran out."""
        mono = now.monotonic_ns
        if self._due > mono:
            return []
        over: list[Lease] = []
        for lease in tuple(self._active.values()):
            is_out = lease.task.current is not None
            if lease.state == HELD and is_out and lease.until <= mono:
                over.append(lease)
            elif lease.due <= mono:
                if lease.request:
                    self._say(lease, now)
                else:
                    self._ask(lease, ACQUIRE if lease.state == ASKING else RENEW, now)
        self._give_back(now)
        return over

    def _time(self) -> None:
        least = min((due for _, _, due, _ in self._releases.values()), default=NEVER)
        for lease in self._active.values():
            least = min(least, lease.due)
            if lease.state == HELD and lease.task.current is not None:
                least = min(least, lease.until)
        self._due = least

    def deadline(self) -> int:
        """When `wake` is wanted."""
        return self._due

    def check(self) -> None:
        """Asserts what is said on top."""
        assert len(self._active) <= LEASES_LIMIT, "bounded-leases"
        assert len(self._lapsing) <= LAPSING_LIMIT, "bounded-leases"
        for name, lease in self._active.items():
            assert lease.task.lease is lease, "one-holder: a task has another lease"
            assert lease.name == name == lease_name(lease.task), "one-holder: misfiled"
            assert lease.state != ASKING or lease.task.is_aside, "one-holder: past the gate"
            assert lease.state == ASKING or lease.token, "one-holder: no token"


def lease_name(task: Task) -> str:
    """The lease that an attempt at a task needs; "" for a task that is not exclusive."""
    key = task.envelope.exclusive
    return "" if key is None else LEASE_PREFIX + (key or task.id)


def waits_for(task: Task) -> str:
    """What an exclusive task waits for before it joins its line; "" where it does not."""
    if not task.is_aside:
        return ""
    name = lease_name(task)
    if task.lease is None:
        return f"its turn: another task of this custodian has the lease {name!r}, or asks for it"
    return task.lease.why or f"the electors' answer, whether it may have the lease {name!r}"
