"""Fault schedules: what befalls a mesh, and when, as plain data.

A schedule is a tuple of faults. Each says when it strikes, in milliseconds since
the load began, and whom: a peer by its name (``"peer-3"``), or somebody chosen
when the time has come: ``"any"``, ``"busy"`` (it keeps undecided tasks) or
``"working"`` (its handlers run). What a fault leaves open it draws from a
generator of its own, seeded with `draw`, so that deleting one fault changes
nothing about what the others draw.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

ANY = "any"
CHOSEN = (ANY, "busy", "working")
"""Words that stand for a peer which is chosen when the fault strikes."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
"""A probability, or a share of something."""
Milliseconds = Annotated[float, msgspec.Meta(ge=0)]
Shape = Literal["uniform", "lognormal", "pareto"]
DiskKind = Literal["full", "failing", "hanging", "slow", "rot", "rot-in-log"]


class _Fault(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="fault",
):
    """What every fault has: its instant, and what it draws from (drawn, where None).

    In a scenario one entry may stand for several: `times`, `every_ms`. `plan.draw`
    makes them one by one.
    """

    at_ms: Milliseconds
    draw: int | None = None
    times: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    every_ms: Milliseconds = 0


class Crash(_Fault, frozen=True, tag="crash"):
    """A process dies as by kill -9, or with its whole machine, and comes back."""

    peer: str = ANY
    down_ms: Milliseconds = 1_000
    fuse: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Where set, so many more effects leave before it dies."""
    moved: bool = False
    """It comes back at another door."""
    power: bool = False
    """The power fails: what was written and not synced is lost as well."""


class Leave(_Fault, frozen=True, tag="leave"):
    """A peer says goodbye, stops, and comes back."""

    peer: str = ANY
    down_ms: Milliseconds = 1_000
    moved: bool = False


class Pause(_Fault, frozen=True, tag="pause"):
    """A process is stopped, as by SIGSTOP, and goes on."""

    peer: str = ANY
    for_ms: Milliseconds = 1_000


class Slow(_Fault, frozen=True, tag="slow"):
    """A peer's handlers take `factor` times as long; until peace, where `for_ms` is 0."""

    peer: str = ANY
    factor: Annotated[float, msgspec.Meta(gt=0)] = 10
    for_ms: Milliseconds = 0


class Cut(_Fault, frozen=True, tag="cut"):
    """`other` hears nothing of `peer` any more; `both`: nor the other way round."""

    peer: str = ANY
    other: str = ANY
    both: bool = True
    for_ms: Milliseconds = 1_000


class Partition(_Fault, frozen=True, tag="partition"):
    """The mesh falls into two."""

    near: tuple[str, ...] = ()
    """The names of one side; drawn, where empty."""
    one_way: bool = False
    """The near side hears nothing of the far side, which still hears it."""
    for_ms: Milliseconds = 1_000


class Conditions(_Fault, frozen=True, tag="conditions"):
    """How frames travel; probabilities from 0 to 1. The last to begin counts, link by link."""

    peer: str = ""
    """Only frames from this peer, where named; of everybody, where empty."""
    other: str = ""
    """Only frames to this peer, where named."""
    loss: Share = 0.0
    duplication: Share = 0.0
    reorder: Share = 0.0
    delay_least_ms: Milliseconds = 0.1
    delay_most_ms: Milliseconds = 0.4
    """The greatest delay; of shapes with a tail, 95 of 100 frames are faster."""
    shape: Shape = "uniform"
    bandwidth: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Bytes a second of each link; 0 for no limit."""
    for_ms: Milliseconds = 0
    """Until peace, where 0."""


class Clock(_Fault, frozen=True, tag="clock"):
    """A peer's clocks run fast or slow from now on, and its wall clock jumps."""

    peer: str = ANY
    drift_ppm: Annotated[int, msgspec.Meta(ge=-500_000, le=500_000)] = 0
    """Of both clocks; until peace."""
    jump_ms: float = 0
    """Of the wall clock; backward where negative."""


class DiskTrouble(_Fault, frozen=True, tag="disk"):
    """A disk fails its peer.

    `full` and `failing` refuse the next writes, `hanging` never answers one, `slow`
    takes `slow_ms` for each; `rot` damages something written long ago, `rot-in-log`
    something written just now. Rot is met at the next start.
    """

    peer: str = ANY
    kind: DiskKind = "full"
    room: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How many more records are taken by a disk that fills up or fails."""
    slow_ms: Milliseconds = 20
    for_ms: Milliseconds = 1_000
    down_ms: Milliseconds = 1_000
    """How long a peer that stops for it is down; its disk is mended then."""


class Restore(_Fault, frozen=True, tag="restore"):
    """A peer dies, and is started on a copy of its disk that was made `age_ms` before."""

    peer: str = ANY
    age_ms: Milliseconds = 1_000
    down_ms: Milliseconds = 1_000


Fault = Crash | Leave | Pause | Slow | Cut | Partition | Conditions | Clock | DiskTrouble | Restore
"""Every kind of fault."""

KINDS: dict[str, type[Fault]] = {
    "crash": Crash,
    "leave": Leave,
    "pause": Pause,
    "slow": Slow,
    "cut": Cut,
    "partition": Partition,
    "conditions": Conditions,
    "clock": Clock,
    "disk": DiskTrouble,
    "restore": Restore,
}
"""The kinds by the name that a schedule file gives them."""


def kind_of(fault: Fault) -> str:
    """The name of a fault's kind, as schedule files have it."""
    return str(fault.__struct_config__.tag)


def names_in(fault: Fault) -> Iterator[str]:
    """The peers that a fault names; words for a chosen one are not among them."""
    near = fault.near if isinstance(fault, Partition) else ()
    for name in (getattr(fault, "peer", ""), getattr(fault, "other", ""), *near):
        if name and name not in CHOSEN:
            yield name


def end_ms(fault: Fault) -> float:
    """When a fault ends, as far as it says so: for timelines."""
    lasts = getattr(fault, "down_ms", 0.0) or getattr(fault, "for_ms", 0.0)
    return fault.at_ms + float(lasts)
