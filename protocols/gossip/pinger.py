"""Sends pings and acks, with this peer's load on them."""

import random

from protocols.gossip.messages import Ack, Ping
from protocols.gossip.outbox import Outbox
from protocols.wire import Signed

NONCE_BITS = 48


class Pinger:
    """Numbers the pings of one boot; the first number is random, so none repeats an earlier one."""

    def __init__(self, rng: random.Random, outbox: Outbox) -> None:
        self._next_nonce = rng.getrandbits(NONCE_BITS)
        self._outbox = outbox
        self.load = 0
        self.wall_ms = 0
        """Of this step, by this peer's wall clock."""

    def nonce(self) -> int:
        """A number not used before."""
        self._next_nonce += 1
        return self._next_nonce

    def ping(self, to: bytes, nonce: int, suspected: bool) -> None:
        """One ping."""
        self._outbox.send_prompt(to, Ping(nonce, self.load, suspected))

    def ack(self, to: bytes, nonce: int) -> None:
        """One ack."""
        self._outbox.send_prompt(to, Ack(nonce, self.load, self.wall_ms))

    def tell(self, to: bytes, accusation: Signed) -> None:
        """Shows a suspect its accusation, so that it may refute (Lifeguard's buddy system)."""
        self._outbox.send(to, accusation)
