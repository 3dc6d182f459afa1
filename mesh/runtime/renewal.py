"""Renews this peer's credential while it runs, from any issuer that is alive.

At two thirds of its life, and then again and again until it is done, the peer asks: the
issuer's key in its own folder, where there is one, else one door after the other, of the
named issuers first. The links stay up: neighbours learn the newer credential by gossip.

Once it has ended no door renews it. `mesh join` gets a newer one for the same keys and
leaves it in the folder, where it is found here.
"""

import random
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
import structlog
import trio

from mesh.core.peer import PeerCore
from mesh.runtime.dialling import DialFailed
from mesh.runtime.door import NO_ISSUER, Answer, Renewed, TurnedAway, encode_renew
from mesh.runtime.standing import Signer, Standing
from protocols.credentials import (
    ROLES_LIMIT,
    Credential,
    CredentialRefused,
    RoleField,
    decode_chain,
)
from protocols.errors import ConfigurationError, Refused
from protocols.gossip.commands import Contact
from protocols.identity import text_id

LOOK_EVERY_S = 60.0
PAUSE_S = 3600.0
"""How long a peer waits after a renewal that did not help, as by an issuer that ends soon too."""
DOORS_LIMIT = 16
"""Doors that are knocked at in one attempt."""
HAS_ENDED = (
    "the credential of this peer has ended, so nobody listens to it: `mesh doctor` here says what "
    "to do"
)

Ask = Callable[[Contact, bytes], Awaitable[Answer]]


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """The arguments of the verb ``renew``: roles that are to be given beside those there are."""

    roles: Annotated[tuple[RoleField, ...], msgspec.Meta(max_length=ROLES_LIMIT)] = ()


class Renewal:
    """Keeps one peer's credential young."""

    def __init__(
        self,
        standing: Standing,
        core: PeerCore,
        signer: Signer,
        ask: Ask,
        rng: random.Random,
        show: Callable[[dict[str, Any]], None],
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        """Takes who it is for, who may sign, and how doors are asked.

        Args:
            standing: holds the credential.
            core: is only read: whom this peer knows.
            signer: this process's own issuer's key.
            ask: knocks at a door.
            rng: spreads the peers of a mesh that were made together.
            show: takes events for people.
            look_every_s: how often it is looked whether renewal is due.
        """
        self._standing = standing
        self._core = core
        self._signer = signer
        self._ask = ask
        self._rng = rng
        self._show = show
        self._look_every_s = look_every_s
        self._log = structlog.get_logger("mesh.renewal")

    async def run(self) -> None:
        """Renews in time until cancelled."""
        pause_s = 0.0
        while True:
            await trio.sleep(self._look_every_s * self._rng.uniform(0.5, 1.0) + pause_s)
            pause_s = 0.0
            self._standing.look_at_roots()
            if not self._standing.is_due():
                continue
            try:
                await self.renew()
            except Refused as refused:
                self._log.warning("not renewed", why=refused.message)
                self._show({"event": "credential.not-renewed", "reason": refused.message})
            else:
                pause_s = PAUSE_S if self._standing.is_due() else 0.0

    async def renew(self, arguments: Any = None) -> dict[str, Any]:
        """Gets a newer credential now; answers the verb ``renew`` of the local protocol.

        Raises:
            Refused: nobody gave one; says what each that was asked said.
        """
        try:
            wanted = msgspec.convert(arguments or {}, _Wanted).roles
        except msgspec.ValidationError as error:
            raise Refused("InvalidInput", str(error)) from None
        newer, by = await self._newer(wanted)
        told = {
            "serial": newer.serial,
            "ends": newer.not_after_s,
            "by": text_id(by),
            "roles": list(newer.roles),
        }
        self._show({"event": "credential.renewed", **told})
        return told

    async def _newer(self, more: tuple[str, ...] = ()) -> tuple[Credential, bytes]:
        _, _, mine = decode_chain(self._standing.credential)
        said: list[str] = []
        kept = None if more else self._kept(said)
        if kept is not None:
            return kept
        roles = tuple(dict.fromkeys((*mine.roles, *more)))
        if len(roles) > ROLES_LIMIT:
            raise Refused("InvalidInput", f"a credential has at most {ROLES_LIMIT} roles")
        if self._signer.may_issue():
            try:
                return self._taken(self._signer.sign(mine.subject, mine.curve, roles))
            except (ConfigurationError, CredentialRefused) as error:
                said.append(f"the issuer's key here: {error}")
        if roles != mine.roles:
            raise Refused(
                "NotAnIssuer",
                "; ".join(said)
                or "this peer signs no credentials, and another would give it no more roles than "
                "it has: have an issuer's host invite it with --role, as another peer",
            )
        for name, contact in self._doors():
            try:
                answer = await self._ask(contact, encode_renew(self._standing.credential))
                if isinstance(answer, Renewed):
                    return self._taken(answer.credential)
                if isinstance(answer, TurnedAway) and answer.kind != NO_ISSUER:
                    said.append(f"{name}: {answer.kind}: {answer.reason}")
            except (DialFailed, CredentialRefused) as error:
                said.append(f"{name}: {error}")
        why = "; ".join(said) or "no peer that is alive signs credentials"
        if self._standing.has_ended():
            raise Refused("NotRenewed", f"{HAS_ENDED} ({why})")
        raise Refused(
            "NotRenewed", f"{why}: start a peer where an issuer's key is, or name another issuer"
        )

    def _kept(self, said: list[str]) -> tuple[Credential, bytes] | None:
        """What lies in the folder, where it is newer than what this peer shows."""
        try:
            newer = self._standing.take_kept()
        except (OSError, CredentialRefused) as error:
            said.append(f"the folder's: {error}")
            return None
        return (
            None if newer is None else (newer, decode_chain(self._standing.credential)[1].subject)
        )

    def _taken(self, encoded: bytes) -> tuple[Credential, bytes]:
        newer = self._standing.take(encoded)
        return newer, decode_chain(encoded)[1].subject

    def _doors(self) -> list[tuple[str, Contact]]:
        """Whom to ask: named issuers first, the others in any order."""
        trust = self._core.trust
        alive = list(self._core.gossip.alive())
        self._rng.shuffle(alive)
        alive.sort(key=lambda peer: peer not in trust.issuers)
        names = {member.peer: member.name for member in self._core.gossip.members()}
        contacts = ((peer, self._core.contact(peer)) for peer in alive)
        known = [(names.get(peer, ""), found) for peer, found in contacts if found is not None]
        return known[:DOORS_LIMIT]
