"""What leaves a core once the records it rests on are durable."""

import msgspec


class Transmit(msgspec.Struct, frozen=True, gc=False):
    """Encoded messages for one peer, to leave in as few frames as their size allows."""

    to: bytes
    messages: tuple[bytes, ...]


class Notify(msgspec.Struct, frozen=True, gc=False):
    """An event for agents, clients and people."""

    event: msgspec.Struct


class Execute(msgspec.Struct, frozen=True, gc=False):
    """Work for this peer's workers."""

    job: msgspec.Struct


class Accuse(msgspec.Struct, frozen=True, gc=False):
    """A peer broke a protocol."""

    peer: bytes
    offence: str
    evidence: tuple[bytes, ...]


Outward = Transmit | Notify | Execute | Accuse
