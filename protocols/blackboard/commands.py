"""What this peer asks of its blackboard, and what it hears of other members."""

import msgspec


class Edit(msgspec.Struct, frozen=True, gc=False):
    """One change by a local writer.

    Attributes:
        key: the full key, ``space/…``.
        action: put | delete | increment | add | remove | set | unset | append | deposit.
        value: MessagePack of the value, the element or the item; of an integer for
            `increment` (it may be negative), of micro-units for `deposit`.
        field: the field of a map.
        type: the wanted type; empty where the action and the prefix's policy say it.
        ttl_ms: how long it is to be read; 0 for ever.
        half_life_ms: of a deposit; 0 for the key's, or the prefix's.
        embedding: float32, little-endian; puts only.
    """

    key: str
    action: str
    value: bytes = b""
    field: str = ""
    type: str = ""
    ttl_ms: int = 0
    half_life_ms: int = 0
    embedding: bytes = b""


class WriteBoard(msgspec.Struct, frozen=True, gc=False):
    """Changes that are made together or not at all. Ends with `BoardWritten`.

    Refused: WrongType, OverQuota, TooLarge, NotAllowed, BadKey, BadValue, SchemaMismatch,
    OverFull, Starting (this peer does not know yet whether its disk is an old copy).
    """

    request: int
    edits: tuple[Edit, ...]
    durability: str = "process"
    """process: survives a kill; disk: survives a power cut of this machine too."""


class CredentialSeen(msgspec.Struct, frozen=True, gc=False):
    """This peer or a member has a newer credential, which was verified."""

    credential: bytes


class BoardPeerUp(msgspec.Struct, frozen=True, gc=False):
    """A member is alive."""

    peer: bytes


class BoardPeerDown(msgspec.Struct, frozen=True, gc=False):
    """A member is gone. `has_left`: it said goodbye, and may never come back."""

    peer: bytes
    has_left: bool = False
