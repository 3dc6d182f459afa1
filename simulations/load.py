"""Clients: who submits what, where and when, changes its mind, and comes back after a crash."""

import random
from collections.abc import Callable
from typing import Annotated

import msgspec

from protocols.machine import MILLISECOND_NS, SECOND_NS, Instant
from protocols.tasks.commands import AttachTasks, CancelTasks, TaskSpec
from protocols.tasks.events import (
    CancelAnswered,
    SubmissionRefused,
    TasksAccepted,
    TasksSettled,
)
from simulations.agents import Behaviour, ModelledSkill
from simulations.observations import (
    CancelAsked,
    DiskForgot,
    PeerStarted,
    PeerStopped,
    RequestRefused,
)
from simulations.peer import SimulatedPeer
from simulations.schedule import Share
from simulations.world import World

RESUBMITTED_AFTER_NS = SECOND_NS
EXCLUSIVE_TIMEOUT_MS = 40_000
"""Long enough for leases to end, and to be renewed, while handlers run."""


class Load(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What clients do in a run. Probabilities from 0 to 1 are per submission."""

    submissions: int = 100
    batches: Share = 0.3
    batch_most: int = 24
    keyed: Share = 0.25
    direct: Share = 0.1
    offered: Share = 0.0
    """Claimed from the blackboard, of those that are not direct."""
    cancelled: Share = 0.08
    deadline: Share = 0.08
    short_timeout: Share = 0.03
    rare: Share = 0.1
    short: Share = 0.15
    nested: Share = 0.06
    depth_most: int = 4
    slots: int = 4
    exclusive: Share = 0.0
    locks: Annotated[int, msgspec.Meta(ge=1)] = 2
    """Keys of exclusive tasks, beside those that tasks have of their own."""


def skills_of(load: Load, index: int, behaviour: Behaviour) -> tuple[ModelledSkill, ...]:
    """What the peer of this index hosts: the same everywhere, but for a rare skill."""
    calm = Behaviour(duration_ms=8)
    brief = Behaviour(duration_ms=0.2)
    everywhere = (
        ModelledSkill("work", load.slots, behaviour=behaviour),
        ModelledSkill("short", load.slots, behaviour=brief),
        ModelledSkill("nest", 1, timeout_ms=60_000, behaviour=calm, nested=True),
    )
    rare = ModelledSkill("rare", 2, behaviour=behaviour)
    return (*everywhere, rare) if index < 2 else everywhere


class Clients:
    """Submits a load; a checker too, since clients hear what peers tell.

    Attributes:
        accepted: where each task was accepted, (custodian's id, task), and when; without
            those that their custodian's disk forgot.
        settled: the same, for tasks whose end was told.
    """

    hears = (
        TasksAccepted, SubmissionRefused, RequestRefused, TasksSettled, CancelAnswered,
        PeerStopped, PeerStarted, DiskForgot,
    )  # fmt: skip

    def __init__(self, load: Load, rng: random.Random) -> None:
        self._load = load
        self._rng = rng
        self.accepted: dict[tuple[bytes, str], Instant] = {}
        self.settled: dict[tuple[bytes, str], None] = {}
        self._cancels: dict[int, int] = {}
        self._unanswered: dict[int, SimulatedPeer] = {}
        self._questions = 1 << 32

    # What they do.

    def begin(self, world: World, duration_ns: int) -> None:
        """Plans all submissions."""
        for _ in range(self._load.submissions):
            world.after(self._rng.randrange(duration_ns), self._submission(world))

    def _submission(self, world: World) -> Callable[[], None]:
        rng, load = self._rng, self._load

        def submit() -> None:
            running = [peer for peer in world.honest if peer.is_running]
            if not running:
                return
            peer = rng.choice(running)
            count = rng.randint(2, load.batch_most) if rng.random() < load.batches else 1
            specs = self._specs(world, count)
            self._submit(world, peer, specs)
            if specs[0].key and rng.random() < 0.7:
                delay = rng.randrange(1, 2 * SECOND_NS)
                world.after(delay, lambda: self._submit_again(world, specs, None))

        return submit

    def _specs(self, world: World, count: int) -> tuple[TaskSpec, ...]:
        rng, load = self._rng, self._load
        draw = rng.random()
        index = rng.getrandbits(40)
        value = {"index": index}
        skill, to = "work", b""
        if draw < load.nested:
            skill, count = "nest", 1
            value["depth"] = rng.randint(1, load.depth_most)
        elif draw < load.nested + load.rare:
            skill = "rare"
        elif draw < load.nested + load.rare + load.short:
            skill = "short"
        elif draw < load.nested + load.rare + load.short + load.direct:
            to = rng.choice(world.honest).peer
        deadline_ms = rng.randint(20, 3_000) if rng.random() < load.deadline else 0
        timeout_ms = rng.randint(20, 250) if rng.random() < load.short_timeout else 0
        is_keyed = rng.random() < load.keyed
        strategy = "direct" if to else "auction"
        if load.offered and not to and rng.random() < load.offered:
            strategy = "board"
        lock = self._lock()
        if lock is not None and not timeout_ms:
            timeout_ms = EXCLUSIVE_TIMEOUT_MS
        return tuple(
            TaskSpec(
                skill=skill,
                input=msgspec.Raw(msgspec.msgpack.encode({**value, "index": index + each})),
                key=f"{index}/{each}" if is_keyed else "",
                strategy=strategy,
                to=to,
                deadline_ms=deadline_ms,
                timeout_ms=timeout_ms,
                priority=rng.choice((0, 0, 0, 1, 5)),
                weight_us=rng.choice((0, 0, 5_000)),
                exclusive=lock,
            )
            for each in range(count)
        )

    def _lock(self) -> str | None:
        """Under which key a submission is exclusive, if it is."""
        rng, load = self._rng, self._load
        if not load.exclusive or rng.random() >= load.exclusive:
            return None
        return rng.choice(("", *(f"lock-{number}" for number in range(load.locks))))

    def _submit(self, world: World, peer: SimulatedPeer, specs: tuple[TaskSpec, ...]) -> None:
        def asks(request: int) -> None:
            self._unanswered[request] = peer
            if self._rng.random() < self._load.cancelled:
                self._cancels[request] = self._rng.randrange(1, 200 * MILLISECOND_NS)

        world.ask(peer, specs, asks)

    def _submit_again(
        self, world: World, specs: tuple[TaskSpec, ...], at: SimulatedPeer | None
    ) -> None:
        running = [peer for peer in world.honest if peer.is_running]
        if running:
            peer = at if at is not None and at in running else self._rng.choice(running)
            world.coverage["a key is submitted again"] += 1
            self._submit(world, peer, specs)

    def _later_again(
        self, world: World, specs: tuple[TaskSpec, ...], at: SimulatedPeer | None
    ) -> None:
        delay = self._rng.randrange(1, RESUBMITTED_AFTER_NS)
        world.after(delay, lambda: self._submit_again(world, specs, at))

    # What they hear.

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Follows requests and tasks; acts on crashes and restarts."""
        match event:
            case TasksAccepted() if peer.liar is None:
                self._accepted(world, peer, event)
            case RequestRefused():
                self._unanswered.pop(event.request, None)
            case SubmissionRefused():
                self._unanswered.pop(event.request, None)
                world.coverage[f"refused later: {event.kind}"] += 1
            case TasksSettled():
                for settled in event.settled:
                    self.settled[peer.peer, settled.task] = None
            case CancelAnswered():
                world.coverage[f"cancel answered: {event.state or 'unknown'}"] += 1
            case PeerStopped():
                self._stopped(world, peer)
            case DiskForgot():
                mine = [key for key in self.accepted if key[0] == peer.peer]
                for key in mine:
                    if self.accepted[key] >= event.since:
                        del self.accepted[key]
            case PeerStarted():
                world.after(1, lambda: self._attach(world, peer))

    def _accepted(self, world: World, peer: SimulatedPeer, event: TasksAccepted) -> None:
        self._unanswered.pop(event.request, None)
        for task in event.tasks:
            if (peer.peer, task) in self.accepted:
                world.coverage["a key attaches"] += 1
            self.accepted.setdefault((peer.peer, task), world.now)
        delay = self._cancels.pop(event.request, None)
        if delay is not None:
            task = self._rng.choice(event.tasks)
            world.after(delay, lambda: self._cancel(world, peer, task))

    def _cancel(self, world: World, peer: SimulatedPeer, task: str) -> None:
        running = [each for each in world.honest if each.is_running]
        at = self._rng.choice(running) if running and self._rng.random() < 0.3 else peer
        if at.is_running:
            self._questions += 1
            world.observe(at, CancelAsked(task))
            at.submit(CancelTasks(self._questions, task))

    def _stopped(self, world: World, peer: SimulatedPeer) -> None:
        for request, where in tuple(self._unanswered.items()):
            if where is not peer:
                continue
            del self._unanswered[request]
            world.coverage["a submission meets a crash"] += 1
            specs = world.requests[request]
            if specs[0].key:
                back = peer if self._rng.random() < 0.5 else None
                self._later_again(world, specs, back)

    def _attach(self, world: World, peer: SimulatedPeer) -> None:
        """The clients of a restarted peer ask for all that they still wait for."""
        if peer.core is None:
            return
        tasks = tuple(
            task
            for custodian, task in self.accepted
            if custodian == peer.peer and (custodian, task) not in self.settled
        )
        if tasks:
            world.coverage["a client attaches after a restart"] += 1
            self._questions += 1
            peer.submit(AttachTasks(self._questions, tasks))

    def finish(self, world: World) -> None:
        """Nothing is left to say."""

    @property
    def are_served(self) -> bool:
        """Whether all that was accepted has ended."""
        return all(task in self.settled for task in self.accepted)
