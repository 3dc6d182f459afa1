"""Whether an elector may trust its own disk, and what it waits for until it knows.

    waiting   after a start with something remembered: it has asked the other electors what they
              have seen of it, and signs nothing until a quorum, itself counted, has told
    standing  it signs
    restored  somebody has shown a statement of its own that its disk does not have: the disk is
              an older copy. It waits (again), and what began before then it never signs in

A statement is believed for its own signature, so nobody can make one up, and an old one that
the disk has is no news. Whoever does not answer is not waited for beyond a quorum. All answer
while they wait themselves, so a whole mesh that starts anew goes on as soon as its links are up.
"""

from collections.abc import Callable, Sequence

import msgspec

from protocols.machine import SECOND_NS, Instant, Now
from protocols.quorum import quorum

ASK_NS = SECOND_NS
"""How often those that have not told yet are asked again."""


class StandingRecord(msgspec.Struct, frozen=True, array_like=True, tag="voting.standing"):
    """Whether this disk was found to be an older copy; a later record replaces it.

    `bar` is of the log: the last height that may have begun before.
    """

    is_restored: bool
    bar: int = 0


class Standing:
    """What one elector knows of how far it may trust its disk.

    Attributes:
        is_waiting: it signs nothing now.
        is_restored: its disk is an older copy, and it has not been readmitted.
    """

    def __init__(self, me: bytes) -> None:
        """Begins as one that has nothing to remember."""
        self._me = me
        self.is_waiting = False
        self.is_restored = False
        self._number = 0
        self._ask_at: Instant | None = None
        self._told: dict[bytes, int] = {}

    def doubt(self, is_restored: bool = False, anew: bool = False) -> None:
        """Asks before anything is signed; what is asked already is asked once, or `anew`."""
        self.is_restored = self.is_restored or is_restored
        if self.is_waiting and not anew:
            return
        self.is_waiting = True
        self._number, self._ask_at = 0, None
        self._told.clear()

    def admit(self) -> None:
        """A quorum has told: it signs again."""
        self.is_waiting = self.is_restored = False
        self._told.clear()

    def ask(
        self, electors: Sequence[bytes], is_down: Callable[[bytes], bool], now: Now
    ) -> tuple[int, list[bytes]]:
        """The number of the enquiry, and who is to be asked now."""
        if not self.is_waiting or (self._ask_at is not None and now.monotonic_ns < self._ask_at):
            return self._number, []
        # By the wall clock, so that what was told to an earlier life is not taken for an answer.
        self._number = self._number or now.wall_ns
        self._ask_at = now.monotonic_ns + ASK_NS
        others = [peer for peer in electors if peer != self._me and peer not in self._told]
        return self._number, [peer for peer in others if not is_down(peer)]

    def ask_soon(self) -> None:
        """Somebody is there that was not: whoever has not told is asked at once."""
        self._ask_at = None

    def is_answer(self, peer: bytes, number: int) -> bool:
        """Whether it is the first answer of a peer to what is asked now."""
        return self.is_waiting and number == self._number and peer not in self._told

    def hear(self, peer: bytes, reached: int = 0) -> None:
        """A peer has told all that it has seen of this one; it is as far as `reached`."""
        self._told[peer] = reached

    def is_enough(self, electors: Sequence[bytes], reached: int = 0) -> bool:
        """Whether a quorum has told, of what lies no further than this elector is itself."""
        told = sum(self._told.get(peer, reached + 1) <= reached for peer in electors)
        return self.is_waiting and 1 + told >= quorum(len(electors))

    def ahead(self, reached: int) -> list[bytes]:
        """Those that have told of more than this elector has."""
        return [peer for peer, theirs in self._told.items() if theirs > reached]

    def deadline(self) -> Instant | None:
        """When whoever has not told is to be asked again."""
        return self._ask_at if self.is_waiting else None
