"""Names of lots: the issuer, its boot, a counter. A name never repeats.

A name says who may use it: bidders ignore invitations whose name does not
belong to the sender, so nobody can occupy another issuer's names.
"""

from functools import lru_cache

from protocols.identity import text_id

ISSUER_BYTES = 10
"""Bytes of the issuer's id inside a name: 80 bits, too many to find a second key for."""
PREFIXES_LIMIT = 1024
"""Issuers whose prefix is kept computed."""


@lru_cache(maxsize=PREFIXES_LIMIT)
def lot_prefix(issuer: bytes) -> str:
    """How the names of all lots of an issuer begin."""
    return text_id(issuer[:ISSUER_BYTES]) + "-"


def lot_id(issuer: bytes, boot: int, counter: int) -> str:
    """The name of a lot, at most 64 characters."""
    return f"{lot_prefix(issuer)}{boot}-{counter}"


def lot_boot(lot: str, issuer: bytes) -> int | None:
    """The boot of `issuer` in which the lot was opened; None if the name is not its own."""
    prefix = lot_prefix(issuer)
    if not lot.startswith(prefix):
        return None
    boot, dash, counter = lot[len(prefix) :].partition("-")
    if not dash or not _is_number(boot) or not _is_number(counter):
        return None
    return int(boot)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20
