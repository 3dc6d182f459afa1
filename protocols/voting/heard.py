"""The marks that one settlement has heard, by view, phase and elector."""

from collections.abc import Sequence

from protocols.identity import Keyring
from protocols.voting.marks import FINALISE, NULLIFY, PHASES, is_marked
from protocols.voting.settling_faces import Said

_OPPOSITE = {NULLIFY: FINALISE, FINALISE: NULLIFY}


class Heard:
    """Who signed what, one mark of each elector in a phase of a view."""

    def __init__(self) -> None:
        """Begins with none."""
        self._marks: dict[tuple[int, str], dict[int, Said]] = {}

    def add(self, said: Said) -> None:
        """Takes a mark that contradicts none."""
        self._marks.setdefault((said.view, said.phase), {})[said.elector] = said

    def get(self, view: int, phase: str, elector: int) -> Said | None:
        """An elector's mark in a phase."""
        return self._marks.get((view, phase), {}).get(elector)

    def rival(self, said: Said) -> Said | None:
        """What the same elector signed in that phase, or in the one that excludes it."""
        known = self.get(said.view, said.phase, said.elector)
        return known or self.get(said.view, _OPPOSITE.get(said.phase, ""), said.elector)

    def same(self, said: Said) -> dict[int, bytes]:
        """The signatures of all that signed just that."""
        heard = self._marks.get((said.view, said.phase), {})
        return {e: other.signature for e, other in heard.items() if other.digest == said.digest}

    def last_of(self, elector: int) -> list[Said]:
        """What an elector has signed in the last view that it has signed something in."""
        views = [view for (view, _), heard in self._marks.items() if elector in heard]
        last = max(views, default=0)
        said = [self.get(last, phase, elector) for phase in PHASES]
        return [mark for mark in said if mark is not None]

    def forget_before(self, view: int, but: int) -> None:
        """Views before one are of no use any more, except for one elector's own marks."""
        for key in [key for key in self._marks if key[0] < view]:
            kept = self._marks.pop(key)
            if but in kept:
                self._marks[key] = {but: kept[but]}

    def views(self) -> list[int]:
        """The views that are known of."""
        return [view for view, _ in self._marks]


def opposite_of(phase: str) -> str:
    """The phase in which nobody honest signs who has signed in this one; empty for none."""
    return _OPPOSITE.get(phase, "")


def is_signed(
    said: Said, epoch: int, instance: bytes, electors: Sequence[bytes], keyring: Keyring
) -> bool:
    """Whether an elector really signed a mark, and it has the form of one."""
    if not 0 <= said.elector < len(electors) or said.phase not in PHASES:
        return False
    if len(said.digest) != (0 if said.phase == NULLIFY else 32):
        return False
    author, what = electors[said.elector], (said.view, said.phase, said.digest)
    return is_marked(keyring, author, epoch, instance, *what, said.signature)
