"""What the core itself tells people."""

import msgspec


class CommandRefused(msgspec.Struct, frozen=True, tag="core.command-refused"):
    """One machine refused what another one asked of it. Nothing has changed there."""

    machine: str
    command: str
    message: str
