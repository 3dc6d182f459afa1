"""What a peer keeps of invitations on disk."""

import msgspec

from protocols.credentials import CurveField
from protocols.wire import CountField, NameField, PeerIdField


class InvitationKept(msgspec.Struct, frozen=True, array_like=True, tag="invitations.kept"):
    """An invitation that was opened, and when it ends by the wall clock."""

    key: PeerIdField
    not_after_ns: CountField
    roles: tuple[NameField, ...] = ()


class InvitationSpent(msgspec.Struct, frozen=True, array_like=True, tag="invitations.spent"):
    """It was used, by this newcomer alone."""

    key: PeerIdField
    peer: PeerIdField
    curve: CurveField


Record = InvitationKept | InvitationSpent
RECORDS = (InvitationKept, InvitationSpent)
