"""What gossip keeps on disk: its incarnations, where others can be met, what authorities said."""

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


class StatementKept(msgspec.Struct, frozen=True, array_like=True, tag="gossip.statement-kept"):
    """What an authority stated, as it signed it (`protocols/statements.py`)."""

    envelope: Signed


Record = IncarnationsReserved | AcquaintanceMade | AcquaintanceLost | StatementKept
KINDS = (IncarnationsReserved, AcquaintanceMade, AcquaintanceLost, StatementKept)
