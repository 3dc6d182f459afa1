"""What the peers of one simulated mesh share of its agents: who hosts what, times, recordings."""

import random
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Any

import msgspec

from mesh.agent import Agent, Skill
from mesh.local.messages import SkillDeclaration
from mesh.local.options import SkillLike, skill_named
from mesh.runtime.hosted_skills import skill_spec
from mesh.testing.foreign import RefusingLoop
from mesh.testing.real_loops import RealLoops
from mesh.testing.recording import Recording
from mesh.testing.scripts import Script
from protocols.tasks.skills import SkillSpec

Duration = float | tuple[float, float]
"""Virtual seconds, or the least and the most of them, between which the seed chooses."""
Hosts = Agent | Iterable[Agent] | Mapping[str, Agent | Iterable[Agent]]
"""Agents that every peer runs, or those of each peer by its name."""
Takes = Duration | Mapping[Any, Duration]
"""How long every handler takes, or those of each skill, by its name or function."""


class LogLine(msgspec.Struct, frozen=True):
    """What a handler wrote with `ctx.log`.

    Attributes:
        at: virtual seconds since the mesh was ready.
        peer: the name of the peer that ran it.
    """

    at: float
    peer: str
    task: str
    attempt: int
    level: str
    text: str
    fields: dict[str, Any]


class HandlerSkill:
    """A skill of an agent, as a simulated peer hosts it."""

    def __init__(self, agent: Agent, skill: Skill) -> None:
        """Takes the skill, and the agent that it is one of."""
        self.agent = agent
        self.skill = skill
        self.declaration: SkillDeclaration = skill.declaration()

    @property
    def name(self) -> str:
        """What callers call; versions share it."""
        return self.skill.name

    @property
    def slots(self) -> int:
        """How many attempts may run at once."""
        return self.skill.slots

    def spec(self) -> SkillSpec:
        """The skill as peers advertise it."""
        return skill_spec(self.declaration)


class Troupe:
    """The agents of a mesh.

    Attributes:
        clock: virtual seconds.
        loop: what asyncio finds while a handler takes a step.
        logs: what handlers wrote with `ctx.log`.
        calls: which call each task is that a handler submitted.
        scripts: the runs that have not ended, those of dead peers among them.
        record: where answers are kept, while they are recorded.
        replay: where answers come from.
        loops: real loops, for what is recorded.
    """

    def __init__(
        self,
        peers: Collection[str],
        hosts: Hosts,
        takes: Takes,
        clock: Callable[[], float],
        record: Recording | None,
        replay: Recording | None,
        recorded: Collection[SkillLike] | None,
    ) -> None:
        self.skills = {name: tuple(_skills(agents)) for name, agents in _by_peer(peers, hosts)}
        self._takes = takes if isinstance(takes, Mapping) else {}
        self._takes_by_default: Duration = 0.0 if isinstance(takes, Mapping) else takes
        self._named = {skill_named(skill)[0]: d for skill, d in self._takes.items()}
        self._recorded = None if recorded is None else {skill_named(s)[0]: None for s in recorded}
        known = {skill.name for hosted in self.skills.values() for skill in hosted}
        for name in [*self._named, *(self._recorded or ())]:
            if name not in known:
                raise ValueError(f"no agent of this mesh has a skill {name!r}")
        self.clock = clock
        self.loop = RefusingLoop(clock)
        self.logs: list[LogLine] = []
        self.calls: dict[str, Hashable] = {}
        self.scripts: dict[Script, None] = {}
        self.record = record
        self.replay = replay
        self.loops = RealLoops()

    def takes(self, skill: Skill, rng: random.Random) -> float | None:
        """How long a handler of this skill takes, by what the test states; None where nothing."""
        duration = self._named.get(skill.name)
        if duration is None:
            duration = self._takes_by_default or None
        if isinstance(duration, tuple):
            return rng.uniform(*duration)
        return duration

    def must_record(self, skill: Skill) -> bool:
        """Whether every end of this skill is recorded."""
        return self.record is not None and skill.name in (self._recorded or ())

    def may_record(self, skill: Skill) -> bool:
        """Whether an end of this skill is recorded if its handler waits for the outside."""
        return self.record is not None and self._recorded is None and skill.is_async

    def replays(self, skill: Skill) -> bool:
        """Whether this skill's answers come from a recording."""
        return self.replay is not None and self.replay.holds(skill.name)

    def call(self, task: str) -> Hashable:
        """Which call a task is: a client's are known by their ids."""
        return self.calls.get(task, task)

    def accepted(self, task: str, skill: str, inputs: msgspec.Raw) -> None:
        """A task was accepted: recordings tell calls with the same inputs apart by the order."""
        for recording in (self.record, self.replay):
            if recording is not None:
                recording.accepted(skill, msgspec.msgpack.decode(inputs), self.call(task))

    def close(self) -> None:
        """Unwinds what has not ended."""
        scripts, self.scripts = self.scripts, {}
        for script in reversed(scripts):
            script.close()
        self.loops.close()


def _by_peer(peers: Collection[str], hosts: Hosts) -> list[tuple[str, list[Agent]]]:
    if isinstance(hosts, Mapping):
        strangers = [name for name in hosts if name not in peers]
        if strangers:
            raise ValueError(f"there is no {strangers[0]!r}; the peers are {', '.join(peers)}")
        return [(name, _agents(hosts.get(name, ()))) for name in peers]
    agents = _agents(hosts)
    return [(name, agents) for name in peers]


def _agents(agents: Agent | Iterable[Agent]) -> list[Agent]:
    if isinstance(agents, Agent):
        return [agents]
    if isinstance(agents, set | frozenset):
        # A set has no order of its own, and the order of agents must be the same in every run.
        agents = sorted(agents, key=lambda agent: agent.name)
    return list(agents)


def _skills(agents: list[Agent]) -> list[HandlerSkill]:
    found: dict[tuple[str, str], HandlerSkill] = {}
    for agent in agents:
        for key, skill in agent.skills.items():
            if key in found:
                raise ValueError(f"two agents of one peer have a skill {key[0]}@{key[1]}")
            found[key] = HandlerSkill(agent, skill)
    return list(found.values())
