"""Fault schedules for a simulated mesh of real handlers: from data, by name, or from a file."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from simulations.finding import find_scenario
from simulations.plan import draw
from simulations.scenario import Scenario
from simulations.schedule import Fault


def faults_of(schedule: Sequence[Fault] | str | Path, seed: int, peers: int) -> tuple[Fault, ...]:
    """The faults of a schedule, everything drawn that the seed draws.

    Only a scenario's faults are taken: the load, the agents and the liars are a test's own.

    Raises:
        PlanError: there is no such scenario, or a fault names a peer that is not here.
    """
    if isinstance(schedule, str | Path):
        scenario = find_scenario(str(schedule))
    else:
        scenario = Scenario(name="schedule", faults=tuple(schedule))
    own = msgspec.structs.replace(scenario, peers=peers, liars=())
    return draw(own, seed).faults
