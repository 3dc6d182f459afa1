"""Plans: a scenario, a seed, and every fault of the run, as data that can be kept and shortened."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from simulations.scenario import LIES, Rates, Scenario
from simulations.scenario import PlanError as PlanError
from simulations.schedule import (
    ANY,
    Clock,
    Conditions,
    Crash,
    Cut,
    DiskTrouble,
    Fault,
    Leave,
    Partition,
    Pause,
    Restore,
    Slow,
    names_in,
)

EACH = "each"
"""Instead of a liar's name: which lie is told is drawn by the seed."""


class Plan(msgspec.Struct, frozen=True):
    """All that a run is made from. `faults` holds those of the scenario and those drawn."""

    scenario: Scenario
    seed: int
    faults: tuple[Fault, ...] = ()


def draw(scenario: Scenario, seed: int) -> Plan:
    """The plan of a scenario under a seed.

    Raises:
        PlanError: a fault names a peer that the mesh has not, or there is no such liar.
    """
    names = [f"peer-{index + 1}" for index in range(scenario.peers)]
    for fault in scenario.faults:
        for name in names_in(fault):
            if name not in names:
                raise PlanError(
                    f"{scenario.name}: a fault at {fault.at_ms:g} ms names {name!r}, "
                    f"and the last of the peers is {names[-1]}"
                )
    rng = random.Random(f"{scenario.name} {seed} draws")
    scenario = msgspec.structs.replace(scenario, liars=_liars(scenario, seed))
    explicit = (one for fault in scenario.faults for one in _each(fault))
    faults = [
        fault if fault.draw is not None else msgspec.structs.replace(fault, draw=_draw(rng))
        for fault in (*explicit, *_drawn(scenario, seed, names))
    ]
    faults.sort(key=lambda fault: fault.at_ms)
    return Plan(scenario, seed, tuple(faults))


def _liars(scenario: Scenario, seed: int) -> tuple[str, ...]:
    kinds = sorted(LIES)
    liars = tuple(kinds[seed % len(kinds)] if name == EACH else name for name in scenario.liars)
    for name in liars:
        if name not in LIES:
            raise PlanError(f"{scenario.name}: no liar is called {name!r}: {', '.join(kinds)}")
    if len(liars) >= scenario.peers:
        raise PlanError(f"{scenario.name}: {len(liars)} liars leave nobody of {scenario.peers}")
    return liars


def _each(fault: Fault) -> Iterator[Fault]:
    """An entry that stands for several, one by one."""
    for index in range(fault.times):
        at_ms = fault.at_ms + index * fault.every_ms
        yield msgspec.structs.replace(fault, at_ms=at_ms, times=1, every_ms=0)


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
        power=rng.random() < rates.power,
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
    return Cut(at_ms=at_ms, both=rng.random() >= rates.one_way, for_ms=_long(rates, rng))


def _partition(at_ms: float, rates: Rates, rng: random.Random) -> Partition:
    return Partition(at_ms=at_ms, one_way=rng.random() < rates.one_way, for_ms=_long(rates, rng))


def _bad_link(at_ms: float, rates: Rates, rng: random.Random) -> Conditions:
    """Frames from one peer, or to one, or of the whole mesh, fare badly for a while."""
    here = rng.choice((ANY, ANY, ""))
    least = rng.choice((0.1, 1, 20))
    return Conditions(
        at_ms=at_ms,
        peer=here,
        other=rng.choice((ANY, "")) if here else "",
        loss=rng.choice((0, rates.loss, 0.2)),
        shape=rng.choice(("uniform", "lognormal", "pareto")),
        delay_least_ms=least,
        delay_most_ms=least * rng.choice((2, 5)),
        bandwidth=rng.choice((0, 0, 20_000, 200_000)),
        for_ms=_long(rates, rng),
    )


def _disk(at_ms: float, rates: Rates, rng: random.Random) -> DiskTrouble:
    kind = rng.choice(rates.disk_kinds)
    return DiskTrouble(
        at_ms=at_ms,
        peer=_victim(rng),
        kind=kind,
        room=rng.randint(0, 6) if kind in ("full", "failing") else 0,
        for_ms=round(rng.uniform(100, 2 * rates.down_most_ms), 3),
        slow_ms=rng.choice((5, 20, 80)),
        down_ms=_down(rates, rng),
    )


def _clock(at_ms: float, rates: Rates, rng: random.Random) -> Clock:
    jump_ms = rng.choice((0, 0, 50, 2_000, 3_600_000)) * rng.choice((-1, 1))
    return Clock(
        at_ms=at_ms,
        peer=_victim(rng),
        drift_ppm=rng.choice((0, 50, 500, 10_000)) * rng.choice((-1, 1)),
        jump_ms=jump_ms,
    )


def _restore(at_ms: float, rates: Rates, rng: random.Random) -> Restore:
    age_ms = round(rng.uniform(1, 2 * rates.down_most_ms), 3)
    return Restore(at_ms=at_ms, peer=_victim(rng), age_ms=age_ms, down_ms=_down(rates, rng))


_MAKERS: dict[
    str, tuple[Callable[[Rates], float], Callable[[float, Rates, random.Random], Fault]]
] = {
    "crashes": (lambda rates: rates.crashes, _crash),
    "leaves": (lambda rates: rates.leaves, _leave),
    "pauses": (lambda rates: rates.pauses, _pause),
    "cuts": (lambda rates: rates.cuts, _cut),
    "partitions": (lambda rates: rates.partitions, _partition),
    "bad_links": (lambda rates: rates.bad_links, _bad_link),
    "disks": (lambda rates: rates.disks, _disk),
    "clocks": (lambda rates: rates.clocks, _clock),
    "restores": (lambda rates: rates.restores, _restore),
}
"""Each kind's rate, and what makes one."""


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
