"""Who watches whom: a rendezvous hash that everybody can compute and nobody can choose."""

import hashlib
from collections.abc import Iterable


def observers_of(suspect: bytes, members: Iterable[bytes], count: int) -> tuple[bytes, ...]:
    """The `count` members other than `suspect` that come first by hash, in that order."""
    ranked = sorted(
        (hashlib.blake2b(suspect + member, digest_size=8).digest(), member)
        for member in members
        if member != suspect
    )
    return tuple(member for _, member in ranked[:count])
