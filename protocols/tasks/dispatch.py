"""Which slot gets which task: late binding, windows, and who is kept out of the tail.

A `Desk` is one skill (or one skill at one peer, for strategy ``direct``): its
line of tasks, and the slots held for it. Pure: it decides, `attempts.py` acts.

Invariants: a slot's attempts are counted where they run (`slots-add-up`).
"""

from collections.abc import Iterator

from protocols.machine import MICROSECOND_NS, MILLISECOND_NS
from protocols.tasks.breakers import CLOSED, HALF_OPEN, Breaker, Breakers
from protocols.tasks.catalogue import KnownSkill
from protocols.tasks.line import Line
from protocols.tasks.messages import BATCH_LIMIT
from protocols.tasks.pace import AHEAD_MOST, Pace
from protocols.tasks.parameters import NEVER, PARKED_PER_SLOT, PARKED_SPARE
from protocols.tasks.task import Task

Key = tuple[str, str, bytes, tuple[str, ...], str]
"""Skill, version, the one peer for ``direct`` (else empty), the labels asked for, and the
strategy where it places tasks by itself: ``least_loaded`` or ``board`` (else empty)."""

TAIL_PER_SLOT = 4
"""The tail begins when so many tasks a slot are left."""
FAR = 1 << 30
"""Tasks that a slot can expect to get where their end is not in sight."""
TAIL_LOOK_LIMIT = 64
"""Tasks, and busy slots, that one tail estimate looks at."""
DIRECT_SLOTS = 4
SUSPECT_PAUSE_NS = 50 * MILLISECOND_NS
"""How soon a suspect of poison that found another one at a peer is offered again."""


class Slots:
    """Slots of one lot at one peer.

    `running` are attempts that occupy them; `owed` slots take nothing more, and go back.
    """

    __slots__ = (
        "answered_at", "breaker", "claimed_us", "count", "desk", "lot", "observed_at", "owed",
        "pace", "peak", "peer", "running", "told", "window",
    )  # fmt: skip

    def __init__(self, desk: "Desk", lot: str, peer: bytes, claimed_us: int, pace: Pace) -> None:
        self.desk = desk
        self.breaker = desk.breaker_of(peer)
        self.lot = lot
        self.peer = peer
        self.count = 0
        self.owed = 0
        self.claimed_us = claimed_us
        self.pace = pace
        self.running: dict[Task, None] = {}
        self.told = 0
        """How many were running when the peer said last what it has to do."""
        self.window = 1
        self.peak = 0
        self.answered_at = 0
        self.observed_at = 0

    @property
    def has_let_go(self) -> bool:
        """What runs fits the slots that are not owed."""
        return len(self.running) <= (self.count - self.owed) * self.window

    def expected_us(self, weight_us: int) -> float:
        """How long a task would last here: measured, else claimed; 0 where unknown."""
        return self.pace.expected_us(weight_us) or float(self.claimed_us)

    def grow(self, target_us: int) -> None:
        """Results came: the window may double, up to what the pace allows."""
        self.window = min(max(self.window * 2, 2), self.pace.window(target_us, FAR), BATCH_LIMIT)


class Desk:
    """One skill's line, slots and demand."""

    def __init__(self, key: Key, target_us: int, breakers: Breakers) -> None:
        self.key = key
        self.skill, self.version, self.to, self.requires, self.placing = key
        self.line = Line()
        self.slots: dict[tuple[str, bytes], Slots] = {}
        self.paces: dict[bytes, Pace] = {}
        self.free: dict[Slots, None] = {}
        """Slots that may have room."""
        self.owing: dict[Slots, None] = {}
        """Slots of which some are to be given back."""
        self.total = 0
        self.running = 0
        """Attempts out that are not parked, those without slots of ours included."""
        self.parked = 0
        self.delayed = 0
        self.aside = 0
        """Exclusive tasks that wait for their key."""
        self.avoiding = 0
        """Idle slots that the tasks of the line avoid: others are wanted beside them."""
        self.asked = 0
        self.known: KnownSkill | None = None
        """The skill as it was when a task was accepted last; None after a restart."""
        self.check_at = NEVER
        """When to look for idle slots."""
        self.again_at = NEVER
        """When to try again to bind what was held back."""
        self._target_us = target_us
        self._breakers = breakers

    @property
    def has_no_lots(self) -> bool:
        """Its slots are its own: no auction gave them, and none takes them back."""
        return bool(self.to or self.placing)

    # Slots.

    def breaker_of(self, peer: bytes) -> Breaker:
        """The breaker of a peer; who names a peer (``direct``) is not kept from it."""
        key = (self.skill, self.version, peer)
        return Breaker(key) if self.to else self._breakers.of(key)

    def hold(self, lot: str, peer: bytes, count: int, claimed_us: int) -> Slots:
        """More slots are held."""
        slots = self.slots.get((lot, peer))
        if slots is None:
            pace = self.paces.setdefault(peer, Pace())
            slots = self.slots[(lot, peer)] = Slots(self, lot, peer, claimed_us, pace)
            if pace.samples:
                slots.window = pace.window(self._target_us, FAR)
        slots.count += count
        slots.peak = slots.count
        self.total += count
        self.free[slots] = None
        return slots

    def drop(self, slots: Slots, count: int) -> None:
        """Slots are held no more; what runs there goes on without."""
        assert 0 < count <= slots.count, "slots-add-up: only slots that are held are given up"
        slots.count -= count
        self.total -= count
        slots.owed = max(0, slots.owed - count)
        if not slots.owed:
            self.owing.pop(slots, None)
        if not slots.count:
            del self.slots[(slots.lot, slots.peer)]
            self.free.pop(slots, None)
            for task in slots.running:
                assert task.current is not None, "slots-add-up: a running task has an attempt"
                task.current.slots = None
            slots.running.clear()

    # Demand.

    def demand(self, most: int) -> int:
        """How many slots could be filled now."""
        if not len(self.line):
            self.avoiding = 0
        waiting = self.line.children if self.is_saturated else len(self.line)
        return min(most, waiting + self.running + self.avoiding)

    def avoided(self, now: int) -> tuple[bytes, ...]:
        """The peers that every task of the line avoids: a slot there would be of no use."""
        first = self.line.first()
        if first is None or not first.avoid or len(self.line) > TAIL_LOOK_LIMIT:
            return ()
        tasks = self.line.upcoming()
        return tuple(peer for peer in first.avoid if all(avoids(task, peer, now) for task in tasks))

    @property
    def is_saturated(self) -> bool:
        """So many tasks are parked that only children may start."""
        return self.parked > PARKED_PER_SLOT * self.total + PARKED_SPARE

    @property
    def is_empty(self) -> bool:
        """Nothing is known here that would be missed."""
        waiting = len(self.line) + self.delayed + self.aside
        return not (waiting or self.running or self.parked or self.slots)

    def has_idle(self) -> bool:
        """Whether a slot has nothing to run."""
        return any(len(slots.running) < slots.count for slots in self.free)

    def estimate_us(self) -> int:
        """The expected duration of one task, over all peers; 0 where unknown."""
        known = [pace.mean_us for pace in self.paces.values() if pace.samples]
        return int(sum(known) / len(known)) if known else 0

    # Binding.

    def fill(self, now: int) -> Iterator[tuple[Slots, list[Task]]]:
        """Yields tasks for slots, fastest first; the caller binds them before going on."""
        self.again_at = NEVER
        self.avoiding = 0
        if not len(self.line) or not self.free:
            return
        ready = list(self.free)
        if len(ready) > 1:
            ready.sort(key=lambda slots: slots.expected_us(0))
        for slots in ready:
            if not len(self.line):
                return
            room = self._room(slots)
            if room <= 0:
                del self.free[slots]
                continue
            # A refill is worth a message when it is a good part of the window.
            if slots.window >= 8 and 0 < room < slots.window * slots.count // 4:
                continue
            tasks = self._take(slots, self._share(slots, room), now)
            if tasks:
                yield slots, tasks

    def _room(self, slots: Slots) -> int:
        if slots.breaker.state != CLOSED:
            # A probe goes alone; what is open gives its slots back.
            return 1 - len(slots.running) if slots.breaker.state == HALF_OPEN else 0
        window = slots.window
        if window <= AHEAD_MOST and not self.to:
            window = min(window, slots.pace.window(self._target_us, self._left(slots)))
        return (slots.count - slots.owed) * window - len(slots.running)

    def _left(self, slots: Slots) -> float:
        """How many of the tasks in the line a slot can expect to get: more where it is fast."""
        even = len(self.line) / max(1, self.total)
        pace = slots.pace
        if not pace.samples or len(self.slots) > TAIL_LOOK_LIMIT:
            return even
        known = [each for each in self.slots.values() if each.pace.samples]
        mean_rate = sum(each.count / max(each.pace.mean_us, 1.0) for each in known) / sum(
            each.count for each in known
        )
        return even / (max(pace.mean_us, 1.0) * mean_rate)

    def _share(self, slots: Slots, room: int) -> int:
        """At most a fair part of what is left, but no less than half a millisecond's work."""
        fair = -(-len(self.line) * slots.count // self.total)
        service_us = slots.pace.mean_us
        least = int(self._target_us / 8 / max(service_us, 1.0)) if slots.pace.samples else 1
        return min(room, BATCH_LIMIT, max(fair, least, slots.count - len(slots.running)))

    def _take(self, slots: Slots, most: int, now: int) -> list[Task]:
        tasks: list[Task] = []
        aside: list[Task] = []
        line = self.line
        only_children = self.is_saturated
        if only_children and not line.children:
            return tasks
        if len(line) <= TAIL_PER_SLOT * self.total and not self._is_worth(slots, now):
            pause = int(slots.expected_us(0) * MICROSECOND_NS) // 8
            self._look_again(now + max(pause, MILLISECOND_NS))
            return tasks
        while len(tasks) < most and len(aside) < TAIL_LOOK_LIMIT:
            task = line.pop(only_children)
            if task is None:
                break
            if avoids(task, slots.peer, now):
                self._look_again(task.avoid_until)
                aside.append(task)
            elif task.suspicions and self._runs_suspect(slots.peer, tasks):
                self._look_again(now + SUSPECT_PAUSE_NS)
                aside.append(task)
            else:
                tasks.append(task)
        if aside:
            line.put_back(aside)
            self.avoiding += max(0, slots.count - len(slots.running) - len(tasks))
        return tasks

    def _runs_suspect(self, peer: bytes, taken: list[Task]) -> bool:
        """Whether a suspect is at a peer: two together could not be told apart if it ends."""
        return any(task.suspicions for task in taken) or any(
            task.suspicions
            for slots in self.slots.values()
            if slots.peer == peer
            for task in slots.running
        )

    def _look_again(self, at: int) -> None:
        self.again_at = min(self.again_at, at)

    def _is_worth(self, slots: Slots, now: int) -> bool:
        """Whether a task here would end before all that is left could on faster slots."""
        if len(self.slots) == 1 or len(self.line) > TAIL_LOOK_LIMIT:
            return True
        tasks = self.line.upcoming()
        mine = slots.expected_us(tasks[0].weight_us)
        if mine * MICROSECOND_NS < MILLISECOND_NS:
            return True
        ready = self._faster(slots, mine, tasks[0].weight_us, now)
        if not ready:
            return True
        for task in tasks:
            best, end = -1, mine
            for index, (at, other) in enumerate(ready):
                ends = at + other.expected_us(task.weight_us)
                if ends <= end and not avoids(task, other.peer, now):
                    best, end = index, ends
            if best < 0:
                return True
            ready[best] = (end, ready[best][1])
        return False

    def _faster(
        self, slots: Slots, mine: float, weight_us: int, now: int
    ) -> list[tuple[float, Slots]]:
        """When each faster slot is expected to be free, microseconds from now."""
        ready: list[tuple[float, Slots]] = []
        for other in self.slots.values():
            if other is slots or other.expected_us(weight_us) >= mine:
                continue
            busy = [0.0] * other.count
            for task in other.running:
                assert task.current is not None, "slots-add-up: a running task has an attempt"
                expected = other.expected_us(task.weight_us)
                elapsed = (now - task.current.started) / MICROSECOND_NS
                # A guess without weight says little of what is left.
                least = expected / 16 if task.weight_us else expected / 2
                # One that takes far longer than it should is not worth waiting for.
                overrun = elapsed - 2 * expected
                first = busy.index(min(busy))
                busy[first] += max(expected - elapsed, least, overrun)
            ready.extend((at, other) for at in busy)
            if len(ready) >= TAIL_LOOK_LIMIT:
                break
        return ready

    def check(self) -> None:
        """Asserts that counts are counts."""
        total = 0
        for (lot, peer), slots in self.slots.items():
            total += slots.count
            assert slots.count > 0, "slots-add-up: empty slots are kept"
            assert 0 <= slots.owed <= slots.count, "slots-add-up: more is owed than held"
            assert (slots.owed > 0) == (slots in self.owing), "slots-add-up: owed and forgotten"
            assert (slots.lot, slots.peer) == (lot, peer), "slots-add-up: misfiled"
            for task in slots.running:
                attempt = task.current
                assert attempt is not None, "slots-add-up: a running task has an attempt"
                assert attempt.slots is slots, "slots-add-up: an attempt at two slots"
        assert total == self.total, "slots-add-up: the total is wrong"


def avoids(task: Task, peer: bytes, now: int) -> bool:
    """Whether a task insists on another peer: it failed, or was lost, at this one."""
    return bool(task.avoid) and now < task.avoid_until and peer in task.avoid
