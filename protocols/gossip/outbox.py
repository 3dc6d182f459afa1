"""Collects the effects of one step."""

import msgspec

from protocols.effects import Blame, Broadcast, Effect, Emit, Persist, Send


class Outbox:
    """What a step has asked for so far, in order; shared by the parts of one machine."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []

    def send(self, to: bytes, message: msgspec.Struct) -> None:
        """A message that waits for the machine's records."""
        self._effects.append(Send(to, message))

    def send_prompt(self, to: bytes, message: msgspec.Struct) -> None:
        """A probe or an ack, which waits for nothing."""
        self._effects.append(Send(to, message, prompt=True))

    def broadcast(self, message: msgspec.Struct) -> None:
        """A message to every member."""
        self._effects.append(Broadcast(message))

    def persist(self, record: msgspec.Struct, sync: bool = False) -> None:
        """A durable record."""
        self._effects.append(Persist(record, sync))

    def emit(self, event: msgspec.Struct) -> None:
        """An event for whoever listens."""
        self._effects.append(Emit(event))

    def blame(self, peer: bytes, offence: str, *evidence: bytes) -> None:
        """Misconduct of a peer."""
        self._effects.append(Blame(peer, offence, evidence))

    def take(self) -> tuple[Effect, ...]:
        """All effects since the last call."""
        if not self._effects:
            return ()
        effects = tuple(self._effects)
        self._effects.clear()
        return effects
