"""Who may come in: the table of admitted keys, and the ZAP handler that asks it.

Every connection is asked about before it is ready (ZeroMQ RFC 27). At the door
any CURVE key may connect that is not turned away for now; in the house only keys
that came through the door. The handler's answer names the key as `User-Id`,
which ZeroMQ then attaches to every frame: that, and never a routing id, says
whose a frame is.
"""

import contextlib
from collections.abc import Callable

import msgspec
import zmq

from mesh.runtime.sockets import Socket, Sockets, until_readable
from protocols.machine import SECOND_NS, Now

ZAP_ADDRESS = "inproc://zeromq.zap.01"
DOOR_DOMAIN = "door"
HOUSE_DOMAIN = "house"

GUESTS_LIMIT = 4096
"""Peers that are admitted at a time."""
TURNED_AWAY_LIMIT = 4096
TURNED_AWAY_NS = 2 * SECOND_NS
"""How long a key that was refused is not listened to."""
_KEY_BYTES = 32
_REQUEST_PARTS = 9


class Guest(msgspec.Struct, frozen=True):
    """A peer that came through the door with a good credential."""

    peer: bytes
    key: str
    not_after_ns: int
    """Wall time at which its credential ends."""
    credential: bytes = b""
    """The chain that it came with, or showed later."""


class Guests:
    """The admitted keys and the peers behind them; each peer has one key, its newest.

    Keys are named by their hexadecimal digits, as in `User-Id`.
    """

    def __init__(self, now: Callable[[], Now]) -> None:
        self._now = now
        self._by_key: dict[str, Guest] = {}
        self._by_peer: dict[bytes, Guest] = {}
        self._revoked: dict[bytes, None] = {}
        self._turned_away: dict[str, int] = {}

    def admit(self, peer: bytes, curve: bytes, not_after_ns: int, credential: bytes = b"") -> bool:
        """Lets a key into the house; False when the house is full."""
        assert peer not in self._revoked, "a revoked peer is admitted"
        if peer not in self._by_peer and len(self._by_peer) >= GUESTS_LIMIT:
            wall_ns = self._now().wall_ns
            for guest in [g for g in self._by_peer.values() if g.not_after_ns < wall_ns]:
                self._dismiss(guest.peer)
            if len(self._by_peer) >= GUESTS_LIMIT:
                return False
        self._dismiss(peer)
        guest = Guest(peer, curve.hex(), not_after_ns, credential)
        self._by_peer[peer] = guest
        self._by_key[guest.key] = guest
        return True

    def peer_of(self, user_id: str) -> bytes | None:
        """The peer behind a `User-Id`, while it is admitted."""
        guest = self._by_key.get(user_id)
        return None if guest is None else guest.peer

    def renewed(self, peer: bytes, curve: bytes, not_after_ns: int, credential: bytes) -> None:
        """A guest showed a newer credential for the same key: it may stay for longer."""
        known = self._by_peer.get(peer)
        if known is not None and known.key == curve.hex():
            self.admit(peer, curve, not_after_ns, credential)

    def refused(self, is_good: Callable[[bytes], bool]) -> tuple[bytes, ...]:
        """The guests whose credential is not good any more."""
        return tuple(
            guest.peer
            for guest in self._by_peer.values()
            if guest.credential and not is_good(guest.credential)
        )

    def dismiss(self, peer: bytes) -> None:
        """Shows a peer out; with a good credential it may come again."""
        self._dismiss(peer)

    def revoke(self, peer: bytes) -> None:
        """Shows a peer out, and never lets it in again."""
        self._revoked[peer] = None
        self._dismiss(peer)

    def is_revoked(self, peer: bytes) -> bool:
        """Whether a peer was revoked."""
        return peer in self._revoked

    def dismiss_expired(self) -> None:
        """Shows out everybody whose credential has ended, and back in where it has not after all.

        A wall clock that jumped ahead and was set right must not leave this peer deaf:
        those whose frames it dropped see a good connection, and do not knock again.
        """
        wall_ns = self._now().wall_ns
        for guest in self._by_peer.values():
            if guest.not_after_ns < wall_ns:
                self._by_key.pop(guest.key, None)
            else:
                self._by_key[guest.key] = guest

    def turn_away(self, key: str) -> None:
        """Stops listening to a key for a while; the oldest entry makes room."""
        self._turned_away.pop(key, None)
        if len(self._turned_away) >= TURNED_AWAY_LIMIT:
            self._turned_away.pop(next(iter(self._turned_away)))
        self._turned_away[key] = self._now().monotonic_ns + TURNED_AWAY_NS

    def is_turned_away(self, key: str) -> bool:
        """Whether a key is not listened to just now."""
        until = self._turned_away.get(key)
        if until is None:
            return False
        if until <= self._now().monotonic_ns:
            del self._turned_away[key]
            return False
        return True

    def _dismiss(self, peer: bytes) -> None:
        guest = self._by_peer.pop(peer, None)
        if guest is not None:
            self._by_key.pop(guest.key, None)


class ZapHandler:
    """Answers ZeroMQ's question whether a connection may be made."""

    def __init__(self, sockets: Sockets, guests: Guests) -> None:
        """Binds at once: without a handler, bound sockets admit nobody."""
        self._guests = guests
        self._socket: Socket = sockets.plain(zmq.ROUTER)
        self._socket.bind(ZAP_ADDRESS)

    async def run(self) -> None:
        """Answers until cancelled."""
        while True:
            await until_readable(self._socket)
            with contextlib.suppress(zmq.Again):
                self._answer(self._socket.recv_multipart(zmq.NOBLOCK))

    def _answer(self, parts: list[bytes]) -> None:
        sender, _, *request = parts
        # version, request id, domain, address, identity, mechanism, credentials
        if len(parts) != _REQUEST_PARTS or len(request[6]) != _KEY_BYTES:
            key = None
        else:
            key = self._admitted_key(request[2].decode(), request[5], request[6])
        status = (b"400", b"not admitted", b"") if key is None else (b"200", b"OK", key.encode())
        self._socket.send_multipart([sender, b"", b"1.0", request[1], *status, b""])

    def _admitted_key(self, domain: str, mechanism: bytes, curve: bytes) -> str | None:
        key = curve.hex()
        if mechanism != b"CURVE":
            return None
        if domain == DOOR_DOMAIN:
            return None if self._guests.is_turned_away(key) else key
        if domain == HOUSE_DOMAIN and self._guests.peer_of(key) is not None:
            return key
        return None
