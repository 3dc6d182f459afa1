"""How a link comes about: knock at the peer's door, then connect to its house.

Every attempt ends in a `Connection` whose CURVE handshake is complete, or in
`DialFailed` with its `Failure`. *Refused* is said only when the kernel refused a
TCP connection, which means that no process listens; a stopped process, a lost
packet or a broken route are *unreachable*.
"""

import enum
from collections.abc import Callable

import msgspec
import trio
import zmq

from mesh.runtime import door
from mesh.runtime.monitor import LinkEvent, Monitor
from mesh.runtime.sockets import (
    ANY_HOSTS,
    Address,
    Socket,
    Sockets,
    nobody_listens,
    resolve,
    until_readable,
)
from protocols.credentials import NO_CURVE, CredentialRefused
from protocols.gossip.commands import Contact

DIAL_TIMEOUT_S = 3.0
"""For the door and the house together."""
HIGH_WATER = 128
"""Frames that ZeroMQ holds for one peer; more wait in the link's own queue."""
SOCKET_BUFFER_LIMIT = 4096
"""Nothing large is ever received on an outgoing socket."""
ANSWERS_LIMIT = 64 * 1024
"""Bytes that may come back over an outgoing connection at once: a handshake, a door's answer."""
ANSWERS_PER_S_LIMIT = 1024
"""Bytes that may come back in each second besides: heartbeats."""
LOOK_EVERY_S = 0.2


class Failure(enum.Enum):
    """Why a peer was not reached."""

    UNKNOWN = "no address of it is known"
    REFUSED = "nobody listens there"
    UNREACHABLE = "it did not answer"
    TURNED_AWAY = "it turned this peer away"
    IMPOSTOR = "another peer answered"


class DialFailed(Exception):
    """An attempt to reach a peer ended; what ended it."""

    def __init__(self, failure: Failure, reason: str = "") -> None:
        super().__init__(reason or failure.value)
        self.failure = failure
        self.reason = reason or failure.value


class Connection:
    """A socket with its monitor; closed together."""

    def __init__(
        self,
        sockets: Sockets,
        server_key: bytes,
        message_limit: int,
        watch: "Watch",
    ) -> None:
        """Makes both, watched until they are closed.

        Raises:
            DialFailed: this process has as many sockets or descriptors as it may have.
        """
        self._sockets = sockets
        self._port = 0
        self._since = trio.current_time()
        try:
            self.socket: Socket = sockets.client(server_key, message_limit, HIGH_WATER)
        except zmq.ZMQError as error:
            raise DialFailed(Failure.UNREACHABLE, f"no socket: {error}") from None
        try:
            self.monitor = Monitor(sockets, self.socket)
        except zmq.ZMQError as error:
            sockets.close(self.socket)
            raise DialFailed(Failure.UNREACHABLE, f"no monitor: {error}") from None
        self._watch = watch
        watch.connections[self] = None

    async def open(self, address: Address) -> None:
        """Connects and completes the CURVE handshake.

        Raises:
            DialFailed: it did not come to that.
        """
        self._port = address.port
        try:
            self._sockets.connect(self.socket, address)
        except zmq.ZMQError as error:
            raise DialFailed(Failure.UNREACHABLE, f"{address}: {error.strerror}") from None
        event = await self.monitor.next()
        if event is LinkEvent.READY:
            return
        if event is LinkEvent.DENIED:
            raise DialFailed(Failure.TURNED_AWAY, f"{address} does not admit this peer's key")
        raise await why_unreachable(address)

    def end_if_it_says_too_much(self) -> None:
        """Ends a connection over which comes what no honest peer sends: messages (see `taps`).

        Its monitor tells of that as of any other break.
        """
        tap = self.monitor.tap
        # A descriptor that was told late may be another connection's by now.
        if tap is None or tap.port(remote=True) != self._port:
            return
        allowed = ANSWERS_LIMIT + ANSWERS_PER_S_LIMIT * (trio.current_time() - self._since)
        if tap.received() > allowed:
            tap.end()

    def close(self, linger_ms: int = 0) -> None:
        """Closes both; frames handed over have `linger_ms` to leave."""
        self._watch.connections.pop(self, None)
        self.monitor.close()
        self._sockets.close(self.socket, linger_ms)


class Watch:
    """Ends outgoing connections over which too much comes back.

    Attributes:
        connections: those that are open.
    """

    def __init__(self) -> None:
        self.connections: dict[Connection, None] = {}

    async def run(self) -> None:
        """Watches until cancelled."""
        while True:
            await trio.sleep(LOOK_EVERY_S)
            for connection in self.connections:
                connection.end_if_it_says_too_much()


async def why_unreachable(address: Address) -> DialFailed:
    """Asks the kernel whether anybody listens at a numeric address."""
    if await nobody_listens(address):
        return DialFailed(Failure.REFUSED, f"nobody listens at {address}")
    return DialFailed(Failure.UNREACHABLE, f"no CURVE handshake with {address}")


class Dialler:
    """Opens connections to peers by way of their doors.

    Attributes:
        credential: what it shows at doors, as it is now.
        watch: watches the connections; to be run.
    """

    def __init__(
        self,
        sockets: Sockets,
        contact: Callable[[bytes], Contact | None],
        credential: Callable[[], bytes],
        verify: door.Verify,
        hear: Callable[[bytes], None],
    ) -> None:
        """Takes where peers are, and what is shown and checked at doors.

        Args:
            sockets: where sockets are made.
            contact: a peer's door and CURVE key, as far as known.
            credential: this peer's own encoded chain, as it is now.
            verify: checks an encoded chain, or raises CredentialRefused.
            hear: takes the statement by which this peer was revoked, as a door says.
        """
        self._hear = hear
        self._sockets = sockets
        self._contact = contact
        self.credential = credential
        self._verify = verify
        self.watch = Watch()

    async def dial(self, peer: bytes) -> Connection:
        """A fresh connection to a peer's house.

        Raises:
            DialFailed: with why.
        """
        contact = self._contact(peer)
        if contact is None or contact.curve == NO_CURVE:
            raise DialFailed(Failure.UNKNOWN)
        with trio.move_on_after(DIAL_TIMEOUT_S):
            address = await numeric(contact.door)
            accepted = await self._knock(contact, address)
            self._check_keeper(contact, accepted)
            return await self._enter(contact, accepted, address)
        raise DialFailed(Failure.UNREACHABLE, f"no answer within {DIAL_TIMEOUT_S:g} s")

    async def ask(self, contact: Contact, said: bytes) -> door.Answer:
        """What a door answers to one message. Whose door it is, its CURVE key has shown.

        Raises:
            DialFailed: nothing, or what no door says.
        """
        with trio.move_on_after(DIAL_TIMEOUT_S):
            return await self._exchange(contact, await numeric(contact.door), said)
        raise DialFailed(Failure.UNREACHABLE, f"no answer within {DIAL_TIMEOUT_S:g} s")

    async def refuse_if_gone(self, peer: bytes) -> None:
        """Returns at once where somebody may still listen at a peer's door.

        Raises:
            DialFailed: refused, or its address is not known any more.
        """
        contact = self._contact(peer)
        if contact is None:
            raise DialFailed(Failure.UNKNOWN)
        address = await numeric(contact.door)
        if await nobody_listens(address):
            raise DialFailed(Failure.REFUSED, f"nobody listens at {address}")

    async def _knock(self, contact: Contact, address: Address) -> door.Accepted:
        answer = await self._exchange(contact, address, door.encode_hello(self.credential()))
        if isinstance(answer, door.TurnedAway):
            if answer.statement:
                self._hear(answer.statement)
            raise DialFailed(Failure.TURNED_AWAY, f"{answer.kind}: {answer.reason}")
        if not isinstance(answer, door.Accepted):
            raise DialFailed(Failure.IMPOSTOR, f"{address} answered another question")
        return answer

    async def _exchange(self, contact: Contact, address: Address, said: bytes) -> door.Answer:
        connection = Connection(self._sockets, contact.curve, door.SOCKET_MESSAGE_LIMIT, self.watch)
        try:
            await connection.open(address)
            try:
                connection.socket.send(said, zmq.NOBLOCK)
            except zmq.Again:
                # The peer was gone again as soon as the handshake was done.
                raise await why_unreachable(address) from None
            data = await answer_or_loss(connection, address)
        finally:
            connection.close()
        try:
            return door.decode_answer(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            raise DialFailed(Failure.IMPOSTOR, f"{address} answered what no door says") from None

    def _check_keeper(self, contact: Contact, accepted: door.Accepted) -> None:
        try:
            keeper = self._verify(accepted.credential)
        except CredentialRefused as refusal:
            raise DialFailed(
                Failure.IMPOSTOR, f"{contact.door} shows a bad credential: {refusal}"
            ) from None
        if keeper.subject != contact.peer or keeper.curve != contact.curve:
            raise DialFailed(Failure.IMPOSTOR, f"{contact.door} is another peer's door")

    async def _enter(
        self, contact: Contact, accepted: door.Accepted, door_address: Address
    ) -> Connection:
        try:
            house_address = Address.parse(accepted.house)
        except ValueError as error:
            raise DialFailed(Failure.IMPOSTOR, str(error)) from None
        if house_address.host in ANY_HOSTS:
            house_address = Address(door_address.host, house_address.port)
        connection = Connection(self._sockets, contact.curve, SOCKET_BUFFER_LIMIT, self.watch)
        try:
            await connection.open(await numeric(str(house_address)))
        except BaseException:
            connection.close()
            raise
        return connection


async def numeric(address: str) -> Address:
    """Reads an address and resolves its name.

    Raises:
        DialFailed: it is none, or its name is not known.
    """
    try:
        return await resolve(Address.parse(address))
    except (ValueError, OSError) as error:
        raise DialFailed(Failure.UNREACHABLE, str(error)) from None


async def answer_or_loss(connection: Connection, address: Address) -> bytes:
    """The door's answer.

    Raises:
        DialFailed: the connection broke first.
    """
    answers: list[bytes] = []
    async with trio.open_nursery() as nursery:

        async def until_lost() -> None:
            await connection.monitor.next()
            nursery.cancel_scope.cancel()

        nursery.start_soon(until_lost)
        await until_readable(connection.socket)
        answers.append(connection.socket.recv(zmq.NOBLOCK))
        nursery.cancel_scope.cancel()
    if not answers:
        raise await why_unreachable(address)
    return answers[0]
