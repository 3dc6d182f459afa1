"""The scenario, told to whatever mesh is given, and what came out of it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec

from mesh.client import Client, Outcome
from mesh.local.errors import Refused

TROUPE = str(Path(__file__).with_name("troupe.py"))
PEERS = 4
HELD = 8
"""As many as the mesh has slots for `hold`, so that every peer runs some."""
HOLD_S = 1.5
POLL_S = 0.02
PATIENCE_S = 30.0


class Stage(Protocol):
    """A mesh of four peers, simulated or real; its client is at home with peer-1."""

    def client(self, peer: str) -> Client:
        """A client of a peer."""

    def kill(self, peer: str) -> None:
        """Kill -9."""

    def now(self) -> float:
        """Seconds, real or virtual."""

    def wait(self, seconds: float) -> None:
        """Lets time pass."""


class End(msgspec.Struct, frozen=True):
    """How a task ended, without what may differ: ids, times, and who ran it."""

    state: str
    value: Any
    error: str
    attempts: int


class Course(msgspec.Struct):
    """What came out.

    Attributes:
        ends: of every task whose course is one and the same wherever it runs, by its label.
        held: of the tasks that ran when a peer was killed: whether each was there.
        seen: as each peer that lives sees it in the end, the victim's state and the others'.
    """

    ends: dict[str, End] = {}
    held: list[tuple[bool, End]] = []
    seen: list[list[str]] = []


def play(stage: Stage) -> Course:
    """Plays the scenario."""
    course = Course()
    client = stage.client("peer-1")
    _work(client, course)
    _keys(client, course)
    _stops(stage, client, course)
    victim = _kill(stage, client, course)
    _look_around(stage, victim, course)
    return course


def _work(client: Client, course: Course) -> None:
    values = list(client.map("double", [{"n": n} for n in range(50)]))
    assert values == [2 * n for n in range(50)]
    for skill in ("third_time", "hopeless", "final", "wrong_output"):
        course.ends[skill] = _end(client.submit(skill).outcome())
    course.ends["family"] = _end(client.submit("parent", n=20).outcome())
    course.ends["to a peer"] = _end(client.options(to="peer-3").submit("double", n=4).outcome())
    course.ends["unheard of"] = _refusal(lambda: client.submit("unheard_of"))
    course.ends["wrong input"] = _refusal(lambda: client.submit("double", n="four"))
    course.ends["to nobody"] = _refusal(lambda: client.options(to="peer-9").submit("double", n=4))


def _keys(client: Client, course: Course) -> None:
    keyed = client.options(key="once")
    first, second = keyed.submit("double", n=7), keyed.submit("double", n=7)
    assert first.id == second.id
    course.ends["with a key"] = _end(first.outcome())
    course.ends["with a key, again"] = _end(keyed.submit("double", n=7).outcome())
    course.ends["with a key, otherwise"] = _refusal(lambda: keyed.submit("double", n=8))


def _stops(stage: Stage, client: Client, course: Course) -> None:
    handle = client.submit("hold", seconds=600)
    _until(stage, lambda: client.why(handle.id)["history"], "the attempt to begin")
    handle.cancel("enough")
    course.ends["cancelled"] = _end(handle.outcome())
    late = client.options(deadline=0.3).submit("hold", seconds=600)
    course.ends["too late"] = _end(late.outcome())
    slow = client.options(timeout=0.2, retries=1).submit("hold", seconds=600)
    course.ends["too slow"] = _end(slow.outcome())


def _kill(stage: Stage, client: Client, course: Course) -> str:
    handles = [client.submit("hold", seconds=HOLD_S) for _ in range(HELD)]

    def places() -> list[str]:
        histories = [client.why(handle.id)["history"] for handle in handles]
        return [history[0]["peer"] if history else "" for history in histories]

    _until(stage, lambda: all(places()), "all to run")
    where = places()
    victim = max(set(where) - {"peer-1"})
    stage.kill(victim)
    ends = [handle.outcome() for handle in handles]
    assert victim not in {end.producer for end in ends}
    course.held = [(peer == victim, _end(end)) for peer, end in zip(where, ends, strict=True)]
    return victim


def _look_around(stage: Stage, victim: str, course: Course) -> None:
    for name in (f"peer-{n + 1}" for n in range(PEERS)):
        if name == victim:
            continue
        states = partial(_states, stage.client(name))
        _until(stage, partial(_is_dead, states, victim), f"{name} to see the death")
        course.seen.append([f"the victim {states().pop(victim)}", *_others(states(), victim)])


def _states(client: Client) -> dict[str, str]:
    return {member["name"]: member["state"] for member in client.peers()}


def _is_dead(states: Callable[[], dict[str, str]], victim: str) -> bool:
    return states().get(victim) == "dead"


def _others(states: dict[str, str], victim: str) -> list[str]:
    return sorted(state for name, state in states.items() if name != victim)


def _end(outcome: Outcome) -> End:
    kind = "" if outcome.error is None else outcome.error.kind
    return End(outcome.state, outcome.value, kind, outcome.attempts)


def _refusal(submit: Callable[[], object]) -> End:
    try:
        submit()
    except Refused as refusal:
        return End("refused", None, refusal.kind, 0)
    raise AssertionError("it was accepted")


def _until(stage: Stage, holds: Callable[[], object], what: str) -> None:
    ends = stage.now() + PATIENCE_S
    while not holds():
        assert stage.now() < ends, f"waited for {what}"
        stage.wait(POLL_S)
