"""Plans: a scenario, a seed, and every fault of the run, as data that can be kept and shortened."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from simulations.scenario import Rates, Scenario
from simulations.schedule import (
    ANY,
    Conditions,
    Crash,
    Cut,
    DiskTrouble,
    Fault,
    Leave,
    Partition,
    Pause,
    Slow,
    names_in,
)


class Plan(msgspec.Struct, frozen=True):
    """All that a run is made from. `faults` holds those of the scenario and those drawn."""

    scenario: Scenario
    seed: int
    faults: tuple[Fault, ...] = ()


class PlanError(ValueError):
    """A plan or scenario cannot be read, or does not fit together. The message says where."""


def draw(scenario: Scenario, seed: int) -> Plan:
    """The plan of a scenario under a seed.

    Raises:
        PlanError: a fault names a peer that the mesh has not.
    """
    names = [f"peer-{index + 1}" for index in range(scenario.peers)]
    for fault in scenario.faults:
        for name in names_in(fault):
            if name not in names:
                raise PlanError(f"a fault at {fault.at_ms} ms names {name}: {names[-1]} is last")
    rng = random.Random(f"{scenario.name} {seed} draws")
    faults = [
        fault if fault.draw is not None else msgspec.structs.replace(fault, draw=_draw(rng))
        for fault in (*scenario.faults, *_drawn(scenario, seed, names))
    ]
    faults.sort(key=lambda fault: fault.at_ms)
    return Plan(scenario, seed, tuple(faults))


def _draw(rng: random.Random) -> int:
    return rng.getrandbits(32)


def _drawn(scenario: Scenario, seed: int, names: list[str]) -> Iterator[Fault]:
    """What the rates yield; each kind from a generator of its own."""
    rates, duration_ms = scenario.rates, scenario.duration_s * 1_000
    if rates.loss or rates.duplication or rates.reorder:
        yield Conditions(
            at_ms=0, loss=rates.loss, duplication=rates.duplication, reorder=rates.reorder
        )
    rng = random.Random(f"{scenario.name} {seed} slow")
    for name in names[: len(names) - len(scenario.liars)]:
        if rng.random() < rates.slow:
            yield Slow(at_ms=0, peer=name, factor=rng.randint(4, 20))
    for kind, (rate_of, make) in _MAKERS.items():
        rng = random.Random(f"{scenario.name} {seed} {kind}")
        expected = rate_of(rates) * scenario.duration_s
        for _ in range(int(expected + rng.random())):
            yield make(round(rng.uniform(0, duration_ms), 3), rates, rng)


def _victim(rng: random.Random) -> str:
    """More often somebody at work, where a fault can do harm."""
    return rng.choice((ANY, ANY, "working", "busy"))


def _down(rates: Rates, rng: random.Random) -> float:
    # Many restarts are quick, so that messages to and from the earlier process are
    # under way; some come before anybody has noticed.
    draw = rng.random()
    most = rates.down_most_ms if draw < 0.6 else 50 if draw < 0.8 else 1
    return round(rng.uniform(0, most), 3)


def _crash(at_ms: float, rates: Rates, rng: random.Random) -> Crash:
    return Crash(
        at_ms=at_ms,
        peer=_victim(rng),
        down_ms=_down(rates, rng),
        fuse=rng.randint(0, 40) if rng.random() < 0.5 else None,
        moved=rng.random() < rates.moves,
    )


def _leave(at_ms: float, rates: Rates, rng: random.Random) -> Leave:
    return Leave(at_ms=at_ms, down_ms=_down(rates, rng), moved=rng.random() < rates.moves)


def _pause(at_ms: float, rates: Rates, rng: random.Random) -> Pause:
    return Pause(
        at_ms=at_ms, peer=_victim(rng), for_ms=round(rng.uniform(50, rates.down_most_ms), 3)
    )


def _long(rates: Rates, rng: random.Random) -> float:
    return round(rng.uniform(1_000, rates.down_most_ms), 3)


def _cut(at_ms: float, rates: Rates, rng: random.Random) -> Cut:
    return Cut(at_ms=at_ms, both=rng.random() < 0.5, for_ms=_long(rates, rng))


def _partition(at_ms: float, rates: Rates, rng: random.Random) -> Partition:
    return Partition(at_ms=at_ms, for_ms=_long(rates, rng))


def _full_disk(at_ms: float, rates: Rates, rng: random.Random) -> DiskTrouble:
    return DiskTrouble(at_ms=at_ms, kind="full", room=rng.randint(0, 6), down_ms=_down(rates, rng))


_MAKERS: dict[
    str, tuple[Callable[[Rates], float], Callable[[float, Rates, random.Random], Fault]]
] = {
    "crashes": (lambda rates: rates.crashes, _crash),
    "pauses": (lambda rates: rates.pauses, _pause),
    "cuts": (lambda rates: rates.cuts, _cut),
    "leaves": (lambda rates: rates.leaves, _leave),
    "full_disks": (lambda rates: rates.full_disks, _full_disk),
    "partitions": (lambda rates: rates.partitions, _partition),
}


def save(plan: Plan, path: Path) -> None:
    """Writes a plan to a JSON file."""
    text = msgspec.json.format(msgspec.json.encode(plan), indent=2)
    path.write_bytes(text + b"\n")


def load(path: Path) -> Plan:
    """Reads a plan that `save` wrote.

    Raises:
        OSError: there is no such file, or it cannot be read.
        PlanError: it holds no plan; names the place.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except msgspec.MsgspecError as error:
        raise PlanError(f"{path}: {error}") from None
