"""What differs between two large sets, told in about as many symbols as there are differences.

Rateless invertible Bloom lookup tables (Yang, Gilad, Alizadeh: Practical Rateless Set
Reconciliation, SIGCOMM 2024): symbol i sums the items that map to it, an item maps to
symbol i with probability 1 / (1 + i/2), and whoever takes their own items' symbols from
another's can read the differences off those that hold a single one, then off the rest.

Deviations: integers instead of floats for the gaps, so that all machines agree; items
are 64-bit hashes of op ids under a salt that the asker draws, so that nobody can make
ops whose hashes meet; the number of symbols has a cap, after which all hashes are told.
"""

import hashlib
import struct
from collections.abc import Iterable
from math import isqrt

from protocols.errors import Malformed

SYMBOL = struct.Struct("<QIi")
SYMBOLS_LIMIT = 8192
"""Symbols of one comparison; more differences than those tell are told by all hashes."""
ITEM_BYTES = 8
FIRST_SYMBOLS = 128
DOUBLED_FROM = 1024
_MASK = 2**64 - 1
_STEP = 0xDA942042E4DD58B5
_CHECK = 0x9E3779B97F4A7C15


def item_of(salt: bytes, identity: bytes) -> int:
    """The keyed hash of an op's id."""
    digest = hashlib.blake2b(identity, digest_size=ITEM_BYTES, key=salt).digest()
    return int.from_bytes(digest, "little")


def check_of(item: int) -> int:
    """What tells a single item from a sum of several."""
    mixed = (item ^ (item >> 29)) * _CHECK & _MASK
    return (mixed ^ (mixed >> 31)) & 0xFFFFFFFF


def places(item: int, count: int) -> list[int]:
    """The symbols below `count` that an item is in; always the first."""
    found = []
    at, state = 0, item
    while at < count:
        found.append(at)
        state = (state * _STEP + _CHECK) & _MASK
        root = isqrt(state + 1)
        # (i + 3/2) (2^32 / sqrt(r + 1) - 1), rounded up.
        at += ((2 * at + 3) * ((1 << 32) - root) + 2 * root - 1) // (2 * root) or 1
    return found


def grown(count: int) -> int:
    """How many symbols to ask for in all, where so many told too little.

    Half as many again: a hundred differences take 146 on average, and hardly ever more than
    the second answer's 192. Later ones double, for each costs both sides a look at all ops.
    """
    return count + (max(1, count // 2) if count < DOUBLED_FROM else count)


class Symbols:
    """The first symbols of a set, or of the difference of two."""

    def __init__(self, count: int, items: Iterable[int] = ()) -> None:
        self.count = count
        self._sums = [0] * count
        self._checks = [0] * count
        self._counts = [0] * count
        self.add(items)

    def add(self, items: Iterable[int]) -> None:
        """Takes more items in."""
        sums, checks, counts = self._sums, self._checks, self._counts
        for item in items:
            check = check_of(item)
            for at in places(item, self.count):
                sums[at] ^= item
                checks[at] ^= check
                counts[at] += 1

    def encoded(self, first: int) -> bytes:
        """The symbols from `first` on, as they travel."""
        return b"".join(
            SYMBOL.pack(self._sums[at], self._checks[at], self._counts[at])
            for at in range(first, self.count)
        )

    def difference(self, theirs: bytes) -> tuple[list[int], list[int]] | None:
        """The items that only they have, and that only this set has; None for more symbols.

        Raises:
            Malformed: these are not as many symbols.
        """
        if len(theirs) != self.count * SYMBOL.size:
            raise Malformed("another number of symbols than were asked for")
        sums, checks, counts = list(self._sums), list(self._checks), list(self._counts)
        for at, (total, check, number) in enumerate(SYMBOL.iter_unpack(theirs)):
            sums[at] ^= total
            checks[at] ^= check
            counts[at] = number - counts[at]
        only_theirs: list[int] = []
        only_mine: list[int] = []
        pure = [at for at in range(self.count) if counts[at] in (1, -1)]
        while pure:
            at = pure.pop()
            sign, item = counts[at], sums[at]
            if sign not in (1, -1) or checks[at] != check_of(item):
                continue
            if len(only_theirs) + len(only_mine) > self.count:
                return None
            (only_theirs if sign == 1 else only_mine).append(item)
            check = checks[at]
            for place in places(item, self.count):
                sums[place] ^= item
                checks[place] ^= check
                counts[place] -= sign
                if counts[place] in (1, -1):
                    pure.append(place)
        if any(counts) or any(sums) or any(checks):
            return None
        return only_theirs, only_mine
