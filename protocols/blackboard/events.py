"""What the blackboard tells clients, people and the other machines."""

import msgspec


class BoardWritten(msgspec.Struct, frozen=True, tag="board.written"):
    """The changes of one request are journaled here, and by another peer where one is alive."""

    request: int
    writer: bytes
    generation: int
    first: int
    """The sequence of the first op."""
    count: int
    replicated: bool
    """Whether another peer has said that it stored them; without one alive, False."""


class EntriesChanged(msgspec.Struct, frozen=True, tag="board.changed"):
    """Live state changed in this step: whoever follows these keys reads them now."""

    keys: tuple[str, ...]
    """At most `EVENT_KEYS_LIMIT`; where there are more, `is_partial`, and readers scan."""
    first_position: int
    count: int
    is_partial: bool = False


class WriterForked(msgspec.Struct, frozen=True, tag="board.writer-forked"):
    """A writer signed two different things under one number; it adds nothing any more."""

    writer: bytes
    generation: int
    sequence: int


class GenerationBegun(msgspec.Struct, frozen=True, tag="board.generation-begun"):
    """This peer's disk was an old copy, as its neighbours showed; it writes under a new number."""

    generation: int
    after: int
    """The highest sequence of the generation before that a neighbour knew."""


class PeerReset(msgspec.Struct, frozen=True, tag="board.peer-reset"):
    """What this peer held was too old to be joined: it took others' state instead."""

    agreed_by: tuple[bytes, ...]
    reapplied: int
    """Its own changes that nobody had, and that were written again."""


class BoardSynced(msgspec.Struct, frozen=True, tag="board.synced"):
    """This peer has all that a neighbour had when they first met in this boot."""

    peer: bytes
    entries: int
