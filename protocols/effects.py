"""What a machine may ask of the world. Effects are data: frozen, and compared by value."""

import msgspec


class Send(msgspec.Struct, frozen=True, gc=False):
    """One message to one peer, at most once.

    `to` may be the machine's own peer: the core hands such a message straight
    back to the machine, so that an issuer may be a bidder too.
    """

    to: bytes
    message: msgspec.Struct
    prompt: bool = False
    """True for probes and acks, which wait for no record."""


class Broadcast(msgspec.Struct, frozen=True, gc=False):
    """One message to every member that gossip holds alive or suspect, oneself excluded."""

    message: msgspec.Struct
    prompt: bool = False


class Persist(msgspec.Struct, frozen=True, gc=False):
    """One durable record. All records of a step are written as one."""

    record: msgspec.Struct
    sync: bool = False
    """True where a power cut must not undo it (votes, terms, incarnation blocks)."""


class Emit(msgspec.Struct, frozen=True, gc=False):
    """An event for an agent, a person or another machine."""

    event: msgspec.Struct


class Blame(msgspec.Struct, frozen=True, gc=False):
    """A peer broke the protocol. Evidence is bytes that a third party can check, or empty."""

    peer: bytes
    offence: str
    evidence: tuple[bytes, ...] = ()


class Perform(msgspec.Struct, frozen=True, gc=False):
    """Work outside the machine; its end comes back as a command."""

    job: msgspec.Struct


Effect = Send | Broadcast | Persist | Emit | Blame | Perform
