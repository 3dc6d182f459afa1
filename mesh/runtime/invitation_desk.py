"""Invitations between the local socket, the door and the core (docs/protocols/admission.md).

`mesh invite` asks by the local socket; newcomers come by the door. The core's machine
decides and writes; what it tells once that is durable is answered here, and the
issuer's key signs the newcomer's credential only then.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Protocol

import msgspec
import trio

from mesh.runtime.door import TurnedAway
from protocols.credentials import ROLE_PEER, ROLES_LIMIT, RoleField
from protocols.errors import ConfigurationError, Malformed, Refused
from protocols.invitations.commands import OpenInvitation, Redeem
from protocols.invitations.events import InvitationOpened, InvitationRedeemed
from protocols.invitations.messages import Join, Seed, Welcome, decode_body
from protocols.machine import SECOND_NS, Now

JOINS_LIMIT = 64
"""Joins whose proofs are verified within `JOINS_WINDOW_NS`, of all keys together."""
JOINS_WINDOW_NS = 10 * SECOND_NS
UNVERIFIED = ("malformed", "other-mesh", "wrong-curve-key", "unknown-invitation")
"""Refusals for which no signature is looked at; they cost no newcomer its turn."""
NO_ISSUER = (
    "this peer cannot sign credentials: its folder has no issuer.key; ask a peer of the folder "
    "where the mesh was founded (`mesh invite --dir` there)"
)
OUTCAST = TurnedAway(
    "revoked", "this peer's key was revoked: remove its folder and join anew, with another key"
)

Reply = Callable[[Welcome | TurnedAway], None]


class Submitter(Protocol):
    """What the desk needs of the driver."""

    def submit(self, command: msgspec.Struct) -> None:
        """Takes a local command; may raise Refused."""


class Place(Protocol):
    """What the desk must know of its peer."""

    def may_issue(self) -> bool:
        """Whether an issuer's key is here."""

    def sign(self, peer: bytes, curve: bytes, roles: Sequence[str]) -> bytes:
        """A newcomer's credential chain, with these roles.

        Raises:
            ConfigurationError: the issuer's key cannot be used.
        """

    def is_taken(self, name: str, peer: bytes) -> bool:
        """Whether a live member other than `peer` has this name."""

    def is_outcast(self, peer: bytes) -> bool:
        """Whether this key was revoked, as far as known here."""

    def seeds(self) -> tuple[Seed, ...]:
        """Whom a newcomer may meet first; this peer comes first."""

    def mesh_name(self) -> str:
        """The mesh's name, for people."""


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """The arguments of the verb ``invite``."""

    key: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    valid_s: Annotated[int, msgspec.Meta(ge=0, le=2**31)]
    roles: Annotated[tuple[RoleField, ...], msgspec.Meta(max_length=ROLES_LIMIT)] = ()


class InvitationDesk:
    """Answers `mesh invite` and newcomers."""

    def __init__(self, driver: Submitter, place: Place, now: Callable[[], Now]) -> None:
        """Takes who decides, who signs, and the clock."""
        self._driver = driver
        self._place = place
        self._now = now
        self._requests = 0
        self._inviting: dict[int, tuple[trio.Event, list[InvitationOpened]]] = {}
        self._joining: dict[int, Reply] = {}
        self._verified_at: deque[int] = deque(maxlen=JOINS_LIMIT)

    async def invite(self, arguments: Any) -> dict[str, Any]:
        """Opens an invitation for a key; answers the verb ``invite`` of the local protocol.

        Raises:
            Refused: this peer is no issuer, too many are open, or the arguments are wrong.
        """
        try:
            wanted = msgspec.convert(arguments or {}, _Wanted)
        except msgspec.ValidationError as error:
            raise Refused("InvalidInput", str(error)) from None
        if not self._place.may_issue():
            raise Refused("NotAnIssuer", NO_ISSUER)
        request = self._next()
        opened, told = trio.Event(), list[InvitationOpened]()
        self._inviting[request] = opened, told
        try:
            key, valid_ns = bytes.fromhex(wanted.key), wanted.valid_s * SECOND_NS
            self._driver.submit(OpenInvitation(request, key, valid_ns, wanted.roles))
            await opened.wait()
        finally:
            del self._inviting[request]
        first = self._place.seeds()[0]
        return {
            "doors": [first.door],
            "door_key": first.curve.hex(),
            "not_after": told[0].not_after_ns // SECOND_NS,
        }

    def come(self, curve: bytes, join: Join, reply: Reply) -> None:
        """A newcomer is at the door; `curve` is the key that its connection proved to hold."""
        refusal = self._refusal(join) or self._redeem(curve, join, reply)
        if refusal is not None:
            reply(refusal)

    def _redeem(self, curve: bytes, join: Join, reply: Reply) -> TurnedAway | None:
        request = self._next()
        self._joining[request] = reply
        refusal = None
        try:
            self._driver.submit(Redeem(request, join, curve))
        except Refused as refused:
            del self._joining[request]
            refusal = TurnedAway(refused.kind[:128], refused.message[:512])
        if refusal is None or refusal.kind not in UNVERIFIED:
            self._verified_at.append(self._now().monotonic_ns)
        return refusal

    def notify(self, event: msgspec.Struct) -> None:
        """Takes an event of the core; those of others are passed over."""
        match event:
            case InvitationOpened():
                waiting = self._inviting.get(event.request)
                if waiting is not None:
                    waiting[1].append(event)
                    waiting[0].set()
            case InvitationRedeemed():
                reply = self._joining.pop(event.request, None)
                if reply is not None:
                    reply(self._welcome(event))

    def _refusal(self, join: Join) -> TurnedAway | None:
        """Why the machine is not even asked."""
        now = self._now().monotonic_ns
        if len(self._verified_at) == JOINS_LIMIT and now - self._verified_at[0] < JOINS_WINDOW_NS:
            return TurnedAway("busy", "too many want to join at this moment: try again soon")
        if not self._place.may_issue():
            return TurnedAway("no-issuer", NO_ISSUER)
        try:
            body = decode_body(join)
        except Malformed:
            return None  # the machine says so
        if self._place.is_outcast(body.peer):
            return OUTCAST
        if self._place.is_taken(body.name, body.peer):
            text = f"a live member is called {body.name[:48]!r} already: choose another --name"
            return TurnedAway("name-taken", text)
        return None

    def _welcome(self, event: InvitationRedeemed) -> Welcome | TurnedAway:
        if self._place.is_outcast(event.peer):  # since it was asked
            return OUTCAST
        try:
            roles = dict.fromkeys((ROLE_PEER, *event.roles))
            credential = self._place.sign(event.peer, event.curve, tuple(roles))
        except ConfigurationError as error:
            return TurnedAway("no-issuer", str(error)[:512])
        return Welcome(credential, self._place.mesh_name()[:128], self._place.seeds())

    def _next(self) -> int:
        self._requests += 1
        return self._requests
