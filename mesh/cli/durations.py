"""Durations as people type them."""

import re

import typer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SHAPE = re.compile(r"([0-9]{1,6})([smhd]?)")


def parse_duration(text: str) -> int:
    """Seconds of ``90``, ``90s``, ``15m``, ``2h`` or ``7d``.

    Raises:
        typer.BadParameter: it is none of these.
    """
    found = _SHAPE.fullmatch(text.strip().lower())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no duration: write 90s, 15m, 2h or 7d")
    return int(found[1]) * _UNITS[found[2] or "s"]
