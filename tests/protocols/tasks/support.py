"""A small world for tasks machines: virtual time, links, disks, agents, and a plain auction.

The auction is a stand-in: each peer has so many slots of a skill, and whoever
wants some gets what is free, in order of asking. Everything else is production.
"""

import heapq
import random
from collections.abc import Callable
from typing import Any

import msgspec

from protocols.effects import Blame, Broadcast, Effect, Emit, Perform, Persist, Send
from protocols.machine import MILLISECOND_NS, SECOND_NS, Now
from protocols.tasks import commands, events, messages
from protocols.tasks.events import Settled, TaskView
from protocols.tasks.messages import Outcome
from protocols.tasks.parameters import TaskParameters
from protocols.tasks.records import RECORDS
from protocols.tasks.skills import SkillSpec
from protocols.tasks.task import NIL
from protocols.tasks.tasks import Tasks
from protocols.wire import Codec

WALL = 1_700_000_000 * SECOND_NS
CODEC = Codec(messages.KINDS)
RECORD_DECODER: Any = msgspec.msgpack.Decoder(
    RECORDS[0] | RECORDS[1] | RECORDS[2] | RECORDS[3] | RECORDS[4] | RECORDS[5] | RECORDS[6]
)
FIRST_BOOT = 1

Schema = Callable[[object], str | None]


def compile_schema(schema: bytes) -> Schema:
    """A stand-in for JSON Schema: ``{}`` takes anything, else the name of a Python type."""
    kinds: dict[bytes, type] = {b"int": int, b"str": str}
    if schema not in kinds:
        raise ValueError(f"not a schema: {schema!r}")
    kind = kinds[schema]

    def check(value: object) -> str | None:
        return None if isinstance(value, kind) else f"x: {value!r} is not a {kind.__name__}"

    return check


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


def skill(name: str = "echo", **fields: Any) -> SkillSpec:
    given: dict[str, Any] = {
        "version": "1", "input_schema": b"{}", "output_schema": b"{}", "retries": 2, **fields,
    }  # fmt: skip
    return SkillSpec(name, **given)


def spec(name: str = "echo", value: object = 1, **fields: Any) -> commands.TaskSpec:
    return commands.TaskSpec(name, raw(value), **fields)


def peer_id(name: str) -> bytes:
    return name.encode().ljust(32, b"\0")


Run = Callable[["Peer", events.RunJob], tuple[int, Outcome] | None]
"""Draws one run of a job: how long it takes, and how it ends; None where it hangs."""


def echo(duration_ns: int = 10 * MILLISECOND_NS) -> Run:
    def run(peer: "Peer", job: events.RunJob) -> tuple[int, Outcome]:
        return duration_ns, Outcome(job.task, job.attempt, "ok", job.input, duration_ns // 1000)

    return run


def failing(status: str = "failed", duration_ns: int = MILLISECOND_NS) -> Run:
    def run(peer: "Peer", job: events.RunJob) -> tuple[int, Outcome]:
        outcome = Outcome(job.task, job.attempt, status, msgspec.Raw(b""), 1, "Oops", "it broke")
        return duration_ns, outcome

    return run


def hanging(peer: "Peer", job: events.RunJob) -> None:
    return None


def first(count: int, kind: type) -> Callable[["Peer", "Peer", msgspec.Struct], bool]:
    """Loses the first so many messages of a kind."""
    lost: list[msgspec.Struct] = []

    def drop(sender: "Peer", to: "Peer", message: msgspec.Struct) -> bool:
        if not isinstance(message, kind) or len(lost) >= count:
            return False
        lost.append(message)
        return True

    return drop


class Peer:
    """One peer: its records survive, its machine does not."""

    def __init__(self, town: "Town", name: str) -> None:
        self.town = town
        self.name = name
        self.id = peer_id(name)
        self.boot = 0
        self.records: list[bytes] = []
        self.machine: Tasks | None = None
        self.skills: tuple[tuple[SkillSpec, int], ...] = ()
        self.run: Run = echo()
        self.events: list[Any] = []
        self.settled: dict[str, Settled] = {}
        self.effects: list[Effect] = []
        self.running: dict[tuple[bytes, str, int], events.RunJob] = {}
        self.most_running = 0
        self.started: list[events.RunJob] = []
        self.resumed: list[tuple[bytes, str, int]] = []

    @property
    def tasks(self) -> Tasks:
        assert self.machine is not None, f"{self.name} is down"
        return self.machine

    def seen(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def accepted(self) -> list[str]:
        return [task for event in self.seen(events.TasksAccepted) for task in event.tasks]

    def view(self, task: str) -> TaskView:
        view = self.tasks.view(task)
        assert view is not None, f"{self.name} does not know {task}"
        return view

    def command(self, command: msgspec.Struct) -> tuple[Effect, ...]:
        effects = self.tasks.submit(command, self.town.clock())
        self.town.absorb(self, effects)
        return effects

    def submit(self, *specs: commands.TaskSpec) -> list[str]:
        before = len(self.accepted)
        self.town.request += 1
        self.command(commands.SubmitTasks(self.town.request, specs))
        return self.accepted[before:]

    def receive(self, sender: "Peer | bytes", message: msgspec.Struct) -> tuple[Effect, ...]:
        link = sender if isinstance(sender, bytes) else sender.id
        effects = self.tasks.receive(link, link, message, self.town.clock())
        self.town.absorb(self, effects)
        return effects

    def end(self, key: tuple[bytes, str, int], outcome: Outcome) -> None:
        if self.running.pop(key, None) is not None:
            self.command(commands.JobsEnded(((key[0], outcome),)))


class Town:
    """Peers, links and time. `loss` and `duplication` are probabilities."""

    def __init__(
        self,
        *names: str,
        parameters: TaskParameters | None = None,
        seed: int = 1,
        loss: float = 0.0,
        duplication: float = 0.0,
        delay_ns: int = MILLISECOND_NS,
    ) -> None:
        self.rng = random.Random(seed)
        self.parameters = parameters or TaskParameters()
        self.loss = loss
        self.duplication = duplication
        self.delay_ns = delay_ns
        self.now = SECOND_NS
        self.wall_ahead_ns = 0
        self.request = 0
        self.drop: Callable[[Peer, Peer, msgspec.Struct], bool] = lambda a, b, message: False
        self.sent: list[tuple[str, str, msgspec.Struct]] = []
        self.blamed: list[Blame] = []
        self.free: dict[tuple[bytes, str], int] = {}
        self.lots: dict[tuple[str, bytes], tuple[bytes, str, int]] = {}
        self.wanted: dict[tuple[bytes, str], int] = {}
        self.avoided: dict[tuple[bytes, str], tuple[bytes, ...]] = {}
        self.barred: set[tuple[bytes, str, bytes]] = set()
        self.auction_is_open = True
        self.lot_counter = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self.peers = {name: Peer(self, name) for name in names}
        self.by_id = {peer.id: peer for peer in self.peers.values()}

    def __getitem__(self, name: str) -> Peer:
        return self.peers[name]

    # Time.

    def clock(self) -> Now:
        return Now(self.now, WALL + self.now + self.wall_ahead_ns)

    def after(self, delay_ns: int, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (self.now + delay_ns, self._order, action))

    def run(self, duration_ns: int = SECOND_NS) -> None:
        end = self.now + duration_ns
        while True:
            due = self._next()
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self._step()
        self.now = end

    def run_until(self, condition: Callable[[], bool], limit_ns: int = 120 * SECOND_NS) -> None:
        end = self.now + limit_ns
        while not condition():
            due = self._next()
            assert due is not None, "it never came about"
            assert due <= end, "it did not come about in time"
            self.now = max(self.now, due)
            self._step()

    def settle(self, limit_ns: int = 600 * SECOND_NS) -> None:
        """Runs until no live custodian has undecided tasks."""
        self.run_until(lambda: not any(peer.tasks.undecided for peer in self.up()), limit_ns)

    def _next(self) -> int | None:
        dues = [peer.tasks.deadline() for peer in self.up()]
        known = [due for due in dues if due is not None]
        if self._heap:
            known.append(self._heap[0][0])
        return min(known, default=None)

    def _step(self) -> None:
        if self._heap and self._heap[0][0] <= self.now:
            heapq.heappop(self._heap)[2]()
            return
        for peer in self.up():
            due = peer.tasks.deadline()
            if due is not None and due <= self.now:
                self.absorb(peer, peer.tasks.wake(self.clock()))

    def up(self) -> list[Peer]:
        return [peer for peer in self.peers.values() if peer.machine is not None]

    # Peers.

    def start(self, name: str, *skills: tuple[SkillSpec, int], run: Run | None = None) -> Peer:
        peer = self.peers[name]
        peer.boot += 1
        peer.machine = Tasks(
            peer.id, peer.boot, self.parameters, random.Random(self.rng.random()), compile_schema
        )
        peer.running.clear()
        restored = [RECORD_DECODER.decode(record) for record in peer.records]
        peer.machine.restore(restored, self.clock())
        if skills:
            peer.skills = skills
        if run is not None:
            peer.run = run
        for other in self.up():
            if other is not peer:
                other.command(self._member(peer))
                peer.command(self._member(other))
        peer.command(commands.HostSkills(peer.skills))
        self.absorb(peer, peer.tasks.wake(self.clock()))
        return peer

    def _member(self, peer: Peer) -> commands.PeerUp:
        hosted = tuple((spec.name, spec.version, spec.digest()) for spec, _ in peer.skills)
        return commands.PeerUp(peer.id, peer.name, peer.boot, hosted)

    def crash(self, name: str, is_noticed: bool = True) -> None:
        peer = self.peers[name]
        peer.machine = None
        peer.running.clear()
        for lot, (worker, issuer) in [(key, (lot[0], key[1])) for key, lot in self.lots.items()]:
            if peer.id in (worker, issuer):
                self._end_lot(lot, is_noticed)
        for key in [key for key in (*self.wanted, *self.free) if key[0] == peer.id]:
            self.wanted.pop(key, None)
            self.free.pop(key, None)
        if is_noticed:
            for other in self.up():
                other.command(commands.PeerDown(peer.id, "refused", has_ended=True))
        self._clear()

    def _end_lot(self, key: tuple[str, bytes], is_noticed: bool) -> None:
        worker, name, count = self.lots.pop(key)
        issuer = self.by_id[key[1]]
        if issuer.machine is not None and is_noticed:
            issuer.command(commands.SlotsGone(key[0], worker, count, "gone"))
        bidder = self.by_id[worker]
        if bidder.machine is not None:
            self.free[(worker, name)] += count
            bidder.command(commands.SlotsLent(key[0], key[1], name, "1", 0))

    # Effects.

    def absorb(self, peer: Peer, effects: tuple[Effect, ...]) -> None:
        machine = peer.machine
        assert machine is not None
        machine.check()
        peer.effects.extend(effects)
        for effect in effects:
            match effect:
                case Persist(record):
                    peer.records.append(msgspec.msgpack.encode(record))
        for effect in effects:
            if peer.machine is not machine:
                return
            match effect:
                case Send(to, message):
                    if to in self.by_id:
                        self._send(peer, self.by_id[to], message)
                case Broadcast(message):
                    for other in self.up():
                        if other is not peer:
                            self._send(peer, other, message)
                case Emit(event):
                    peer.events.append(event)
                    if isinstance(event, events.TasksSettled):
                        peer.settled.update({one.task: one for one in event.settled})
                    self._route(peer, event)
                case Blame():
                    self.blamed.append(effect)
                case Perform(job):
                    self._perform(peer, job)

    def _send(self, sender: Peer, to: Peer, message: msgspec.Struct) -> None:
        self.sent.append((sender.name, to.name, message))
        data = msgspec.msgpack.encode(message)
        if sender is to:
            self.after(0, lambda: self._deliver(sender, to, data))
            return
        if self.drop(sender, to, message) or self.rng.random() < self.loss:
            return
        copies = 2 if self.rng.random() < self.duplication else 1
        for _ in range(copies):
            delay = int(self.delay_ns * (0.5 + self.rng.random()))
            self.after(delay, lambda: self._deliver(sender, to, data))

    def _deliver(self, sender: Peer, to: Peer, data: bytes) -> None:
        if to.machine is not None:
            message = CODEC.decode(data, 16 * 1024 * 1024)
            self.absorb(to, to.machine.receive(sender.id, sender.id, message, self.clock()))

    def _perform(self, peer: Peer, job: msgspec.Struct) -> None:
        match job:
            case events.RunJobs(jobs):
                for one in jobs:
                    self._run(peer, one)
            case events.StopJobs(jobs, reason):
                status = "timeout" if reason == "timeout" else "cancelled"
                for key in jobs:
                    outcome = Outcome(key[1], key[2], status, NIL, 0, "Stopped", reason)
                    self.after(0, self._ending(peer, key, outcome))
            case events.ResumeJobs(jobs):
                peer.resumed.extend(jobs)

    def _run(self, peer: Peer, job: events.RunJob) -> None:
        key = (job.custodian, job.task, job.attempt)
        assert key not in peer.running, "an attempt runs twice in one process"
        peer.running[key] = job
        peer.started.append(job)
        peer.most_running = max(peer.most_running, len(peer.running))
        drawn = peer.run(peer, job)
        if drawn is not None:
            self.after(drawn[0], self._ending(peer, key, drawn[1]))

    def _ending(
        self, peer: Peer, key: tuple[bytes, str, int], outcome: Outcome
    ) -> Callable[[], None]:
        machine = peer.machine
        return lambda: peer.end(key, outcome) if peer.machine is machine else None

    # The stand-in for the auction.

    def _route(self, peer: Peer, event: msgspec.Struct) -> None:
        match event:
            case events.CapacityChanged(name, _, slots):
                before = sum(
                    lot[2] for lot in self.lots.values() if lot[0] == peer.id and lot[1] == name
                )
                self.free[(peer.id, name)] = slots - before
                self._clear()
            case events.SlotsWanted(name, _, units):
                self.wanted[(peer.id, name)] = units
                self.avoided[(peer.id, name)] = event.avoid
                self._clear()
            case events.PeerBarred(name, _, worker, is_barred):
                change = self.barred.add if is_barred else self.barred.discard
                change((peer.id, name, worker))
                self._clear()
            case events.SlotsReturned(lot, worker, slots):
                held = self.lots.get((lot, peer.id))
                if held is None:
                    return
                left = held[2] - slots
                assert left >= 0, "more slots are returned than held"
                self.lots.pop((lot, peer.id))
                if left:
                    self.lots[(lot, peer.id)] = (worker, held[1], left)
                self.free[(worker, held[1])] = self.free.get((worker, held[1]), 0) + slots
                lent = commands.SlotsLent(lot, peer.id, held[1], "1", left)
                self.after(0, self._telling(self.by_id[worker], lent))
                self._clear()

    def _telling(self, peer: Peer, command: msgspec.Struct) -> Callable[[], None]:
        machine = peer.machine

        def tell() -> None:
            if peer.machine is machine and machine is not None:
                peer.command(command)

        return tell

    def _clear(self) -> None:
        self.after(0, self._clear_now)

    def _clear_now(self) -> None:
        if not self.auction_is_open:
            return
        for (issuer, name), units in list(self.wanted.items()):
            held = sum(
                lot[2] for key, lot in self.lots.items() if key[1] == issuer and lot[1] == name
            )
            for (worker, hosted), free in list(self.free.items()):
                count = min(units - held, free)
                if hosted != name or count <= 0 or worker in self.avoided[(issuer, name)]:
                    continue
                if (issuer, name, worker) in self.barred:
                    continue
                held += count
                self._grant(issuer, worker, name, count)

    def _grant(self, issuer: bytes, worker: bytes, name: str, count: int) -> None:
        self.lot_counter += 1
        lot = f"lot-{self.lot_counter}"
        self.free[(worker, name)] -= count
        self.lots[(lot, issuer)] = (worker, name, count)
        self.by_id[worker].command(commands.SlotsLent(lot, issuer, name, "1", count))
        self.by_id[issuer].command(commands.SlotsHeld(lot, name, "1", worker, count, 0))
