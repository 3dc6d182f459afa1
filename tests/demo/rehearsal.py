"""A mesh that lives in the test's process: real agents and real encodings, made-up peers."""

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from mesh.agent.loading import load_agents
from mesh.demo.face import AGENTS_BY_PEER
from mesh.local.codec import encode_value
from mesh.local.errors import TaskFailed


class Ended(NamedTuple):
    """How one task ended."""

    task: str
    state: str
    value: Any
    error: Any
    attempts: int
    producer: str | None


class Decided(NamedTuple):
    """How one ballot ended."""

    outcome: Any
    status: str
    margin: int
    needed: int
    dissent: tuple[Any, ...]
    certificate: bytes


class Rehearsal:
    """Runs each skill where a peer that hosts it is alive, in a shuffled order."""

    def __init__(self, seed: int = 1, failing: Iterable[str] = ()) -> None:
        self.rng = random.Random(seed)
        self.failing = set(failing)
        self.killed: list[str] = []
        self.called: list[str] = []
        self.reruns_due = 0
        self.decided = 0
        self._hosted: dict[str, list[str]] = {}
        self._skills: dict[str, Any] = {}
        for peer, files in AGENTS_BY_PEER.items():
            for file in files:
                for agent in load_agents(str(file), own_process=False):
                    for (name, _), skill in agent.skills.items():
                        self._skills[name] = skill
                        self._hosted.setdefault(name, []).append(peer)

    def connect(self) -> "RehearsedClient":
        return RehearsedClient(self)

    def kill(self, peer: str) -> None:
        self.killed.append(peer)
        self.reruns_due = 2

    def root_public(self) -> bytes:
        return b"root"

    def votes(self, skill: str, inputs: dict[str, Any]) -> Decided:
        """A ballot of those that host a skill, all of whom say the same."""
        self.decided += 1
        said = self.run(skill, inputs).value
        hosts = [peer for peer in self._hosted[skill] if peer not in self.killed]
        return Decided(said, "certified", len(hosts), 1, (), f"proof of {said}".encode())

    def run(self, skill: str, inputs: dict[str, Any]) -> Ended:
        """One task, through the very encodings that a worker uses."""
        self.called.append(skill)
        signature = self._skills[skill].signature
        hosts = [peer for peer in self._hosted[skill] if peer not in self.killed]
        assert hosts, f"nobody is left for {skill}"
        if str(inputs.get("path")) in self.failing:
            error = TaskFailed("t", "dead", "Crash", "the worker died", 4)
            return Ended("t", "dead", None, error, 4, None)
        attempts = 1
        if self.reruns_due and skill.startswith("scan_"):
            self.reruns_due -= 1
            attempts = 2
        handler_inputs = signature.read_input(encode_value(inputs))
        value = signature.write_output(self._skills[skill].function(**handler_inputs))
        plain = msgspec.msgpack.decode(value)
        return Ended("t", "done", plain, None, attempts, self.rng.choice(hosts))


class RehearsedClient:
    """What `mesh.Client` is to the demo."""

    def __init__(self, mesh: Rehearsal) -> None:
        self._mesh = mesh

    def map_unordered(
        self, skill: str, inputs: Iterable[dict[str, Any]]
    ) -> Iterator[tuple[int, Ended]]:
        numbered = list(enumerate(inputs))
        random.Random(self._mesh.rng.random()).shuffle(numbered)
        for index, each in numbered:
            yield index, self._mesh.run(skill, each)

    def decide(
        self, skill: str, input: dict[str, Any], *, options: Sequence[str], close: float
    ) -> Decided:
        decided = self._mesh.votes(skill, input)
        assert decided.outcome in options
        return decided

    def peers(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "id": f"id-of-{name}",
                "state": "dead" if name in self._mesh.killed else "alive",
            }
            for name in AGENTS_BY_PEER
        ]

    def close(self) -> None:
        pass
