"""Everything between this peer and the others: door, house, links, in one piece.

transport = Transport(keys, credential, verify, contact, driver, clock, rng)
door = transport.bind(host, door_port, data_port)
driver.carry_with(transport.transmit)
nursery.start_soon(transport.run)
...
await transport.stop()
"""

import random
from collections.abc import Callable
from typing import Protocol

import msgspec
import trio

from mesh.runtime.dialling import Dialler
from mesh.runtime.door import Answer, Door, DoorCounters, TakeJoin, TakeRenewal, Verify
from mesh.runtime.house import House, HouseCounters
from mesh.runtime.links import IDLE_AFTER_NS, LinkCounters, Links
from mesh.runtime.sockets import ANY_HOSTS, ANY_PORT, Address, CurveKeys, Sockets
from mesh.runtime.zap import Guests, ZapHandler
from protocols.credentials import CLOCK_TOLERANCE_S, CredentialRefused
from protocols.gossip.commands import Contact
from protocols.machine import SECOND_NS, Now

STOP_PATIENCE_S = 1.0
SWEEP_EVERY_S = 30.0


class Steps(Protocol):
    """What the transport needs of the driver."""

    def submit(self, command: msgspec.Struct) -> None:
        """Takes what happens to links."""

    def receive(self, peer: bytes, frame: bytes) -> None:
        """Takes a frame."""

    def flush(self) -> None:
        """A batch has ended."""


class TransportCounters(msgspec.Struct, frozen=True):
    """What passed since the start, for `doctor` and exporters."""

    door: DoorCounters
    house: HouseCounters
    links: LinkCounters


class Transport:
    """One peer's sockets.

    Attributes:
        links: the outgoing links, for queries.
        house_address: where the door sends newcomers; a host of ``*`` is the door's.
    """

    def __init__(
        self,
        keys: CurveKeys,
        credential: Callable[[], bytes],
        verify: Verify,
        contact: Callable[[bytes], Contact | None],
        steps: Steps,
        now: Callable[[], Now],
        rng: random.Random,
        idle_after_ns: int = IDLE_AFTER_NS,
        take_join: TakeJoin | None = None,
        take_renewal: TakeRenewal | None = None,
        hear: Callable[[bytes], None] = lambda statement: None,
    ) -> None:
        """Takes who this peer is, and whom it knows.

        Args:
            keys: the CURVE keys that the credential was issued for.
            credential: this peer's own encoded chain, as it is now.
            verify: checks an encoded chain, or raises CredentialRefused.
            contact: a peer's door and CURVE key, as far as known (`PeerCore.contact`).
            steps: the driver.
            now: reads the clock.
            rng: draws link epochs.
            idle_after_ns: after how long without a message a link is closed.
            take_join: takes newcomers that come with an invitation; None turns them away.
            take_renewal: signs newer credentials; None where no issuer's key is here.
            hear: takes the statement by which this peer was revoked, as a door says.
        """
        self._sockets = Sockets(keys)
        self._guests = Guests(now)
        self._zap = ZapHandler(self._sockets, self._guests)
        self._verify = verify
        self._door = Door(
            self._sockets,
            self._guests,
            verify,
            credential,
            now,
            take_join=take_join,
            take_renewal=take_renewal,
        )
        self._house = House(self._sockets, self._guests, steps)
        self._dialler = dialler = Dialler(self._sockets, contact, credential, verify, hear)
        self.links = Links(dialler, steps.submit, now, rng, idle_after_ns)
        self.house_address = ""
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._is_running = False

    def bind(
        self,
        host: str,
        door_port: int = ANY_PORT,
        data_port: int = ANY_PORT,
        advertised_host: str | None = None,
        advertised_ports: tuple[int, int] = (ANY_PORT, ANY_PORT),
    ) -> str:
        """Listens on two ports; returns the address of the door as others reach it.

        Args:
            host: the address to listen on; ``0.0.0.0`` for all of this machine's.
            door_port: the door's port, 0 for any free one.
            data_port: the house's port, 0 for any free one.
            advertised_host: the host that others reach this one by, where it is not `host`.
            advertised_ports: the ports of door and house that others dial, where they are not
                those that are listened on; 0 where they are.

        Raises:
            ConfigurationError: a port is taken, or the host is not this machine's.
        """
        shown = advertised_host or host
        shown_door, shown_data = advertised_ports
        taken = self._house.bind(host, data_port)
        # Whoever found the door finds the house on the same host.
        self.house_address = str(Address("*" if host in ANY_HOSTS else shown, shown_data or taken))
        bound = self._door.bind(host, door_port, self.house_address)
        return str(Address(shown, shown_door or bound))

    def transmit(self, peer: bytes, messages: tuple[bytes, ...]) -> None:
        """Sends messages to a peer, at most once."""
        self.links.transmit(peer, messages)

    def revoke(self, peer: bytes) -> None:
        """Ends all traffic with a peer: its frames are dropped from now on, open links included."""
        self._guests.revoke(peer)
        self.links.revoke(peer)

    def renewed(self, peer: bytes, credential: bytes) -> None:
        """A peer showed a newer credential, which is good: its links may last as long."""
        try:
            shown = self._verify(credential)
        except CredentialRefused:
            return  # not for this host's clock; it may come to the door
        ends_ns = (shown.not_after_s + CLOCK_TOLERANCE_S) * SECOND_NS
        self._guests.renewed(peer, shown.curve, ends_ns, credential)

    def hang_up(self) -> None:
        """Closes all links of this peer's; the next messages come to the doors again."""
        for peer in self.links.up():
            self.links.hang_up(peer)

    def reconsider(self) -> None:
        """Shows out everybody whose credential was good and was ended since.

        Links of this peer's that rest on one it had before are opened anew: the others do
        the same with it, and may not have heard of the newer one yet. Such a link looks good
        from here, and is never listened to again.
        """
        for peer in self._guests.refused(self._is_good):
            self._guests.dismiss(peer)
            self.links.hang_up(peer)
        mine = self.links.shown()
        good = {each: self._is_good(each) for each in mine.values()}
        for peer, shown in mine.items():
            if not good[shown]:
                self.links.hang_up(peer)

    def _is_good(self, credential: bytes) -> bool:
        try:
            self._verify(credential)
        except CredentialRefused as refusal:
            # Times are looked at by `dismiss_expired`, which knows of clocks that jump.
            return refusal.kind in ("expired", "not-yet-valid")
        return True

    async def ask(self, contact: Contact, said: bytes) -> Answer:
        """What a peer's door answers to one message.

        Raises:
            DialFailed: nothing.
        """
        return await self._dialler.ask(contact, said)

    def counters(self) -> TransportCounters:
        """What passed so far."""
        return TransportCounters(self._door.counters, self._house.counters, self.links.counters)

    async def run(self) -> None:
        """Serves until cancelled or stopped; then every socket is closed."""
        self._is_running = True
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._zap.run)
                    nursery.start_soon(self._door.run)
                    nursery.start_soon(self._house.run)
                    nursery.start_soon(self.links.run)
                    nursery.start_soon(self._sweep)
        finally:
            await self._sockets.terminate()
            self._ended.set()

    async def stop(self) -> None:
        """Empties the queues for at most `STOP_PATIENCE_S`, then closes everything."""
        await self.links.stop(STOP_PATIENCE_S)
        self._scope.cancel()
        if self._is_running:
            await self._ended.wait()
        else:
            await self._sockets.terminate()

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(SWEEP_EVERY_S)
            self._guests.dismiss_expired()
