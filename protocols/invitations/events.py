"""What is told of invitations, once it is on disk."""

import msgspec


class InvitationOpened(msgspec.Struct, frozen=True, tag="invitations.opened"):
    """Whoever proves to hold the secret behind `key` may join, until then by the wall clock."""

    request: int
    key: bytes
    not_after_ns: int


class InvitationRedeemed(msgspec.Struct, frozen=True, tag="invitations.redeemed"):
    """This newcomer is to be given a credential, for these keys; nobody else will be."""

    request: int
    key: bytes
    peer: bytes
    curve: bytes
    name: str
    roles: tuple[str, ...] = ()
    """Beside that of a peer."""
