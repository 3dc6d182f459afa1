"""A newcomer at the door: shows the token's proof, and takes its credential home.

One question and one answer, under the server key that the token names, so that
nobody but that door reads the question or gives the answer.
"""

import time
from collections.abc import Callable

import msgspec
import trio
import zmq

from mesh.runtime import door
from mesh.runtime.dialling import Connection, DialFailed, Failure, Watch, answer_or_loss, numeric
from mesh.runtime.sockets import CurveKeys, Sockets
from mesh.storage.keys import PeerKeys
from protocols.credentials import Credential, CredentialRefused
from protocols.errors import MeshError
from protocols.identity import Ed25519Keyring
from protocols.invitations.messages import Join, JoinBody, Seed, Welcome, make_join
from protocols.invitations.token import Token, invitation_keyring
from protocols.machine import SECOND_NS
from protocols.succession import verify_founded
from protocols.wire import encode

DOOR_TIMEOUT_S = 5.0
"""For each address in the token."""

_answer_decoder: msgspec.msgpack.Decoder[Welcome | door.TurnedAway] = msgspec.msgpack.Decoder(
    Welcome | door.TurnedAway
)


class JoinFailed(MeshError):
    """Nobody was let in; why, and what to try.

    Attributes:
        kind: what the door said (docs/protocols/admission.md), ``nobody-answers``, or
            ``bad-answer``.
        is_certain: whether nobody can have been let in; False where an answer may be lost.
    """

    def __init__(self, kind: str, message: str, is_certain: bool = True) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.is_certain = is_certain


class Joined(msgspec.Struct, frozen=True):
    """A newcomer's credential, verified, and whom it meets first."""

    chain: bytes
    credential: Credential
    mesh_name: str
    seeds: tuple[Seed, ...]


async def join(
    token: Token, keys: PeerKeys, name: str, wall_ns: Callable[[], int] = time.time_ns
) -> Joined:
    """Asks the token's door for a credential.

    Args:
        token: from `mesh invite`.
        keys: the newcomer's, made where they will live.
        name: what the newcomer is to be called.
        wall_ns: this host's clock.

    Raises:
        JoinFailed: with why, and what to try.
    """
    newcomer = Ed25519Keyring(keys.seed, token.mesh)
    invitation = invitation_keyring(token.secret, token.mesh)
    body = JoinBody(
        token.mesh,
        invitation.peer,
        newcomer.peer,
        keys.curve_public,
        name,
        wall_ns() // SECOND_NS,
    )
    sockets = Sockets(CurveKeys(keys.curve_public, keys.curve_secret))
    try:
        answer, address = await _first_answer(
            sockets, token, make_join(body, invitation, newcomer), wall_ns()
        )
    finally:
        await sockets.terminate()
    if isinstance(answer, door.TurnedAway):
        raise JoinFailed(answer.kind, answer.reason)
    credential = _verified(token, keys, answer, wall_ns())
    # Where the door was found counts for more than where it believes to be.
    seeds = tuple(
        msgspec.structs.replace(seed, door=address) if seed.curve == token.door_key else seed
        for seed in answer.seeds
    )
    return Joined(answer.credential, credential, answer.name, seeds)


async def _first_answer(
    sockets: Sockets, token: Token, said: Join, wall_ns: int
) -> tuple[Welcome | door.TurnedAway, str]:
    """What the first door that answers says, and its address."""
    failures: list[str] = []
    is_certain = True
    for address in token.doors:
        visit = _Visit(sockets, token.door_key, address)
        try:
            return await visit.ask(encode(said)), address
        except DialFailed as failed:
            failures.append(f"{address}: {_why(failed)}")
            is_certain = is_certain and not visit.has_spoken
    left_s = token.not_after_s - wall_ns // SECOND_NS
    ended = "" if left_s > 0 else f"; by this host's clock the token ended {-left_s} s ago"
    raise JoinFailed(
        "nobody-answers",
        f"no door of the token answers ({'; '.join(failures)}): does the peer that invited run, "
        f"and do the network and its firewall let this host reach it?{ended}",
        is_certain,
    )


def _why(failed: DialFailed) -> str:
    if failed.failure is Failure.UNREACHABLE and "handshake" in failed.reason:
        return "no handshake: nothing answers there, or it is not the door that the token names"
    return failed.reason


class _Visit:
    """One attempt at one address.

    Attributes:
        has_spoken: whether the door may have heard the question.
    """

    def __init__(self, sockets: Sockets, door_key: bytes, address: str) -> None:
        self.has_spoken = False
        self._sockets = sockets
        self._door_key = door_key
        self._address = address

    async def ask(self, said: bytes) -> Welcome | door.TurnedAway:
        """The door's answer.

        Raises:
            DialFailed: there was none.
            JoinFailed: it was no answer that a door gives.
        """
        with trio.move_on_after(DOOR_TIMEOUT_S):
            data = await self._exchange(said)
            try:
                return _answer_decoder.decode(data)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                raise JoinFailed(
                    "bad-answer",
                    f"{self._address} answered what no door says: use the same release of "
                    "stigmesh on both hosts",
                ) from None
        raise DialFailed(Failure.UNREACHABLE, f"no answer within {DOOR_TIMEOUT_S:g} s")

    async def _exchange(self, said: bytes) -> bytes:
        address = await numeric(self._address)
        watch = Watch()
        connection = Connection(self._sockets, self._door_key, door.SOCKET_MESSAGE_LIMIT, watch)
        try:
            await connection.open(address)
            self.has_spoken = True
            connection.socket.send(said, zmq.NOBLOCK)
            return await answer_or_loss(connection, address)
        finally:
            connection.close()


def _verified(token: Token, keys: PeerKeys, answer: Welcome, wall_ns: int) -> Credential:
    """The credential, as every neighbour will check it."""
    keyring = Ed25519Keyring(keys.seed, token.mesh)
    try:
        credential = verify_founded(answer.credential, token.mesh, wall_ns, keyring)
    except CredentialRefused as refused:
        raise JoinFailed(
            refused.kind, f"the credential that the door gave admits nobody: {refused.message}"
        ) from None
    if credential.subject != keys.peer or credential.curve != keys.curve_public:
        raise JoinFailed("bad-answer", "the credential that the door gave is for other keys")
    return credential
