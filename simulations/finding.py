"""Finds what people name: a scenario by its name or its file, and what resembles a wrong name."""

import difflib
from pathlib import Path

import msgspec

from simulations.experiments.catalogue import EXPERIMENTS
from simulations.keyrings import Signatures
from simulations.plan import Plan, PlanError, load
from simulations.scenario import PEERS_MOST, SCENARIOS, Scenario, load_scenario
from simulations.schedule import names_in

PEERS_LEAST = 2
RESEMBLING = 3


class NoSuchScenario(PlanError):
    """No scenario has this name, and no file either."""


def find_scenario(word: str) -> Scenario:
    """The scenario of this name, or in this TOML file.

    Raises:
        NoSuchScenario: there is neither; suggests names.
        PlanError: the file cannot be read; says where.
    """
    known = SCENARIOS.get(word)
    if known is not None:
        return known
    path = Path(word)
    if path.suffix == ".toml" or "/" in word:
        return _read(path)
    if word in EXPERIMENTS:
        hint = f"it is an experiment: mesh sim experiment {word}"
        raise NoSuchScenario(f"no scenario is called {word!r}: {hint}")
    near = difflib.get_close_matches(word, SCENARIOS, RESEMBLING, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`mesh sim list` shows them"
    raise NoSuchScenario(f"no scenario is called {word!r}: {hint}")


def _read(path: Path) -> Scenario:
    try:
        return load_scenario(path)
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from None


def read_plan(path: Path) -> Plan:
    """A plan from its file, of which every fault can strike.

    Raises:
        PlanError: it cannot be read, is no plan, or does not fit together; says where.
    """
    try:
        plan = load(path)
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from None
    names = [f"peer-{index + 1}" for index in range(plan.scenario.peers)]
    for fault in plan.faults:
        for name in names_in(fault):
            if name not in names:
                raise PlanError(f"{path}: a fault at {fault.at_ms:g} ms names {name!r}")
    return Plan(resized(plan.scenario, plan.scenario.peers, None), plan.seed, plan.faults)


def resized(
    scenario: Scenario,
    peers: int | None,
    duration_s: float | None,
    signatures: Signatures | None = None,
) -> Scenario:
    """The scenario with another number of peers, another length, other signatures.

    Raises:
        PlanError: the mesh would be too small, or too large.
    """
    if peers is not None:
        least = max(PEERS_LEAST, len(scenario.liars) + 1)
        if not least <= peers <= PEERS_MOST:
            raise PlanError(f"{scenario.name} needs {least} to {PEERS_MOST} peers, not {peers}")
        scenario = msgspec.structs.replace(scenario, peers=peers)
    if duration_s is not None:
        scenario = msgspec.structs.replace(scenario, duration_s=duration_s)
    if signatures is not None:
        scenario = msgspec.structs.replace(scenario, signatures=signatures)
    return scenario
