"""What a peer asks of its gossip."""

import msgspec

from protocols.gossip.messages import SkillAdvert
from protocols.wire import Signed


class Contact(msgspec.Struct, frozen=True):
    """Where a peer may be met for the first time."""

    peer: bytes
    door: str
    curve: bytes
    """The CURVE public key of its door, 32 bytes."""


class Join(msgspec.Struct, frozen=True):
    """Announce oneself, and meet these peers first."""

    contacts: tuple[Contact, ...]


class Advertise(msgspec.Struct, frozen=True):
    """Change what this peer says of itself; raises its incarnation when anything changed."""

    name: str
    door: str
    skills: tuple[SkillAdvert, ...]
    labels: tuple[str, ...] = ()


class SetLoad(msgspec.Struct, frozen=True):
    """Queued work of this peer, in milliseconds; travels on pings and acks only."""

    load: int


class Leave(msgspec.Struct, frozen=True):
    """Say goodbye: a leaving peer is never accused."""


class LinkLost(msgspec.Struct, frozen=True):
    """The link to a peer broke. `refused`: a redial met a closed port, so its process is gone."""

    peer: bytes
    refused: bool


class Proclaim(msgspec.Struct, frozen=True):
    """Keep and spread what an authority stated; see `protocols/statements.py`."""

    envelope: Signed


class ShowCredential(msgspec.Struct, frozen=True):
    """From now on this peer shows a newer credential; it was verified."""

    credential: bytes
