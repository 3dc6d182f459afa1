"""Marks on the blackboard by which tasks of strategy ``board`` are offered and claimed.

Tasks and blackboard know nothing of each other: here an offer, or a claim, becomes an
entry below ``mesh/``, and an entry that changed becomes a command for the tasks. A mark
counts only where the peer that it speaks of wrote it last. Its time to live is for the
garbage of the dead alone: marks are read as if no time had passed, because wall clocks
may differ by more than that.
"""

from collections.abc import Iterable
from typing import Annotated

import msgspec

from protocols.blackboard.blackboard import Blackboard
from protocols.blackboard.commands import Edit, WriteBoard
from protocols.blackboard.events import EntriesChanged
from protocols.blackboard.keys import REGISTER
from protocols.blackboard.reading import Entry
from protocols.identity import peer_of_text, text_id
from protocols.machine import MILLISECOND_NS
from protocols.tasks.commands import ClaimSeen, OfferGone, OfferSeen
from protocols.tasks.events import OfferPosted, PlacesClaimed
from protocols.tasks.parameters import CLAIMERS_LIMIT, OFFER_KEPT_NS, OFFERS_LIMIT
from protocols.wire import encode

OFFERS, CLAIMS = "mesh/offers/", "mesh/claims/"
TTL_MS = OFFER_KEPT_NS // MILLISECOND_NS
BEFORE_ALL_TIME = 0
"""The wall time by which marks are read."""
REQUEST = 0
"""The request number of all these writes: nobody waits for them."""

Text = Annotated[str, msgspec.Meta(max_length=128)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Offer(msgspec.Struct, frozen=True):
    """What stands at ``mesh/offers/CUSTODIAN/TAG``."""

    skill: Text
    version: Text
    number: Count
    units: Count
    requires: Annotated[tuple[Text, ...], msgspec.Meta(max_length=64)] = ()
    avoid: Annotated[tuple[Text, ...], msgspec.Meta(max_length=64)] = ()


class ClaimMark(msgspec.Struct, frozen=True):
    """What stands at ``mesh/claims/CUSTODIAN/TAG/CLAIMER``."""

    number: Count
    places: Count
    load_ms: Count = 0


def offer_written(event: OfferPosted) -> WriteBoard:
    """The write that leaves an offer's mark."""
    key = f"{OFFERS}{text_id(event.custodian)}/{event.tag}"
    avoid = tuple(map(text_id, event.avoid[:64]))
    mark = Offer(event.skill, event.version, event.number, event.units, event.requires, avoid)
    return _write(key, mark)


def claim_written(event: PlacesClaimed) -> WriteBoard:
    """The write that leaves a claim's mark."""
    key = f"{CLAIMS}{text_id(event.custodian)}/{event.tag}/{text_id(event.claimer)}"
    return _write(key, ClaimMark(event.number, event.places, event.load_ms))


def _write(key: str, mark: msgspec.Struct) -> WriteBoard:
    edit = Edit(key, "put", encode(mark), type=REGISTER, ttl_ms=TTL_MS)
    return WriteBoard(REQUEST, (edit,))


Seen = OfferSeen | OfferGone | ClaimSeen


def marks_seen(event: EntriesChanged, board: Blackboard) -> list[Seen]:
    """What the tasks must hear of what changed on the blackboard; offers before claims."""
    keys: Iterable[str] = event.keys
    if event.is_partial:
        offers = board.scan(OFFERS, BEFORE_ALL_TIME, limit=OFFERS_LIMIT)
        claims = board.scan(CLAIMS, BEFORE_ALL_TIME, limit=CLAIMERS_LIMIT)
        keys = [entry.key for entry in (*offers, *claims)]
    marks = [key for key in keys if key.startswith((OFFERS, CLAIMS))]
    if len(marks) > 1:
        marks.sort(key=lambda key: key.startswith(CLAIMS))
    found = (_mark_seen(key, board.read(key, BEFORE_ALL_TIME)) for key in marks)
    return [seen for seen in found if seen is not None]


def _mark_seen(key: str, entry: Entry | None) -> Seen | None:
    parts = key.split("/")[2:]
    if len(parts) != 2 + key.startswith(CLAIMS):
        return None
    custodian = _peer(parts[0])
    if custodian is None:
        return None
    tag = parts[1]
    if len(parts) == 2:
        if entry is None:
            return OfferGone(custodian, tag)
        return _offer_seen(custodian, tag, entry) if entry.writer == custodian else None
    claimer = _peer(parts[2])
    if entry is None or claimer is None or entry.writer != claimer:
        return None
    try:
        claim = msgspec.msgpack.decode(entry.value, type=ClaimMark)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return ClaimSeen(custodian, tag, claimer, claim.number, claim.places, claim.load_ms)


def _offer_seen(custodian: bytes, tag: str, entry: Entry) -> OfferSeen | None:
    try:
        offer = msgspec.msgpack.decode(entry.value, type=Offer)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    avoid = tuple(peer for peer in map(_peer, offer.avoid) if peer is not None)
    return OfferSeen(
        custodian, tag, offer.skill, offer.version, offer.requires, offer.number, offer.units,
        avoid,
    )  # fmt: skip


def _peer(text: str) -> bytes | None:
    try:
        return peer_of_text(text)
    except ValueError:
        return None
