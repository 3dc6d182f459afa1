"""What a step of the machine asks for, collected by its parts in order."""

import msgspec

from protocols.effects import Blame, Broadcast, Effect, Emit, Perform, Persist, Send

FORSAKEN_LIMIT = 4096


class Outbox:
    """The effects of the step being made.

    Attributes:
        forsaken: peers that were revoked, to which nothing is said any more; bounded, the
            first makes room.
    """

    __slots__ = ("_effects", "forsaken")

    def __init__(self) -> None:
        self._effects: list[Effect] = []
        self.forsaken: dict[bytes, None] = {}

    def send(self, to: bytes, message: msgspec.Struct) -> None:
        """One message to one peer."""
        if to in self.forsaken:
            return
        self._effects.append(Send(to, message))

    def send_promptly(self, to: bytes, message: msgspec.Struct) -> None:
        """One message that rests on no record."""
        if to in self.forsaken:
            return
        self._effects.append(Send(to, message, True))

    def forsake(self, peer: bytes) -> None:
        """From now on nothing is said to a peer."""
        self.forsaken[peer] = None
        if len(self.forsaken) > FORSAKEN_LIMIT:
            del self.forsaken[next(iter(self.forsaken))]

    def broadcast(self, message: msgspec.Struct) -> None:
        """One message to every live member."""
        self._effects.append(Broadcast(message))

    def persist(self, record: msgspec.Struct) -> None:
        """One record, part of the step's."""
        self._effects.append(Persist(record))

    def emit(self, event: msgspec.Struct) -> None:
        """One event."""
        self._effects.append(Emit(event))

    def blame(self, peer: bytes, offence: str) -> None:
        """A peer broke the protocol."""
        self._effects.append(Blame(peer, offence))

    def perform(self, job: msgspec.Struct) -> None:
        """Work outside the machine."""
        self._effects.append(Perform(job))

    def take(self) -> tuple[Effect, ...]:
        """All effects since the last call."""
        if not self._effects:
            return ()
        effects = tuple(self._effects)
        self._effects.clear()
        return effects
