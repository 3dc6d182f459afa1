"""Scenarios: how many peers, which load, and what faults to expect. `plan.draw` draws the rest."""

from collections.abc import Mapping

import msgspec

from mesh.core.settings import CoreSettings
from simulations.agents import Behaviour
from simulations.load import Load
from simulations.schedule import Fault

PEERS_MOST = 1_000


class Rates(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What `draw` draws faults from.

    Kinds of faults have a rate: how many to expect in a virtual second, in the whole
    mesh. Shares and probabilities are from 0 to 1.
    """

    loss: float = 0.0
    duplication: float = 0.0
    reorder: float = 0.0
    crashes: float = 0.0
    pauses: float = 0.0
    cuts: float = 0.0
    leaves: float = 0.0
    full_disks: float = 0.0
    partitions: float = 0.0
    moves: float = 0.0
    """The share of restarts that come back at another door."""
    slow: float = 0.0
    """The share of peers that are slow, four to twenty times."""
    down_most_ms: float = 6_000


class Scenario(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What may happen in a run; the seed draws what does."""

    name: str
    summary: str = ""
    peers: int = 5
    duration_s: float = 15.0
    """How long load and faults last; peace follows."""
    load: Load = Load()
    rates: Rates = Rates()
    faults: tuple[Fault, ...] = ()
    """Faults that strike in every run, beside those that are drawn."""
    behaviour: Behaviour = Behaviour(duration_ns=150_000_000, spread=0.9)
    liars: tuple[str, ...] = ()
    """Adversaries by name (`simulations.adversaries`): the last peers of the mesh."""
    must_meet: tuple[str, ...] = ()
    """Coverage counters that a sweep has to reach; see `unmet`."""
    settings: CoreSettings | None = None
    """Parameters of the cores; the defaults of production, where None."""


_SICK = Behaviour(duration_ns=150_000_000, spread=0.9, failing=0.05, hanging=0.02, crashing=0.03)
_EVERYTHING = Rates(
    loss=0.02, duplication=0.01, reorder=0.01, crashes=0.25, pauses=0.15, cuts=0.15,
    leaves=0.07, full_disks=0.07, partitions=0.07, moves=0.2, slow=0.2,
)  # fmt: skip
_DEEP = Load(submissions=25, nested=0.8, depth_most=10, slots=1, deadline=0.0, cancelled=0.1)
LIARS = (
    "garbler", "ghosts", "slanderer", "inflater", "unrevealed", "underbidder", "defaulter",
    "meddler", "replayer",
)  # fmt: skip

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="calm", peers=7),
        Scenario(name="lossy", rates=Rates(loss=0.05, duplication=0.02, reorder=0.02)),
        Scenario(name="crashes", rates=Rates(crashes=0.5, moves=0.2)),
        Scenario(name="pauses", rates=Rates(pauses=0.3)),
        Scenario(name="cuts", rates=Rates(cuts=0.3, partitions=0.1)),
        Scenario(name="deaf", rates=Rates(cuts=1.0, down_most_ms=10_000)),
        Scenario(name="disks", rates=Rates(full_disks=0.4, crashes=0.1)),
        Scenario(name="leaves", rates=Rates(leaves=0.4, moves=0.5)),
        Scenario(name="sick", behaviour=_SICK, rates=Rates(slow=0.3)),
        Scenario(name="nested", load=_DEEP),
        Scenario(name="nested-crashes", load=_DEEP, rates=Rates(crashes=0.3, loss=0.01)),
        Scenario(name="pair", peers=2, rates=Rates(crashes=0.3, pauses=0.1, loss=0.02)),
        Scenario(name="everything", rates=_EVERYTHING, behaviour=_SICK),
        *(Scenario(name=f"liar-{name}", liars=(name,)) for name in LIARS),
        Scenario(name="slander-by-two", peers=7, liars=("slanderer", "slanderer")),
        Scenario(
            name="liars",
            peers=7,
            liars=("meddler", "replayer"),
            rates=Rates(loss=0.01, crashes=0.2, duplication=0.01),
        ),
    )
}
"""Every named scenario."""


def unmet(scenario: Scenario, coverage: Mapping[str, int]) -> tuple[str, ...]:
    """What a scenario promises to meet and never met, in the coverage of a whole sweep."""
    return tuple(what for what in scenario.must_meet if not coverage.get(what))
