"""Whatever the network, crashes and agents do, every accepted task ends once, and none is lost."""

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocols.errors import Refused
from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks import commands, events
from protocols.tasks.lifecycle import SETTLED
from protocols.tasks.messages import Outcome
from protocols.tasks.parameters import TaskParameters
from protocols.tasks.records import TasksRecorded
from tests.protocols.tasks.support import RECORD_DECODER, Peer, Town, raw, skill, spec

CUSTODIANS = ("a", "b")
WORKERS = ("u", "v", "w")
NAMES = CUSTODIANS + WORKERS
LIMIT_NS = 900 * SECOND_NS

PARAMETERS = TaskParameters(losses=1000, retry_most_ns=SECOND_NS)


class Agents:
    """Agents that answer, fail, hang and park, as they are told."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.is_calm = False

    def __call__(self, peer: Peer, job: events.RunJob) -> tuple[int, Outcome] | None:
        draw = 0.5 if self.is_calm else self.town.rng.random()
        duration = int(self.town.rng.expovariate(1 / (20 * MILLISECOND_NS))) + 1
        if draw < 0.05:
            return None
        if draw < 0.2:
            nothing = msgspec.Raw(b"")
            status = self.town.rng.choice(("failed", "crashed", "rejected", "timeout"))
            return duration, Outcome(job.task, job.attempt, status, nothing, 1, "Oops", "")
        if draw < 0.35:
            self.town.after(duration, lambda: self.park(peer, job, peer.machine))
            return None
        return duration, self.answer(job)

    def answer(self, job: events.RunJob) -> Outcome:
        return Outcome(job.task, job.attempt, "ok", job.input, 20_000)

    def park(self, peer: Peer, job: events.RunJob, machine: object) -> None:
        key = (job.custodian, job.task, job.attempt)
        if peer.machine is not machine or key not in peer.running:
            return
        peer.command(commands.JobParked(*key, True))
        self.town.after(5 * MILLISECOND_NS, lambda: self.come_back(peer, job, machine))

    def come_back(self, peer: Peer, job: events.RunJob, machine: object) -> None:
        key = (job.custodian, job.task, job.attempt)
        if peer.machine is not machine or key not in peer.running:
            return
        peer.command(commands.JobParked(*key, False))
        self.town.after(5 * MILLISECOND_NS, lambda: self.finish(peer, job, machine))

    def finish(self, peer: Peer, job: events.RunJob, machine: object) -> None:
        key = (job.custodian, job.task, job.attempt)
        if peer.machine is not machine or key not in peer.running:
            return
        if key in peer.resumed:
            peer.end(key, self.answer(job))
        else:
            self.town.after(5 * MILLISECOND_NS, lambda: self.finish(peer, job, machine))


class TasksMachine(RuleBasedStateMachine):
    """Two custodians and three workers, of which the custodians work too."""

    @initialize(
        seed=st.integers(0, 2**32),
        loss=st.sampled_from((0.0, 0.05, 0.3)),
        duplication=st.sampled_from((0.0, 0.2)),
    )
    def begin(self, seed: int, loss: float, duplication: float) -> None:
        self.town = Town(
            *NAMES, parameters=PARAMETERS, seed=seed, loss=loss, duplication=duplication
        )
        self.agents = Agents(self.town)
        self.values: dict[str, object] = {}
        self.ends: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.count = 0
        for name in NAMES:
            hosted = (skill(timeout_ms=2_000, retries=3), 1 if name != "u" else 2)
            self.town.start(name, *((hosted,) if name != "a" else ()), run=self.agents)
        self.town.run(SECOND_NS)

    @rule(name=st.sampled_from(CUSTODIANS), tasks=st.integers(1, 30), options=st.data())
    def submit(self, name: str, tasks: int, options: st.DataObject) -> None:
        peer = self.town[name]
        if peer.machine is None:
            return
        fields: dict[str, Any] = options.draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "priority": st.integers(-1, 1),
                    "weight_us": st.integers(0, 50_000),
                    "retries": st.integers(0, 3),
                    "deadline_ms": st.sampled_from((50, 5_000)),
                    "timeout_ms": st.sampled_from((100, 3_000)),
                },
            )
        )
        self.count += 1
        values = [f"{self.count}/{index}" for index in range(tasks)]
        if options.draw(st.booleans()):
            submitted = [spec(value=value, key=value, **fields) for value in values]
        else:
            submitted = [spec(value=value, **fields) for value in values]
        self.values.update(zip(self.try_to_submit(peer, *submitted), values, strict=False))

    def try_to_submit(self, peer: Peer, *submitted: commands.TaskSpec) -> list[str]:
        """The only refusal here is that nobody hosts the skill."""
        try:
            return peer.submit(*submitted)
        except Refused as refused:
            if refused.kind != "UnknownSkill":
                raise
            return []

    @rule(ms=st.integers(1, 5_000))
    def time_passes(self, ms: int) -> None:
        self.town.run(ms * MILLISECOND_NS)
        self.note_ends()

    @rule(name=st.sampled_from(NAMES), is_noticed=st.booleans())
    def crash(self, name: str, is_noticed: bool) -> None:
        if self.town[name].machine is not None:
            self.note_ends()
            self.town.crash(name, is_noticed)

    @rule(name=st.sampled_from(NAMES))
    def restart(self, name: str) -> None:
        if self.town[name].machine is None:
            self.town.start(name)

    @rule(name=st.sampled_from(CUSTODIANS))
    def checkpoint(self, name: str) -> None:
        peer = self.town[name]
        if peer.machine is not None:
            peer.records = [msgspec.msgpack.encode(record) for record in peer.tasks.snapshot()]

    @rule(name=st.sampled_from(CUSTODIANS), index=st.integers(0, 10_000))
    def cancel(self, name: str, index: int) -> None:
        peer = self.town[name]
        if peer.machine is not None and peer.accepted:
            task = peer.accepted[index % len(peer.accepted)]
            peer.command(commands.CancelTasks(1, task))

    @rule(name=st.sampled_from(CUSTODIANS), index=st.integers(0, 10_000))
    def submit_again(self, name: str, index: int) -> None:
        keyed = [task for task in self.values if len(task) == 20]
        peer = self.town[name]
        if peer.machine is None or not keyed:
            return
        value = self.values[keyed[index % len(keyed)]]
        self.try_to_submit(peer, spec(value=value, key=str(value)))

    @invariant()
    def nobody_honest_is_blamed(self) -> None:
        if hasattr(self, "town"):
            assert self.town.blamed == []

    def note_ends(self) -> None:
        """A task that was told to have ended never ends in another way."""
        for name in CUSTODIANS:
            for event in self.town[name].seen(events.TasksSettled):
                for settled in event.settled:
                    end = (settled.state, bytes(settled.value))
                    before = self.ends.setdefault((name, settled.task), end)
                    assert before == end, f"{settled.task} ended as {before} and as {end}"
                    if settled.state == "done":
                        expected = self.values.get(settled.task)
                        assert expected is None or settled.value == raw(expected)

    def teardown(self) -> None:
        """Faults stop, messages flow: everything comes to its end."""
        if not hasattr(self, "town"):
            return
        self.note_ends()
        self.town.loss = self.town.duplication = 0.0
        self.agents.is_calm = True
        for name in NAMES:
            if self.town[name].machine is None:
                self.town.start(name)
        self.town.settle(LIMIT_NS)
        self.town.run(20 * SECOND_NS)
        self.note_ends()
        for name in CUSTODIANS:
            peer = self.town[name]
            recorded = {
                entry.task
                for record in map(RECORD_DECODER.decode, peer.records)
                if isinstance(record, TasksRecorded)
                for _, entries in record.groups
                for entry in entries
            }
            for task in {*peer.accepted, *recorded}:
                assert peer.view(task).state in SETTLED, f"{task} was accepted and has not ended"
                assert (name, task) in self.ends, f"nobody was told how {task} ended"
        for peer in self.town.up():
            assert peer.running == {}, f"{peer.name} runs what nobody waits for"
            assert peer.tasks.deadline() is None, f"{peer.name} does not come to rest"
        assert not self.town.lots, "slots are held for nothing"


TestTasksMachine = TasksMachine.TestCase
TestTasksMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
