"""How the views of one settlement ended, as far as one elector knows."""

from protocols.voting.marks import FINALISE, NULLIFY, Proof


class Proofs:
    """The notarisation and the nullification of each view.

    Attributes:
        notarised, nullified: by their views; a view may have both.
    """

    def __init__(self) -> None:
        """Begins with none."""
        self.notarised: dict[int, Proof] = {}
        self.nullified: dict[int, Proof] = {}

    def is_known(self, proof: Proof) -> bool:
        """Whether a view is known to have ended that way."""
        known = self.nullified if proof.phase == NULLIFY else self.notarised
        return proof.phase != FINALISE and proof.view in known

    def is_over(self, view: int) -> bool:
        """Whether a view is known to have ended."""
        return view in self.nullified or view in self.notarised

    def of(self, view: int) -> list[Proof]:
        """How a view ended."""
        return [known[view] for known in (self.nullified, self.notarised) if view in known]

    def parent(self, view: int) -> int:
        """The last view before one that was notarised; 0 for none."""
        return max((v for v in self.notarised if v < view), default=0)

    def are_nullified(self, after: int, before: int) -> bool:
        """Whether all views between two are known to be nullified."""
        return all(view in self.nullified for view in range(after + 1, before))

    def in_turn(self, view: int, turn: int) -> list[int]:
        """Which of the views before one to show: the last, and in turn one since its parent."""
        first = max(1, self.parent(view))
        return sorted({first + turn % max(1, view - first), view - 1})
