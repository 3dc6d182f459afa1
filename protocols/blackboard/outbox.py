"""The effects of a step, as the parts of the blackboard make them."""

import msgspec

from protocols.effects import Blame, Effect, Emit, Persist, Send


class Outbox:
    """Collects what a step sends, writes and tells."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []

    def send(self, to: bytes, message: msgspec.Struct) -> None:
        """A message to a peer, after this step's record."""
        self._effects.append(Send(to, message))

    def persist(self, record: msgspec.Struct, sync: bool = False) -> None:
        """A record of this step."""
        self._effects.append(Persist(record, sync))

    def emit(self, event: msgspec.Struct) -> None:
        """An event."""
        self._effects.append(Emit(event))

    def blame(self, peer: bytes, offence: str, *evidence: bytes) -> None:
        """A peer broke the protocol."""
        self._effects.append(Blame(peer, offence, evidence))

    def take(self) -> tuple[Effect, ...]:
        """The effects so far, in order."""
        effects, self._effects = tuple(self._effects), []
        return effects
