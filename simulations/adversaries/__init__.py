"""Peers that lie, one kind of lie a file, by name."""

from simulations.adversaries.bidders import Defaulter, Underbidder, Unrevealed
from simulations.adversaries.board import (
    BoardFlooder,
    Dropper,
    Eraser,
    Forger,
    Forker,
    Futurist,
    Withholder,
)
from simulations.adversaries.counterfeiter import Counterfeiter
from simulations.adversaries.flooder import Flooder
from simulations.adversaries.garbler import Garbler
from simulations.adversaries.ghosts import Ghosts
from simulations.adversaries.impersonator import Impersonator
from simulations.adversaries.latecomer import Latecomer
from simulations.adversaries.meddler import Meddler
from simulations.adversaries.multitude import Multitude
from simulations.adversaries.notary import Notary
from simulations.adversaries.outcast import Outcast
from simulations.adversaries.poisoner import Poisoner
from simulations.adversaries.replayer import Replayer
from simulations.adversaries.slanderer import Inflater, Slanderer
from simulations.adversaries.understater import Understater
from simulations.adversaries.voting import (
    Absentee,
    Dripper,
    Equivocator,
    Plagiarist,
    Reticent,
    Turncoat,
)
from simulations.adversary import Adversary

ADVERSARIES: dict[str, type[Adversary]] = {
    "garbler": Garbler,
    "ghosts": Ghosts,
    "slanderer": Slanderer,
    "inflater": Inflater,
    "unrevealed": Unrevealed,
    "underbidder": Underbidder,
    "defaulter": Defaulter,
    "meddler": Meddler,
    "replayer": Replayer,
    "flooder": Flooder,
    "impersonator": Impersonator,
    "latecomer": Latecomer,
    "multitude": Multitude,
    "poisoner": Poisoner,
    "understater": Understater,
    "outcast": Outcast,
    "forker": Forker,
    "forger": Forger,
    "scribbler": BoardFlooder,
    "futurist": Futurist,
    "withholder": Withholder,
    "overstater": Dropper,
    "eraser": Eraser,
    "counterfeiter": Counterfeiter,
    "equivocator": Equivocator,
    "turncoat": Turncoat,
    "reticent": Reticent,
    "absentee": Absentee,
    "dripper": Dripper,
    "plagiarist": Plagiarist,
    "notary": Notary,
}
