"""Poisons clocks and sums: every number of time, load and count that it sends is absurd."""

import msgspec

from protocols.auction.messages import Decline, Invite
from protocols.gossip.messages import Ack, Ping
from protocols.tasks.messages import Assign, Beat, Results
from protocols.wire import encode, tag_of
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World

HUGE = 2**63 - 1


class Poisoner(Adversary):
    """What its core says, with times at the limits of what a message can hold."""

    def __init__(self) -> None:
        self._decoders = {
            encode(tag_of(kind)): msgspec.msgpack.Decoder(kind)
            for kind in (Ping, Ack, Invite, Decline, Assign, Results, Beat)
        }

    def sending(
        self, world: World, peer: SimulatedPeer, to: bytes, messages: tuple[bytes, ...]
    ) -> tuple[bytes, ...]:
        """Everything it says, poisoned half of the time."""
        rng = world.faults_rng
        return tuple(
            self._poisoned(world, message) if rng.random() < 0.5 else message
            for message in messages
        )

    def _poisoned(self, world: World, message: bytes) -> bytes:
        for tag, decoder in self._decoders.items():
            if tag in message[: len(tag) + 4]:
                world.coverage["a liar poisons a clock"] += 1
                return encode(_bent(decoder.decode(message), world.faults_rng.choice((0, HUGE))))
        return message


def _bent(message: msgspec.Struct, number: int) -> msgspec.Struct:
    replace = msgspec.structs.replace
    match message:
        case Ping() | Ack():
            return replace(message, load=number)
        case Invite():
            return replace(
                message, estimate_us=number, window_us=number, lease_us=number, units=number
            )
        case Decline():
            return replace(message, retry_us=number)
        case Assign():
            jobs = tuple(
                replace(job, timeout_ms=number, deadline_ms=number) for job in message.jobs
            )
            return replace(message, jobs=jobs)
        case Results():
            outcomes = tuple(replace(each, elapsed_us=number) for each in message.outcomes)
            return replace(message, outcomes=outcomes)
        case Beat():
            return replace(message, boot=number)
    return message
