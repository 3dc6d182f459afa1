"""What the demo needs of a mesh: a few calls, and a way to kill a peer.

The command line gives the real mesh; tests give one that lives in their process.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from mesh.demo.findings import Finding

AGENTS = Path(__file__).parent / "agents"

_HOSTED = {
    "peer-1": ("planner", "merger", "lint", "evidence", "juror"),
    "peer-2": ("security", "exposure", "juror"),
    "peer-3": ("security", "complexity", "idiom", "juror"),
    "peer-4": ("security", "complexity", "evidence", "juror"),
    "peer-5": ("planner", "merger", "lint", "exposure", "idiom", "juror"),
}
_MORE = {"peer-6": ("juror",), "peer-7": ("liar",)}
"""With a liar there are seven peers: a peer is killed besides, and f = 2 of them may fail."""

AGENTS_BY_PEER: dict[str, list[Path]] = {
    peer: [AGENTS / f"{name}.py" for name in names] for peer, names in _HOSTED.items()
}
"""The agent files of each of the five peers. Every agent has two peers at least, so
that any one may die; the three specialists share no peer with all of their kind."""


def placed(liar: bool) -> dict[str, list[Path]]:
    """The agent files of each peer, with a juror that lies where one is wanted."""
    more = {peer: [AGENTS / f"{name}.py" for name in names] for peer, names in _MORE.items()}
    return {**AGENTS_BY_PEER, **(more if liar else {})}


class Outcome(Protocol):
    """How one task ended. `producer` is the peer that did it, by name or id."""

    @property
    def task(self) -> str:
        """Its id."""

    @property
    def state(self) -> str:
        """``done``, or another word for not."""

    @property
    def value(self) -> Any:
        """What its handler returned, as plain values."""

    @property
    def error(self) -> Any:
        """What went wrong, where it did."""

    @property
    def attempts(self) -> int:
        """How many attempts were made."""

    @property
    def producer(self) -> str | None:
        """The peer whose attempt counts."""


class DemoVote(Protocol):
    """What one juror said."""

    @property
    def peer(self) -> str:
        """Its name."""


class DemoDecision(Protocol):
    """What the jurors settled."""

    @property
    def outcome(self) -> Any:
        """What won; None where it is undecided."""

    @property
    def status(self) -> str:
        """``certified``, ``leaning`` or ``undecided``."""

    @property
    def margin(self) -> int:
        """How clearly."""

    @property
    def needed(self) -> int:
        """What the margin must exceed to be beyond any liar's reach."""

    @property
    def dissent(self) -> Sequence[DemoVote]:
        """Who said something else."""

    @property
    def certificate(self) -> bytes:
        """The proof."""


class DemoClient(Protocol):
    """The part of `mesh.Client` that the demo uses."""

    def map_unordered(
        self, skill: str, inputs: Iterable[dict[str, Any]]
    ) -> Iterator[tuple[int, Outcome]]:
        """One task per input; each with its index as it ends."""

    def decide(
        self, skill: str, input: dict[str, Any], *, options: Sequence[str], close: float
    ) -> DemoDecision:
        """A ballot of all electors on what a skill returns."""

    def peers(self) -> list[dict[str, Any]]:
        """Every peer as the mesh sees it: at least ``name``, ``id`` and ``state``."""

    def close(self) -> None:
        """Lets go of the connection."""


class DemoMesh(Protocol):
    """A mesh of the peers of `AGENTS_BY_PEER`, up and converged."""

    def connect(self) -> DemoClient:
        """A client of its own for whoever asks: each thread of the demo does."""

    def kill(self, peer: str) -> None:
        """SIGKILL for a peer, by name."""

    def root_public(self) -> bytes:
        """The file with the mesh's public root key."""


class Explainer(Protocol):
    """Explains a finding to people. A language model may stand behind it."""

    def explain(self, finding: Finding, source: str) -> str | None:
        """A paragraph of Markdown, or None for nothing to say.

        Args:
            finding: what to explain.
            source: the lines around it.
        """
