"""A peer's own incarnations: never one twice, however often it restarts.

They are reserved in blocks. The record of a block is synced to disk before any
message of the step that first used it leaves (the core's gate), so what a
restarted peer finds on disk bounds all that it can have announced.
"""

from protocols.gossip.outbox import Outbox
from protocols.gossip.parameters import INCARNATION_LIMIT
from protocols.gossip.records import IncarnationsReserved


class Incarnations:
    """The present incarnation, 0 before the first, and the end of the reserved block."""

    def __init__(self, block: int) -> None:
        self._block = block
        self.present = 0
        self.reserved = 0

    def restore(self, reserved: int) -> None:
        """Continues above a block that an earlier boot reserved."""
        self.reserved = max(self.reserved, reserved)
        self.present = self.reserved

    def raise_above(self, seen: int, outbox: Outbox) -> int:
        """The next incarnation, above the present one and above `seen`."""
        following = max(self.present, seen) + 1
        assert following <= INCARNATION_LIMIT, "this identity has used up its incarnations"
        if following > self.reserved:
            self.reserved = following + self._block - 1
            outbox.persist(IncarnationsReserved(self.reserved), sync=True)
        self.present = following
        return following
