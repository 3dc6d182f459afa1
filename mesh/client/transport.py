"""A client's connection to its home peer, over blocking sockets and without threads.

The thread that waits reads; where several wait, one of them reads for all. Home
is the first live peer in the order of the addresses. A peer that is silent for
`SILENCE_S` after a ping, or whose connection breaks, is left for the next one.
"""

import contextlib
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence, Set
from pathlib import PurePath
from typing import NoReturn, Protocol

from mesh.client.core import DRAINING, ClientCore
from mesh.local.codec import ProtocolError, Unpacker, for_local, pack
from mesh.local.errors import ConnectionLost, NoPeer, PeerFull, Refused, nobody_answers, why_not
from mesh.local.messages import FromPeer, Hello, LocalMessage, Ping, Pong, Welcome
from mesh.local.messages import Refused as RefusedMessage

CONNECT_S = 1.0
"""How long a peer may take for the first ping."""
PING_S = 1.0
SILENCE_S = 3.0
FAIL_OVER_S = 10.0
"""How long all peers may be unreachable before a wait gives up."""
PAUSE_S = 0.1
RECEIVE_BYTES = 1 << 18
SHORTEST_WAIT_S = 0.001

Addresses = Callable[[], Sequence[str]]
"""The sockets of the mesh's peers, in the order of their names, as they are now."""


class Carrier(Protocol):
    """What a client needs of a transport."""

    @property
    def welcome(self) -> Welcome | None:
        """What the home peer said of itself."""

    def connect(self) -> None:
        """Connects to the first live peer."""

    def close(self) -> None:
        """Closes the connection."""

    def do(self, act: Callable[[], object]) -> None:
        """Lets `act` change the core, and sends what follows from it."""

    def note(self, act: Callable[[], object]) -> None:
        """Lets `act` change the core where nothing is to be sent."""

    def wait(self, done: Callable[[], object], timeout: float | None = None) -> bool:
        """Waits until `done()`; False where the timeout came first."""


class Transport:
    """Keeps a core connected to some live peer."""

    def __init__(self, core: ClientCore, addresses: Addresses) -> None:
        """Takes the core, and where peers may be; `connect` follows."""
        self._core = core
        self._addresses = addresses
        self._lock = threading.RLock()
        self._turn = threading.Condition(self._lock)
        self._reading = False
        self._sock: socket.socket | None = None
        self._unpacker: Unpacker[FromPeer] = for_local()
        self._heard = 0.0
        self._pinged = 0.0
        self._closed = False
        self._draining: set[str] = set()
        self._full_s = 0.0
        """When a full peer wants to be asked again, seconds; 0 where none is."""
        self.home = ""
        """The socket of the peer that this client is connected to."""
        self._welcome: Welcome | None = None

    @property
    def welcome(self) -> Welcome | None:
        """What the home peer said of itself."""
        return self._welcome

    def connect(self) -> None:
        """Connects to the first live peer; waits a while where peers are full.

        Raises:
            NoPeer: none answers.
            Refused: a peer does not want this client.
        """
        with self._lock:
            until = time.monotonic() + FAIL_OVER_S
            while (problems := self._try_all(avoid="")) is not None:
                if not self._full_s or time.monotonic() >= until:
                    raise NoPeer(problems)
                time.sleep(self._full_s)

    def close(self) -> None:
        """Closes the connection; whoever waits is told."""
        with self._lock:
            self._closed = True
            self._drop()

    def do(self, act: Callable[[], object]) -> None:
        """Lets `act` change the core, and sends what follows from it."""
        with self._lock:
            if self._sock is None:
                self._fail_over()
            act()
            self._send()

    def note(self, act: Callable[[], object]) -> None:
        """Lets `act` change the core where nothing is to be sent."""
        with self._lock:
            act()

    def wait(self, done: Callable[[], object], timeout: float | None = None) -> bool:
        """Reads until `done()`; False where the timeout came first.

        Raises:
            NoPeer: no peer can be reached any more.
            ConnectionLost: the client was closed.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._lock:
                if done():
                    return True
                if until is not None and time.monotonic() >= until:
                    return False
                if self._reading:
                    left = PING_S if until is None else until - time.monotonic()
                    self._turn.wait(max(SHORTEST_WAIT_S, min(PING_S, left)))
                    continue
                self._reading = True
            try:
                self._read_once(until)
            except BaseException:
                # What was read may be lost (Ctrl-C): start anew with the next use.
                with self._lock:
                    self._drop()
                raise
            finally:
                with self._lock:
                    self._reading = False
                    self._turn.notify_all()

    def _read_once(self, until: float | None) -> None:
        with self._lock:
            sock = self._sock
            if sock is None:
                self._fail_over()
                return
            now = time.monotonic()
            self._core.resubmit(now)
            if not self._pinged and now - self._heard >= PING_S:
                self._core.ping()
                self._pinged = now
            self._send()
            sock = self._sock
            if sock is None:
                return
            silent_at = self._pinged + SILENCE_S if self._pinged else self._heard + PING_S
            wake = min(t for t in (until, self._core.due(), silent_at) if t is not None)
        sock.settimeout(max(SHORTEST_WAIT_S, wake - now))
        try:
            data = sock.recv(RECEIVE_BYTES)
        except TimeoutError:
            self._check_silence(sock)
            return
        except OSError:
            data = b""
        with self._lock:
            if sock is not self._sock:
                return  # another thread has failed over meanwhile
            if not data:
                self._fail_over()
                return
            self._heard = time.monotonic()
            self._pinged = 0.0
            try:
                for message in self._unpacker.feed(data):
                    self._core.receive(message)
            except ProtocolError:
                self._fail_over()
                return
            if must_leave(self._core, self._draining, self.home):
                self._fail_over()

    def _check_silence(self, sock: socket.socket) -> None:
        with self._lock:
            silent = self._pinged and time.monotonic() - self._pinged >= SILENCE_S
            if silent and sock is self._sock:
                self._fail_over()

    def _send(self) -> None:
        data = self._core.take_outgoing()
        if not data or self._sock is None:
            return
        try:
            self._sock.settimeout(SILENCE_S)
            self._sock.sendall(data)
        except OSError:
            self._fail_over()

    # Finding a home. The lock is held.

    def _drop(self) -> None:
        if self._sock is not None:
            try:
                # Wakes a thread that reads from it.
                self._sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                self.home = ""  # it was broken already
            self._sock.close()
            self._sock = None
        self._core.disconnected()

    def _fail_over(self) -> None:
        if self._closed:
            raise ConnectionLost("the client is closed")
        left = self.home
        self._drop()
        until = time.monotonic() + FAIL_OVER_S
        while True:
            problems = self._try_all(avoid=left)
            if problems is None:
                return
            if time.monotonic() >= until:
                raise NoPeer(problems)
            left = ""
            time.sleep(PAUSE_S)

    def _try_all(self, avoid: str) -> str | None:
        """Connects to the first address that answers; otherwise says what is wrong with each.

        The peer that was just left comes last: it may still accept, and not answer.
        """
        addresses = in_order(self._addresses(), avoid, self._draining)
        problems = []
        self._full_s = 0.0
        for address in addresses:
            try:
                self._try(address)
            except (OSError, ProtocolError) as error:
                problems.append(problem(address, error))
                if isinstance(error, PeerFull):
                    self._full_s = spread(error.retry_after)
            else:
                return None
        return summary(problems)

    def _try(self, address: str) -> None:
        until = time.monotonic() + CONNECT_S
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(CONNECT_S)
            sock.connect(address)
            with contextlib.suppress(ConnectionError):  # a full peer has said so, and gone
                sock.sendall(greeting())
            unpacker = for_local()
            messages: list[LocalMessage] = []
            while not any(isinstance(message, Pong) for message in messages):
                sock.settimeout(max(SHORTEST_WAIT_S, until - time.monotonic()))
                data = sock.recv(RECEIVE_BYTES)
                if not data:
                    raise_closed(messages)
                messages += unpacker.feed(data)
        except BaseException:
            sock.close()
            raise
        self._sock, self._unpacker, self.home = sock, unpacker, address
        self._heard, self._pinged = time.monotonic(), 0.0
        self._welcome = next((m for m in messages if isinstance(m, Welcome)), None)
        self._core.connected()
        self._send()


# What every transport of a client says and tells.


def greeting() -> bytes:
    """The first bytes of a client: hello, and a ping that shows the peer to be alive."""
    hello = Hello(role="client", name="python", pid=os.getpid())
    return pack(hello) + pack(Ping(request=0))


def in_order(addresses: Sequence[str], avoid: str, draining: Set[str] = frozenset()) -> list[str]:
    """The addresses to try; those that drained come last, and one that was just left."""
    return sorted(addresses, key=lambda address: (address in draining, address == avoid))


def must_leave(core: ClientCore, draining: set[str], home: str) -> bool:
    """Whether the home peer's refusal asks for another home.

    Where a peer drains that had been left for that reason before, all of them do: what it did
    not take is refused.
    """
    rejection = core.rejection
    if rejection is None or rejection.kind != DRAINING:
        return rejection is not None
    if home in draining:
        draining.clear()
        core.refuse_turned_away()
        return False
    draining.add(home)
    return True


def problem(address: str, error: Exception) -> tuple[str, str]:
    """Which peer is not home, and why, in a few words."""
    return address, why_not(error)


def spread(retry_after: float) -> float:
    """A pause of about that many seconds: not all who were turned away come back at once."""
    return retry_after * (0.5 + random.random())


def summary(problems: list[tuple[str, str]]) -> str:
    """Why no peer is home. Of several, sockets are told by the names of their peers."""
    if not problems:
        return "the mesh has no peers on this machine"
    if len(problems) > 1:
        problems = [
            (PurePath(address).name.removesuffix(".sock"), reason) for address, reason in problems
        ]
    return nobody_answers(problems)


def raise_closed(messages: list[LocalMessage]) -> NoReturn:
    """For a peer that closed the connection before it answered.

    Raises:
        Refused: it said why.
        PeerFull: it may be tried again.
        ConnectionResetError: it did not.
    """
    for message in messages:
        if isinstance(message, RefusedMessage):
            if message.retry_after_ms >= 0:
                raise PeerFull(message.message, message.retry_after_ms / 1000)
            raise Refused(message.kind, message.message)
    raise ConnectionResetError("it closed the connection")
