"""What a lying peer may do: bend what its own core sends, and send what it likes.

An adversary holds its own credential and keyring, and whatever reaches it. It
may also know what no peer can (the world's list of attempts), which only makes
it stronger; it can never sign for others, nor send as another peer.
"""

from typing import TYPE_CHECKING

from protocols.machine import MILLISECOND_NS

if TYPE_CHECKING:
    from simulations.peer import SimulatedPeer
    from simulations.world import World


class Adversary:
    """An honest peer; subclasses lie."""

    interval_ns = 100 * MILLISECOND_NS
    """How often `act` is called."""
    never_rests = False
    """Whether it writes on the blackboard to the end, so that its last ops are on their way."""
    offences: tuple[str, ...] = ()
    """Parts of what it must be blamed for."""

    def sending(
        self, world: "World", peer: "SimulatedPeer", to: bytes, messages: tuple[bytes, ...]
    ) -> tuple[bytes, ...]:
        """What really leaves, instead of what the core wants to send."""
        return messages

    def received(self, world: "World", peer: "SimulatedPeer", sender: bytes, frame: bytes) -> None:
        """A frame reached the lying peer; its core gets it too."""

    def act(self, world: "World", peer: "SimulatedPeer") -> None:
        """Something to do now and then."""
