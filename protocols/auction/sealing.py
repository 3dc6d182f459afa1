"""Sealed bids: a commitment binds a bidder to a schedule without showing it.

H is SHA-256 over the canonical encoding of (domain, lot, bidder, nonce,
schedule). The lot's id names the issuer, the bidder is inside, so a commitment
can neither be replayed in another lot nor copied by another bidder. The nonce
has 32 secret bytes, so that a short schedule cannot be guessed.
"""

import hashlib

from protocols.auction.messages import Opened, Unit
from protocols.wire import encode

COMMITMENT_DOMAIN = "stigmesh/auction.commitment/1"
TIE_BREAK_DOMAIN = b"stigmesh/auction.tie-break/1"
NONCE_BYTES = 32
SEED_BYTES = 32


def commitment(lot: str, bidder: bytes, nonce: bytes, schedule: tuple[Unit, ...]) -> bytes:
    """The 32 bytes that seal a schedule."""
    return hashlib.sha256(encode((COMMITMENT_DOMAIN, lot, bidder, nonce, schedule))).digest()


def opens(lot: str, sealed: bytes, opened: Opened) -> bool:
    """Whether a reveal is what its bidder had committed to."""
    return commitment(lot, opened.bidder, opened.nonce, opened.schedule) == sealed


def tie_break(seed: bytes, bidder: bytes) -> bytes:
    """The place of a bidder among equal offers: fixed by the seed, which precedes the bids."""
    return hashlib.sha256(TIE_BREAK_DOMAIN + seed + bidder).digest()
