"""The door: where a peer shows its credential before it may send anything else.

A small two-way ROUTER. A newcomer says `Hello`; the answer is `Accepted`, with
the address of the house and the door-keeper's own credential, or `TurnedAway`,
with the reason. After a refusal its key is not listened to for a while.
Who has no credential yet says `Join`, and is answered by whoever takes newcomers
(`invitation_desk`).

What is checked of a hello, in this order: the size (by the socket), the types, the
credential's chain and times, that it was issued for the very CURVE key that the
connection proved to hold, revocation, and a common version.
"""

from collections.abc import Callable
from typing import Annotated

import msgspec
import trio
import zmq

from mesh.runtime.doorman import LIFETIME_S, Doorman
from mesh.runtime.sockets import Socket, Sockets, until_readable
from mesh.runtime.zap import DOOR_DOMAIN, Guests
from protocols.credentials import (
    CHAIN_LIMIT,
    CLOCK_TOLERANCE_S,
    OVER,
    Credential,
    CredentialRefused,
)
from protocols.invitations.messages import Join, Welcome
from protocols.machine import SECOND_NS, Now
from protocols.trust import Revoked
from protocols.wire import NameField

MESSAGE_LIMIT = 4096
SOCKET_MESSAGE_LIMIT = MESSAGE_LIMIT + 64
"""What the socket lets pass: a message and CURVE's envelope around it."""
HIGH_WATER = 16
HELLOS_PER_KEY_LIMIT = 32
"""Hellos of one key that are looked at within `HELLO_WINDOW_NS`."""
HELLO_WINDOW_NS = 10 * SECOND_NS
HELLO_KEYS_LIMIT = 4096
FRAMES_PER_TURN = 64

OLDEST_VERSION = 1
NEWEST_VERSION = 1
FEATURES: tuple[str, ...] = ()
NO_ISSUER = "no-issuer"
"""The kind of refusal of who cannot sign: another peer may be able to."""

VersionField = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
FeaturesField = Annotated[tuple[NameField, ...], msgspec.Meta(max_length=16)]
CredentialField = Annotated[bytes, msgspec.Meta(max_length=CHAIN_LIMIT)]
ReasonField = Annotated[str, msgspec.Meta(max_length=512)]
STATEMENT_LIMIT = 2048
StatementField = Annotated[bytes, msgspec.Meta(max_length=STATEMENT_LIMIT)]

Verify = Callable[[bytes], Credential]
"""Checks an encoded credential chain; raises CredentialRefused."""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="door.hello"):
    """A newcomer's versions, oldest and newest, its features, and its credential."""

    oldest: VersionField
    newest: VersionField
    features: FeaturesField
    credential: CredentialField


class Accepted(msgspec.Struct, frozen=True, array_like=True, tag="door.accepted"):
    """Come in: the house's address, what both will speak, and who says so."""

    house: Annotated[str, msgspec.Meta(max_length=256)]
    version: VersionField
    features: FeaturesField
    credential: CredentialField


class Renew(msgspec.Struct, frozen=True, array_like=True, tag="door.renew"):
    """A peer of the mesh asks for a newer credential, for the same keys."""

    credential: CredentialField


class Renewed(msgspec.Struct, frozen=True, array_like=True, tag="door.renewed"):
    """The newer credential."""

    credential: CredentialField


class TurnedAway(msgspec.Struct, frozen=True, array_like=True, tag="door.refused"):
    """Stay out, and why. `kind` is a stable word, `reason` is for people.

    Of a credential that was revoked, `statement` is the signed statement by which: a
    peer that was down meanwhile hears of it here, and need not believe this door.
    """

    kind: NameField
    reason: ReasonField
    statement: StatementField = b""


TakeJoin = Callable[[bytes, Join, Callable[[Welcome | TurnedAway], None]], None]
"""Takes a newcomer's proven CURVE key, what it says, and how it is answered."""

_encoder = msgspec.msgpack.Encoder()
_knock_decoder: msgspec.msgpack.Decoder[Hello | Join | Renew] = msgspec.msgpack.Decoder(
    Hello | Join | Renew
)
Answer = Accepted | Renewed | TurnedAway
_answer_decoder: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)

TakeRenewal = Callable[[Credential], bytes]
"""Signs a newer credential chain for the bearer of a good one; raises CredentialRefused."""


def encode_hello(credential: bytes) -> bytes:
    """What this release says at another peer's door."""
    return _encoder.encode(Hello(OLDEST_VERSION, NEWEST_VERSION, FEATURES, credential))


def encode_renew(credential: bytes) -> bytes:
    """What a peer says that wants a newer credential."""
    return _encoder.encode(Renew(credential))


def decode_answer(data: bytes) -> Answer:
    """Reads a door's answer.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return _answer_decoder.decode(data)


class DoorCounters(msgspec.Struct):
    """What came to the door since the start."""

    accepted: int = 0
    turned_away: int = 0
    welcomed: int = 0
    """Newcomers that were given a credential."""
    unreadable: int = 0
    """Frames that were no hello; they get no answer."""
    ignored: int = 0
    """Frames of keys that are not listened to."""
    ended: int = 0
    """Connections that stayed too long or said too much."""


class Door:
    """Takes credentials, and opens the house to their CURVE keys."""

    def __init__(
        self,
        sockets: Sockets,
        guests: Guests,
        verify: Verify,
        credential: Callable[[], bytes],
        now: Callable[[], Now],
        lifetime_s: float = LIFETIME_S,
        take_join: TakeJoin | None = None,
        take_renewal: TakeRenewal | None = None,
    ) -> None:
        """Takes what it needs to judge.

        Args:
            sockets: where its socket is made.
            guests: the table that a good credential is entered in.
            verify: checks an encoded chain, or raises CredentialRefused.
            credential: this peer's own encoded chain, as it is now.
            now: reads the clock.
            lifetime_s: how long a connection to the door may last.
            take_join: takes newcomers that come with an invitation; None turns them away.
            take_renewal: signs newer credentials; None where no issuer's key is here.
        """
        self._counters = DoorCounters()
        self._sockets = sockets
        self._guests = guests
        self._verify = verify
        self._credential = credential
        self._now = now
        self._take_join = take_join
        self._take_renewal = take_renewal
        self._house = ""
        self._hellos: dict[str, tuple[int, int]] = {}
        self._socket: Socket = sockets.server(DOOR_DOMAIN, SOCKET_MESSAGE_LIMIT, HIGH_WATER)
        self._doorman = Doorman(sockets, self._socket, lifetime_s)
        self._port = 0

    def bind(self, host: str, port: int, house: str) -> int:
        """Listens, and returns the port.

        Args:
            host: the address to listen on.
            port: the port, or 0 for any free one.
            house: the address that newcomers are sent on to; a host of ``*``
                stands for the host they reached the door by.

        Raises:
            ConfigurationError: the port is taken, or the host is not this machine's.
        """
        self._house = house
        self._port = self._sockets.bind(self._socket, "door", host, port)
        return self._port

    async def run(self) -> None:
        """Answers until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._doorman.run, self._port)
            await self._answer_all()

    async def _answer_all(self) -> None:
        while True:
            await until_readable(self._socket)
            for _ in range(FRAMES_PER_TURN):
                try:
                    # A sender chooses how many parts a message has; two are a hello.
                    sender = self._socket.recv(zmq.NOBLOCK)
                    body = self._socket.recv(zmq.NOBLOCK, copy=False)
                except zmq.Again:
                    break
                if body.more:
                    await skip_rest(self._socket, body)
                    self._counters.unreadable += 1
                    self._guests.turn_away(str(body.get("User-Id")))
                    continue
                self._hear(sender, str(body.get("User-Id")), body.bytes)

    @property
    def counters(self) -> DoorCounters:
        """What came so far."""
        self._counters.ended = self._doorman.ended
        return self._counters

    def _answer(self, sender: bytes, answer: Answer | Welcome) -> None:
        try:
            self._socket.send_multipart([sender, _encoder.encode(answer)], zmq.NOBLOCK)
        except zmq.ZMQError:
            # Its queue is full, or this door is closed meanwhile.
            self._counters.ignored += 1

    def _hear(self, sender: bytes, key: str, data: bytes) -> None:
        if self._guests.is_turned_away(key) or not self._within_rate(key):
            self._counters.ignored += 1
            return
        try:
            knock = _knock_decoder.decode(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            self._counters.unreadable += 1
            return
        match knock:
            case Hello():
                self._answer(sender, self._judge(key, knock))
            case Join():
                self._welcome(sender, key, knock)
            case Renew():
                self._answer(sender, self._renew(key, knock))

    def _judge(self, key: str, hello: Hello) -> Accepted | TurnedAway:
        try:
            accepted = self._admit(key, hello)
        except CredentialRefused as refusal:
            self._turn_away(key, refusal)
            return _turned_away(refusal)
        self._counters.accepted += 1
        return accepted

    def _renew(self, key: str, asked: Renew) -> Renewed | TurnedAway:
        """Gives a peer a newer credential, where this one can."""
        if self._take_renewal is None:
            return TurnedAway(NO_ISSUER, "this peer signs no credentials")
        try:
            return Renewed(self._take_renewal(self._checked(key, asked.credential)))
        except CredentialRefused as refusal:
            if refusal.kind != NO_ISSUER:  # it merely asked the wrong peer
                self._turn_away(key, refusal)
            return _turned_away(refusal)

    def _turn_away(self, key: str, refusal: CredentialRefused) -> None:
        """Does not listen to a key for a while, unless it was a member's until lately.

        While such a peer runs it goes on knocking, and somebody may be about to have it
        readmitted, with that very key. Its signatures are good, and its rate is bounded.
        """
        self._counters.turned_away += 1
        if refusal.kind not in OVER:
            self._guests.turn_away(key)

    def _welcome(self, sender: bytes, key: str, join: Join) -> None:
        """Passes a newcomer on. Its key is listened to again at once: it may have mistyped."""

        def answer(said: Welcome | TurnedAway) -> None:
            if isinstance(said, Welcome):
                self._counters.welcomed += 1
            else:
                self._counters.turned_away += 1
            self._answer(sender, said)

        if self._take_join is None:
            answer(TurnedAway(NO_ISSUER, "this peer takes no newcomers"))
        else:
            self._take_join(bytes.fromhex(key), join, answer)

    def _checked(self, key: str, encoded: bytes) -> Credential:
        """A good credential for the key that the connection proved to hold."""
        if not encoded:
            raise CredentialRefused("malformed", "no credential was shown")
        credential = self._verify(encoded)
        if credential.curve.hex() != key:
            raise CredentialRefused(
                "wrong-curve-key", "the credential was issued for another CURVE key"
            )
        if self._guests.is_revoked(credential.subject):
            raise CredentialRefused("revoked", "the credential was revoked")
        return credential

    def _admit(self, key: str, hello: Hello) -> Accepted:
        credential = self._checked(key, hello.credential)
        version = min(hello.newest, NEWEST_VERSION)
        if version < max(hello.oldest, OLDEST_VERSION):
            raise CredentialRefused(
                "no-common-version",
                f"it speaks versions {hello.oldest} to {hello.newest}, "
                f"this peer {OLDEST_VERSION} to {NEWEST_VERSION}",
            )
        ends_ns = (credential.not_after_s + CLOCK_TOLERANCE_S) * SECOND_NS
        guest = (credential.subject, credential.curve, ends_ns, hello.credential)
        if not self._guests.admit(*guest):
            raise CredentialRefused("full", "this peer has as many neighbours as it can take")
        common = tuple(feature for feature in FEATURES if feature in hello.features)
        return Accepted(self._house, version, common, self._credential())

    def _within_rate(self, key: str) -> bool:
        now = self._now().monotonic_ns
        begun, count = self._hellos.get(key, (now, 0))
        if now - begun >= HELLO_WINDOW_NS:
            begun, count = now, 0
        if key not in self._hellos and len(self._hellos) >= HELLO_KEYS_LIMIT:
            self._hellos.pop(next(iter(self._hellos)))
        self._hellos[key] = (begun, count + 1)
        return count < HELLOS_PER_KEY_LIMIT


def _turned_away(refusal: CredentialRefused) -> TurnedAway:
    statement = _encoder.encode(refusal.statement) if isinstance(refusal, Revoked) else b""
    return TurnedAway(
        refusal.kind[:128],
        refusal.message[:512],
        statement if len(statement) <= STATEMENT_LIMIT else b"",
    )


async def skip_rest(socket: Socket, frame: zmq.Frame) -> None:
    """Drops the parts of a message after `frame`."""
    skipped = 0
    while frame.more:
        frame = socket.recv(copy=False)
        skipped += 1
        if skipped % FRAMES_PER_TURN == 0:
            await trio.lowlevel.checkpoint()
