"""The interface of every protocol: a machine without I/O.

A machine is told what happened and what time it is, and answers with effects.
It never reads a clock, opens a socket or draws global randomness, so the same
code runs over real sockets and in simulation.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import msgspec

from protocols.effects import Effect

Instant = int
"""A point on the monotonic clock of one peer, in nanoseconds."""

MICROSECOND_NS = 1_000
MILLISECOND_NS = 1_000_000
SECOND_NS = 1_000_000_000


class Now(NamedTuple):
    """The time of one step.

    Timers run on `monotonic_ns`; what is persisted is written as `wall_ns`.
    No correctness rests on the wall clocks of two peers agreeing.
    """

    monotonic_ns: int
    wall_ns: int


class Machine(Protocol):
    """One protocol, driven by local commands, remote messages and time."""

    def submit(self, command: msgspec.Struct, now: Now) -> tuple[Effect, ...]:
        """Takes local intent.

        Raises:
            Refused: the command is refused, and nothing has changed.
        """

    def receive(
        self, link: bytes, author: bytes, message: msgspec.Struct, now: Now
    ) -> tuple[Effect, ...]:
        """Takes a verified remote message. Never raises, whatever it holds.

        Args:
            link: the peer that sent it, as authenticated by its link.
            author: the peer that signed it; equal to `link` for unsigned messages.
            message: a plain message struct, or `wire.Verified` for a signed one.
            now: the time of this step.
        """

    def wake(self, now: Now) -> tuple[Effect, ...]:
        """Does all that is due at `now`; harmless when nothing is."""

    def deadline(self) -> Instant | None:
        """The monotonic instant at which `wake` is wanted, or None."""

    def snapshot(self) -> Iterable[msgspec.Struct]:
        """The records that, restored in order, give today's durable state."""

    def restore(self, records: Iterable[msgspec.Struct], now: Now) -> None:
        """Rebuilds the durable state; called once, before anything else. `wake` follows."""

    def check(self) -> None:
        """Asserts the invariants, each named in `docs/invariants.md`."""
