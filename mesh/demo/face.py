"""What the demo needs of a mesh: a few calls, and a way to kill a peer.

The command line gives the real mesh; tests give one that lives in their process.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from mesh.demo.findings import Finding

AGENTS = Path(__file__).parent / "agents"

_HOSTED = {
    "peer-1": ("planner", "merger", "lint", "evidence"),
    "peer-2": ("security", "exposure"),
    "peer-3": ("security", "complexity", "idiom"),
    "peer-4": ("security", "complexity", "evidence"),
    "peer-5": ("planner", "merger", "lint", "exposure", "idiom"),
}

AGENTS_BY_PEER: dict[str, list[Path]] = {
    peer: [AGENTS / f"{name}.py" for name in names] for peer, names in _HOSTED.items()
}
"""The agent files of each of the five peers. Every agent has two peers at least, so
that any one may die; the three specialists share no peer with all of their kind."""


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


class DemoClient(Protocol):
    """The part of `mesh.Client` that the demo uses."""

    def map_unordered(
        self, skill: str, inputs: Iterable[dict[str, Any]]
    ) -> Iterator[tuple[int, Outcome]]:
        """One task per input; each with its index as it ends."""

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


class Explainer(Protocol):
    """Explains a finding to people. A language model may stand behind it."""

    def explain(self, finding: Finding, source: str) -> str | None:
        """A paragraph of Markdown, or None for nothing to say.

        Args:
            finding: what to explain.
            source: the lines around it.
        """
