"""ZeroMQ sockets under trio: one context, CURVE everywhere, every socket accounted for.

A ZeroMQ descriptor is edge-triggered and serves both directions, so waiting on
it is right only after `EVENTS` was read and showed nothing to do: `until_readable`
does that, and a socket has one task that waits on it.

Addresses come from other peers, so they are parsed strictly (``tcp://host:port``
alone: no ``inproc://`` or ``ipc://`` reaches ZeroMQ), and names are resolved here,
not in ZeroMQ's I/O thread, where a slow name server would hold up every link.
"""

import errno
import ipaddress
import socket as os_socket
from typing import NamedTuple

import msgspec
import trio
import zmq
from zmq.utils import z85

from protocols.errors import ConfigurationError

Socket = zmq.Socket[bytes]

ANY_PORT = 0
ANY_HOSTS = ("*", "0.0.0.0", "::")  # noqa: S104  compared with, never bound to
MAX_SOCKETS = 16_384
HANDSHAKE_INTERVAL_MS = 3_000
CONNECT_TIMEOUT_MS = 2_000
OUTGOING_HEARTBEAT_MS = 2_000
OUTGOING_HEARTBEAT_TIMEOUT_MS = 4_000
BOUND_HEARTBEAT_MS = 5_000
BOUND_HEARTBEAT_TIMEOUT_MS = 15_000
BACKLOG = 256
RESOLVE_TIMEOUT_S = 2.0
PROBE_TIMEOUT_S = 1.0
_POLLIN = int(zmq.POLLIN)


class CurveKeys(msgspec.Struct, frozen=True):
    """A CURVE key pair, 32 raw bytes each."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"CurveKeys({self.public.hex()})"


def new_curve_keys() -> CurveKeys:
    """A fresh key pair, from libsodium's random numbers."""
    public, secret = zmq.curve_keypair()
    return CurveKeys(z85.decode(public), z85.decode(secret))


def curve_keys_from_secret(secret: bytes) -> CurveKeys:
    """The pair of a stored 32-byte secret key."""
    return CurveKeys(z85.decode(zmq.curve_public(z85.encode(secret))), secret)


class Address(NamedTuple):
    """Where a socket listens. `host` is a name, an IP address, or one of `ANY_HOSTS`."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Reads ``tcp://host:port``.

        Raises:
            ValueError: it is anything else.
        """
        scheme, _, rest = text.partition("://")
        host, _, port = rest.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            host = ""
        if scheme != "tcp" or not host or not (port.isascii() and port.isdigit()):
            raise ValueError(f"{text[:80]!r} is not tcp://host:port")
        if not 0 < int(port) < 65536 or any(c in host for c in " ;/@[]\0"):
            raise ValueError(f"{text[:80]!r} is not tcp://host:port")
        return cls(host, int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"


async def resolve(address: Address) -> Address:
    """The same address with a numeric host.

    Raises:
        OSError: the name is not known, or not soon enough.
    """
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        pass
    else:
        return address
    with trio.move_on_after(RESOLVE_TIMEOUT_S):
        found = await trio.socket.getaddrinfo(
            address.host, address.port, type=os_socket.SOCK_STREAM
        )
        return Address(str(found[0][4][0]), address.port)
    raise OSError(f"the name {address.host} was not resolved in {RESOLVE_TIMEOUT_S} s")


async def nobody_listens(address: Address) -> bool:
    """Whether a TCP connection to a numeric address is refused.

    Only a refusal counts: no answer, no route or a reset say nothing about the
    process. ZeroMQ reports a refused connection and a timed-out one alike, which
    is why this asks the kernel.
    """
    family = os_socket.AF_INET6 if ":" in address.host else os_socket.AF_INET
    try:
        with trio.move_on_after(PROBE_TIMEOUT_S), trio.socket.socket(family) as probe:
            await probe.connect((address.host, address.port))
            # A free port in the ephemeral range can be connected to itself.
            return bool(probe.getsockname() == probe.getpeername())
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def descriptor(socket: Socket) -> int:
    """The descriptor that turns readable when `EVENTS` may have changed."""
    fd = socket.getsockopt(zmq.FD)
    assert isinstance(fd, int), "a descriptor is a number"
    return fd


def events(socket: Socket) -> int:
    """What can be done with a socket now, as POLLIN and POLLOUT."""
    flags = socket.getsockopt(zmq.EVENTS)
    assert isinstance(flags, int), "events are a number"
    return int(flags)


async def until_readable(socket: Socket) -> None:
    """Waits until a message can be received; always a checkpoint."""
    if events(socket) & _POLLIN:
        await trio.lowlevel.checkpoint()
        return
    fd = descriptor(socket)
    while not events(socket) & _POLLIN:
        await trio.lowlevel.wait_readable(fd)


class Sockets:
    """One ZeroMQ context, this peer's CURVE keys, and every socket made of them."""

    def __init__(self, keys: CurveKeys) -> None:
        self.keys = keys
        self._context: zmq.Context[Socket] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, MAX_SOCKETS)
        self._open: dict[Socket, None] = {}
        self._monitors = 0

    def plain(self, kind: int) -> Socket:
        """A socket for use inside this process."""
        return self._register(self._context.socket(kind))

    def monitor(self, watched: Socket, kinds: int) -> Socket:
        """A socket that receives what happens to another one."""
        self._monitors += 1
        address = f"inproc://monitor.{self._monitors}"
        watched.monitor(address, kinds)
        monitor = self.plain(zmq.PAIR)
        monitor.connect(address)
        return monitor

    def server(self, domain: str, message_limit: int, high_water: int) -> Socket:
        """A ROUTER, not bound yet, that asks ZAP about every key under `domain`."""
        socket = self.plain(zmq.ROUTER)
        socket.curve_server = True
        socket.curve_secretkey = self.keys.secret
        socket.zap_domain = domain.encode()
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, message_limit)
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_INTERVAL_MS)
        socket.setsockopt(zmq.HEARTBEAT_IVL, BOUND_HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, BOUND_HEARTBEAT_TIMEOUT_MS)
        socket.setsockopt(zmq.BACKLOG, BACKLOG)
        socket.setsockopt(zmq.RCVHWM, high_water)
        socket.setsockopt(zmq.SNDHWM, high_water)
        return socket

    def client(self, server_key: bytes, message_limit: int, high_water: int) -> Socket:
        """A DEALER, not connected yet, that connects once and never again by itself."""
        socket = self.plain(zmq.DEALER)
        socket.curve_publickey = self.keys.public
        socket.curve_secretkey = self.keys.secret
        socket.curve_serverkey = server_key
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.RECONNECT_IVL, -1)
        socket.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS)
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_INTERVAL_MS)
        socket.setsockopt(zmq.HEARTBEAT_IVL, OUTGOING_HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, OUTGOING_HEARTBEAT_TIMEOUT_MS)
        socket.setsockopt(zmq.MAXMSGSIZE, message_limit)
        socket.setsockopt(zmq.RCVHWM, high_water)
        socket.setsockopt(zmq.SNDHWM, high_water)
        return socket

    def connect(self, socket: Socket, address: Address) -> None:
        """Begins to connect to a numeric address."""
        if ":" in address.host:
            socket.setsockopt(zmq.IPV6, 1)
        socket.connect(str(address))

    def bind(self, socket: Socket, what: str, host: str, port: int) -> int:
        """Binds and returns the port, a free one where `port` is `ANY_PORT`.

        Raises:
            ConfigurationError: the port is taken, or the host is not this machine's.
        """
        if ":" in host:
            socket.setsockopt(zmq.IPV6, 1)
        shown = f"[{host}]" if ":" in host else host
        try:
            socket.bind(f"tcp://{shown}:{port or '*'}")
        except zmq.ZMQError as error:
            raise ConfigurationError(_why_not_bound(error, what, host, port)) from None
        return Address.parse(socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")).port

    def close(self, socket: Socket, linger_ms: int = 0) -> None:
        """Closes a socket; messages already handed over have `linger_ms` to leave."""
        if self._open.pop(socket, socket) is None:
            socket.close(linger_ms)

    async def terminate(self) -> None:
        """Closes whatever is open and ends the context, waiting for lingering sockets only."""
        for socket in list(self._open):
            self.close(socket)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._context.term)

    def _register(self, socket: Socket) -> Socket:
        socket.linger = 0
        self._open[socket] = None
        return socket


def _why_not_bound(error: zmq.ZMQError, what: str, host: str, port: int) -> str:
    if error.errno == zmq.EADDRINUSE:
        return (
            f"port {port} on {host}, wanted for the {what}, is taken by another process; "
            "stop that process, or choose another port (0 takes any free one)"
        )
    if error.errno == errno.EACCES:
        return (
            f"this user may not listen on port {port}, wanted for the {what}; "
            "choose one above 1023 (0 takes any free one)"
        )
    return (
        f"cannot listen on {host} port {port}, wanted for the {what}: {error.strerror}; "
        "is the address one of this machine's?"
    )
