"""What `mesh doctor` finds."""

from typing import Literal

import msgspec

Level = Literal["ok", "warning", "problem"]

MIB = 1024 * 1024


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        check: what kind of thing, for scripts; these names stay.
        subject: which one: a peer, a file, a package.
        level: whether it is as it should be.
        found: what there is.
        why: why that matters; "" where all is well.
        remedy: what to try; "" where all is well.
    """

    check: str
    subject: str
    level: Level
    found: str
    why: str = ""
    remedy: str = ""


def size(count: int) -> str:
    """Bytes as people read them."""
    for unit, least in (("GiB", MIB * 1024), ("MiB", MIB), ("KiB", 1024)):
        if count >= least:
            return f"{count / least:.1f} {unit}"
    return f"{count} B"
