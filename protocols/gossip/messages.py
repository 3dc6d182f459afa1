"""What gossip says on the wire. Rumours (`MemberRecord`, `Accusation`, statements) travel signed.

Piggybacking needs no fields: the core puts everything for one peer in one step
into one frame, so rumours are messages sent beside a ping or an ack.
"""

from typing import Annotated

import msgspec

from protocols.statements import KINDS as STATEMENTS
from protocols.trust import STATEMENT_ID_BYTES, STATEMENTS_LIMIT
from protocols.wire import CountField, Message, NameField, PeerIdField

CREDENTIAL_LIMIT = 2048
SKILLS_PER_PEER_LIMIT = 128
DIGEST_LIMIT = 8192
LABELS_PER_PEER_LIMIT = 64
LABEL_LIMIT = 64

DigestField = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
StatementIdField = Annotated[
    bytes, msgspec.Meta(min_length=STATEMENT_ID_BYTES, max_length=STATEMENT_ID_BYTES)
]


class SkillAdvert(msgspec.Struct, frozen=True, array_like=True):
    """One skill that a peer hosts: name, version, and the digest of its schemas."""

    name: NameField
    version: Annotated[str, msgspec.Meta(max_length=32)]
    digest: DigestField
    sick: bool = False
    """Its agent says that it cannot work now; the peer itself is well."""


class MemberRecord(Message, frozen=True, array_like=True, tag="gossip.member"):
    """What a peer says of itself, signed by itself. The highest incarnation wins.

    `credential` is the encoded chain that admission checks before gossip sees
    the record. `door` is where it can be met: ``tcp://host:port``.
    """

    peer: PeerIdField
    incarnation: CountField
    leaving: bool
    name: NameField
    door: Annotated[str, msgspec.Meta(max_length=256)]
    boot: CountField
    skills: Annotated[tuple[SkillAdvert, ...], msgspec.Meta(max_length=SKILLS_PER_PEER_LIMIT)]
    credential: Annotated[bytes, msgspec.Meta(max_length=CREDENTIAL_LIMIT)]
    labels: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=LABEL_LIMIT)], ...],
        msgspec.Meta(max_length=LABELS_PER_PEER_LIMIT),
    ] = ()
    """What work may ask for: ``gpu``, ``region:eu``."""


class Accusation(Message, frozen=True, array_like=True, tag="gossip.accusation"):
    """One observer's signed statement that a suspect did not answer it."""

    suspect: PeerIdField
    incarnation: CountField
    accuser: PeerIdField


class Ping(Message, frozen=True, array_like=True, tag="gossip.ping"):
    """A direct probe. `suspected` tells the target that the sender suspects it (buddy system)."""

    nonce: CountField
    load: CountField
    suspected: bool = False


class Ack(Message, frozen=True, array_like=True, tag="gossip.ack"):
    """The answer to a ping, or to an indirect one. `load` is queued work in milliseconds.

    `wall_ms` is the sender's wall clock, for people who look for clocks that are wrong; 0
    where it does not say. Nothing is decided by it.
    """

    nonce: CountField
    load: CountField
    wall_ms: CountField = 0


class PingRequest(Message, frozen=True, array_like=True, tag="gossip.ping-request"):
    """Asks a helper to probe `target` and to pass on its ack."""

    nonce: CountField
    target: PeerIdField


class Nack(Message, frozen=True, array_like=True, tag="gossip.nack"):
    """A helper's word that it is alive but the target did not answer it (Lifeguard)."""

    nonce: CountField


class MemberVersion(msgspec.Struct, frozen=True, array_like=True):
    """One line of a digest."""

    peer: PeerIdField
    incarnation: CountField
    state: Annotated[int, msgspec.Meta(ge=0, le=3)]
    """0 alive, 1 suspect, 2 dead, 3 left."""


class Digest(Message, frozen=True, array_like=True, tag="gossip.digest"):
    """Push-pull: what I have. The answer is the records the other lacks, then its own digest."""

    members: Annotated[tuple[MemberVersion, ...], msgspec.Meta(max_length=DIGEST_LIMIT)]
    reply_wanted: bool
    statements: Annotated[
        tuple[StatementIdField, ...], msgspec.Meta(max_length=STATEMENTS_LIMIT)
    ] = ()
    """The ids of the statements that I keep."""


KINDS = (MemberRecord, Accusation, Ping, Ack, PingRequest, Nack, Digest, *STATEMENTS)
