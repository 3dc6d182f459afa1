"""What the runtime tells the core about itself and its links."""

import msgspec


class Announce(msgspec.Struct, frozen=True):
    """This peer is up: its name, and the address of its door."""

    name: str
    door: str


class LinkOpened(msgspec.Struct, frozen=True):
    """A new outgoing link to a peer is up."""

    peer: bytes
    epoch: int


class LinkClosed(msgspec.Struct, frozen=True):
    """An outgoing link broke. `refused`: a redial was refused, so nobody listens there."""

    peer: bytes
    refused: bool
