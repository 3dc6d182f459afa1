"""Scenarios: how many peers, which load, and what faults to expect. `plan.draw` draws the rest."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from mesh.core.settings import CoreSettings
from simulations.agent_load import AgentLoad
from simulations.agents import Behaviour
from simulations.blob_load import BlobLoad
from simulations.board_load import BoardLoad
from simulations.keyrings import Signatures
from simulations.load import Load
from simulations.schedule import DiskKind, Fault, Milliseconds, Share
from simulations.voting_load import VotingLoad

PEERS_MOST = 1_000
FOLDER = Path(__file__).parent / "scenarios"
LIES = {
    "garbler": "bytes that are no frames, and messages that are cut or swollen",
    "ghosts": "members that do not exist",
    "slanderer": "accusations of everybody, and false ones in others' names",
    "inflater": "incarnations beyond measure, its own and others'",
    "unrevealed": "bids that it never opens",
    "underbidder": "a better bid opened than was sealed",
    "defaulter": "work that it wins and never speaks of again",
    "meddler": "word of attempts that it was never given",
    "replayer": "whatever it ever heard or said, again",
    "flooder": "more than anybody wants to hear",
    "impersonator": "farewells and new doors in others' names",
    "latecomer": "results of attempts that are over, and false ones of others",
    "multitude": "that it is many: names, doors and boots beyond number",
    "poisoner": "times, loads and counts at the limits of what a message can hold",
    "understater": "bids that claim far too little, sealed and opened alike",
    "forker": "on the blackboard one thing to some and another to others, under one number",
    "forger": "ops of the blackboard that their writers never signed",
    "scribbler": "more on the blackboard than anybody wants to read, and beside the point",
    "futurist": "that what it writes is of years to come",
    "withholder": "that what others wrote is superseded by what is not",
    "overstater": "that it has, and has collected, what nobody ever wrote",
    "eraser": "on the blackboard that it supersedes what it never saw",
    "counterfeiter": "that other bytes are a blob's",
    "equivocator": "as a leader, one proposal to some and another to others",
    "turncoat": "two answers to one ballot",
    "reticent": "few of its marks, and those to some only",
    "absentee": "nothing where it leads, though it is there",
    "dripper": "everything about votes as late as it can",
    "plagiarist": "in one ballot or epoch what others signed in another, in the log what was voted",
    "notary": "certificates, proofs and electorates that nobody but itself has signed",
    "outcast": "no lie, but it is revoked, and goes on as if it were not",
}
"""Each kind of liar, and what it says."""
ELECTORS_LIES = (
    "equivocator", "turncoat", "reticent", "absentee", "dripper", "plagiarist", "notary",
)  # fmt: skip
"""Those that lie where something is voted on."""


Rate = Annotated[float, msgspec.Meta(ge=0)]
"""How many to expect in a virtual second."""


class Rates(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What `draw` draws faults from.

    Kinds of faults have a rate: how many to expect in a virtual second, in the whole
    mesh. Shares and probabilities are from 0 to 1.
    """

    loss: Share = 0.0
    duplication: Share = 0.0
    reorder: Share = 0.0
    crashes: Rate = 0.0
    power: Share = 0.0
    """The share of crashes in which the whole machine loses power."""
    leaves: Rate = 0.0
    moves: Share = 0.0
    """The share of restarts that come back at another door."""
    pauses: Rate = 0.0
    cuts: Rate = 0.0
    partitions: Rate = 0.0
    one_way: Share = 0.5
    """The share of cuts, and of partitions, that are in one direction."""
    bad_links: Rate = 0.0
    """Links that get slow, narrow, lossy or all of it for a while."""
    disks: Rate = 0.0
    disk_kinds: tuple[DiskKind, ...] = (
        "full", "failing", "hanging", "slow", "rot", "rot-in-log",
    )  # fmt: skip
    clocks: Rate = 0.0
    restores: Rate = 0.0
    slow: Share = 0.0
    """The share of peers that are slow, four to twenty times."""
    down_most_ms: Milliseconds = 6_000
    """No peer is down, stopped or cut off for longer; at least a second."""


class Scenario(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What may happen in a run; the seed draws what does."""

    name: str
    summary: str = ""
    peers: Annotated[int, msgspec.Meta(ge=1, le=PEERS_MOST)] = 5
    duration_s: Annotated[float, msgspec.Meta(gt=0)] = 15.0
    """How long load and faults last; peace follows."""
    load: Load = Load()
    agents: AgentLoad = AgentLoad()
    board: BoardLoad = BoardLoad()
    blobs: BlobLoad = BlobLoad()
    voting: VotingLoad = VotingLoad()
    rates: Rates = Rates()
    faults: tuple[Fault, ...] = ()
    """Faults that strike in every run, beside those that are drawn."""
    behaviour: Behaviour = Behaviour(duration_ms=150, spread=0.9)
    liars: tuple[str, ...] = ()
    """Adversaries by name (`LIES`): the last peers of the mesh. ``each``: the seed draws one."""
    must_meet: tuple[str, ...] = ()
    """Coverage counters that a sweep has to reach; see `unmet`."""
    signatures: Signatures = "stand-in"
    settings: CoreSettings | None = None
    """Parameters of the cores; the defaults of production, where None."""


class PlanError(ValueError):
    """A plan or scenario cannot be read, or does not fit together. The message says where."""


def load_scenario(path: Path) -> Scenario:
    """Reads a scenario from a TOML file.

    Raises:
        OSError: there is no such file, or it cannot be read.
        PlanError: it holds no scenario; names file, key and place.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Scenario)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: {error}") from None


def _named() -> Iterator[Scenario]:
    for path in sorted(FOLDER.glob("*.toml")):
        yield load_scenario(path)
    for name in ELECTORS_LIES:
        yield _electors_scenario(name)
    for name, lie in LIES.items():
        if name in ELECTORS_LIES:
            continue
        yield Scenario(
            name=f"byzantine-{name}",
            summary=f"One liar: {lie}.",
            liars=(name,),
            board=BoardLoad(writes=60),
            blobs=BlobLoad(puts=9 if name == "counterfeiter" else 0),
        )


def _electors_scenario(name: str) -> Scenario:
    """Many ballots and orders over bad links, and little else."""
    return Scenario(
        name=f"byzantine-{name}",
        summary=f"One liar among the electors: {LIES[name]}.",
        liars=(name,),
        load=Load(submissions=2),
        voting=VotingLoad(
            ballots=30, orders=50, changes=8 if name == "plagiarist" else 0, skew_ms=400
        ),
        rates=Rates(
            loss=0.08,
            duplication=0.02,
            reorder=0.05,
            crashes=0.2,
            power=0.3,
            cuts=0.4,
            partitions=0.4,
            one_way=0.8,
        ),
    )


SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _named()}
"""Every named scenario."""


def unmet(scenario: Scenario, coverage: Mapping[str, int]) -> tuple[str, ...]:
    """What a scenario promises to meet and never met, in the coverage of a whole sweep."""
    return tuple(what for what in scenario.must_meet if not coverage.get(what))
