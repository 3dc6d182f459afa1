"""Who writes, and in which roles: the credentials of all writers ever met, which verify for ever.

A credential that has ended since is as good as before for what was written: when that
was, nobody can tell. One that was revoked too: others took ops on its word, and
replicas must agree; but nothing is taken from a revoked peer's own link (admission).

A writer has all roles that any credential ever gave it: a set that only grows, so that
replicas that know the same credentials agree on what each op may do, whichever came first.

Invariant:
    board-writers-bounded: the credentials that are kept have a limit, and so have one writer's.
"""

from collections.abc import Container, Iterator

from protocols.blackboard.messages import WRITERS_PER_MESSAGE_LIMIT
from protocols.credentials import ROLE_PEER, Credential, CredentialRefused, decode_chain
from protocols.errors import Malformed
from protocols.identity import Keyring
from protocols.machine import SECOND_NS
from protocols.succession import verify_founded
from protocols.trust import Trust

WRITERS_LIMIT = 4096
ROLES_LIMIT = 16
"""Roles of one writer, of all its credentials together: each that is kept brings one more."""


class Writers:
    """Credentials by writer."""

    def __init__(self, keyring: Keyring, credential: bytes, trust: Trust) -> None:
        self._keyring = keyring
        self._trust = trust
        self.own = credential
        self.known: dict[bytes, tuple[bytes, ...]] = {}
        """The credentials of each writer, no longer those of which another says all."""
        self._roles: dict[bytes, tuple[str, ...]] = {}
        _, _, peer = decode_chain(credential)
        self._roles[peer.subject] = peer.roles

    def roles_of(self, writer: bytes) -> tuple[str, ...]:
        """Those that any credential gave it; none of a writer whose credential never came."""
        return self._roles.get(writer, ())

    def own_roles(self) -> tuple[str, ...]:
        """Those of this peer."""
        return self.roles_of(self._keyring.peer)

    def to_show(self, members: Container[bytes]) -> Iterator[tuple[bytes, ...]]:
        """What a member that comes up is shown, as it travels.

        This peer's credential, and those of writers with roles who are not there to do it.
        """
        found = [self.own]
        for writer, credentials in self.known.items():
            if writer not in members and self.roles_of(writer) != (ROLE_PEER,):
                found += credentials
        for start in range(0, len(found), WRITERS_PER_MESSAGE_LIMIT):
            yield tuple(found[start : start + WRITERS_PER_MESSAGE_LIMIT])

    def renew(self, encoded: bytes) -> bool:
        """Takes a newer credential of this very peer, which it has verified; False of another's."""
        _, _, peer = decode_chain(encoded)
        if peer.subject != self._keyring.peer:
            return False
        self.own = encoded
        self._roles[peer.subject] = _joined(self.own_roles(), peer.roles)
        return True

    def take(self, encoded: bytes, wall_ns: int) -> bytes | None:
        """Learns a writer's credential: the writer where it was not known, or has more roles now.

        Raises:
            Malformed: it is forged, or none.
        """
        chain, issuer, peer = decode_chain(encoded)
        if peer.subject == self._keyring.peer:
            return None
        if peer.subject in self.known:
            roles = self.roles_of(peer.subject)
            if not len(roles) < len(_joined(roles, peer.roles)) <= ROLES_LIMIT:
                return None
        elif len(self.known) >= WRITERS_LIMIT:
            return None
        try:
            self._verify(encoded, chain.issuer.signer, issuer, peer, wall_ns)
        except CredentialRefused as error:
            if error.kind in ("unknown-root", "root-retired", "not-yet-valid"):
                return None  # news and clocks differ
            raise Malformed(f"a writer's credential: {error}") from None
        return self.believe(encoded)

    def believe(self, encoded: bytes) -> bytes:
        """Takes what was verified; the writer."""
        _, _, peer = decode_chain(encoded)
        writer, roles = peer.subject, self.roles_of(peer.subject)
        is_more = all(role in peer.roles for role in roles)
        self.known[writer] = (encoded,) if is_more else (*self.known.get(writer, ()), encoded)
        self._roles[writer] = _joined(roles, peer.roles)
        return writer

    def _verify(
        self, encoded: bytes, root: bytes, issuer: Credential, peer: Credential, wall_ns: int
    ) -> None:
        """What was good when it was written stays good: its writer's credential may have ended."""
        ends_s = min(issuer.not_after_s, peer.not_after_s)
        retires_s = self._trust.roots.get(root)
        if retires_s is not None:
            ends_s = min(ends_s, retires_s)
        at_ns = min(wall_ns, ends_s * SECOND_NS)
        verify_founded(encoded, self._trust.mesh, at_ns, self._keyring, self._trust.roots)

    def check(self) -> None:
        """Asserts the invariant."""
        assert len(self.known) <= WRITERS_LIMIT, "board-writers-bounded"
        for writer, credentials in self.known.items():
            assert len(credentials) <= ROLES_LIMIT, "board-writers-bounded: of one"
            for _, _, peer in map(decode_chain, credentials):
                assert set(peer.roles) <= set(self._roles[writer]), "board-writers-bounded: roles"


def _joined(roles: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*roles, *more)))
