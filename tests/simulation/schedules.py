"""A small run, and what Hypothesis draws its faults from."""

from hypothesis import strategies as st

from simulations.agents import Behaviour
from simulations.load import Load
from simulations.scenario import Scenario
from simulations.schedule import (
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
)

PEERS = 3
DURATION_S = 3.0
SMALL = Scenario(
    name="small",
    peers=PEERS,
    duration_s=DURATION_S,
    load=Load(submissions=12, batch_most=6, slots=2),
    behaviour=Behaviour(duration_ms=60, spread=0.9),
)

_at = st.integers(0, round(DURATION_S * 1_000)).map(float)
_who = st.sampled_from(["peer-1", "peer-2", "peer-3", "working", "busy"])
_for = st.integers(1, 3_000).map(float)
_draw = st.just(0)
_share = st.sampled_from([0.0, 0.1, 0.5])


def faults() -> st.SearchStrategy[Fault]:
    """Any one fault; simpler ones come first, so that Hypothesis shrinks towards them."""
    return st.one_of(
        st.builds(
            Crash,
            at_ms=_at,
            draw=_draw,
            peer=_who,
            down_ms=_for,
            fuse=st.none() | st.integers(0, 20),
            moved=st.booleans(),
            power=st.booleans(),
        ),
        st.builds(Pause, at_ms=_at, draw=_draw, peer=_who, for_ms=_for),
        st.builds(Cut, at_ms=_at, draw=_draw, peer=_who, both=st.booleans(), for_ms=_for),
        st.builds(
            Partition,
            at_ms=_at,
            draw=_draw,
            near=st.sampled_from([("peer-1",), ("peer-2",), ("peer-1", "peer-3")]),
            one_way=st.booleans(),
            for_ms=_for,
        ),
        st.builds(Leave, at_ms=_at, draw=_draw, peer=_who, down_ms=_for),
        st.builds(Slow, at_ms=_at, draw=_draw, peer=_who, for_ms=_for),
        st.builds(
            DiskTrouble,
            at_ms=_at,
            draw=_draw,
            peer=_who,
            kind=st.sampled_from(["full", "failing", "hanging", "slow", "rot", "rot-in-log"]),
            for_ms=_for,
            down_ms=_for,
        ),
        st.builds(
            Clock,
            at_ms=_at,
            draw=_draw,
            peer=_who,
            drift_ppm=st.sampled_from([0, 500, -500, 10_000]),
            jump_ms=st.sampled_from([0.0, -3_600_000.0, 2_000.0]),
        ),
        st.builds(
            Restore, at_ms=_at, draw=_draw, peer=_who, age_ms=_for, down_ms=_for
        ),
        st.builds(
            Conditions,
            at_ms=_at,
            draw=_draw,
            loss=_share,
            duplication=_share,
            reorder=_share,
            shape=st.sampled_from(["uniform", "lognormal", "pareto"]),
            bandwidth=st.sampled_from([0, 50_000]),
            for_ms=_for,
        ),
    )  # fmt: skip
