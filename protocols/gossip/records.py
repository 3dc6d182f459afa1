"""What gossip keeps on disk: its incarnations, and where other members can be met."""

import msgspec

from protocols.wire import PeerIdField, Signed


class IncarnationsReserved(
    msgspec.Struct, frozen=True, array_like=True, tag="gossip.incarnations-reserved"
):
    """Incarnations up to `last` may have been announced; a restarted peer begins above."""

    last: int


class AcquaintanceMade(msgspec.Struct, frozen=True, array_like=True, tag="gossip.acquaintance"):
    """A member's own record, as it signed it."""

    envelope: Signed


class AcquaintanceLost(
    msgspec.Struct, frozen=True, array_like=True, tag="gossip.acquaintance-lost"
):
    """A member left, or was forgotten."""

    peer: PeerIdField


Record = IncarnationsReserved | AcquaintanceMade | AcquaintanceLost
KINDS = (IncarnationsReserved, AcquaintanceMade, AcquaintanceLost)
