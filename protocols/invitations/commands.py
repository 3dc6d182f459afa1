"""What the peer's own machine asks of its invitations."""

import msgspec

from protocols.invitations.messages import Join


class OpenInvitation(msgspec.Struct, frozen=True):
    """Let one newcomer in who proves to hold the secret behind `key`, for so long.

    Answered by `InvitationOpened`, once it is on disk.
    """

    request: int
    key: bytes
    """The public half of a key pair made for this invitation."""
    valid_ns: int
    roles: tuple[str, ...] = ()
    """What the newcomer may beside being a peer."""


class Redeem(msgspec.Struct, frozen=True):
    """A newcomer came to the door; its connection proved to hold the CURVE key `curve`.

    Answered by `InvitationRedeemed`, once it is on disk that it was used.
    """

    request: int
    join: Join
    curve: bytes
