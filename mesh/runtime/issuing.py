"""What a peer knows that newcomers need: an issuer's key, names that are taken, whom to meet.

The issuer's key is the one in its folder, or its own, where a root named it an issuer.
"""

from collections.abc import Callable, Sequence

from mesh.core.peer import PeerCore
from mesh.storage.authority import issuer_credential, sign_by, sign_peer
from mesh.storage.folder import MeshFolder
from protocols.credentials import (
    ROLE_PEER,
    Credential,
    CredentialRefused,
    SignedCredential,
    decode_credential,
)
from protocols.errors import ConfigurationError
from protocols.identity import Keyring
from protocols.invitations.messages import SEEDS_LIMIT, Seed
from protocols.succession import founded

LIVE = ("alive", "suspect")


class Issuing:
    """The `Place` of an invitation desk: one peer and its folder."""

    def __init__(
        self,
        folder: MeshFolder,
        core: PeerCore,
        keyring: Keyring,
        me: Callable[[], tuple[str, Seed]],
    ) -> None:
        """Takes the folder, the core, which is only read, the peer's key, and its name and door."""
        self._keyring = keyring
        self._folder = folder
        self._core = core
        self._me = me

    def may_issue(self) -> bool:
        """Whether an issuer's key is here."""
        return self._has_key() or self._named() is not None

    def _has_key(self) -> bool:
        """Whether the folder has an issuer's key that was not revoked."""
        if not (self._folder.issuer_key.exists() and self._folder.issuer_credential.exists()):
            return False
        credential = decode_credential(issuer_credential(self._folder).body)
        return credential is not None and not self._core.trust.is_issuer_revoked(credential)

    def _named(self) -> SignedCredential | None:
        """What a root said of this very peer, where it named it an issuer."""
        named = self._core.trust.issuers.get(self._core.peer)
        if named is None or self._core.trust.is_issuer_revoked(named.credential):
            return None
        return named.signed

    def sign(self, peer: bytes, curve: bytes, roles: Sequence[str] = (ROLE_PEER,)) -> bytes:
        """A credential chain for a peer, with these roles.

        Raises:
            ConfigurationError: the issuer's key cannot be used.
        """
        named = self._named()
        if self._has_key() or named is None:
            return sign_peer(self._folder, peer, curve, roles)
        trust = self._core.trust
        signed = sign_by(self._keyring, named, trust.mesh, peer, curve, roles)
        return founded(signed, trust.successions)

    def renew(self, credential: Credential) -> bytes:
        """A newer credential chain for the bearer of a good one: the same keys and roles.

        Raises:
            CredentialRefused: ``no-issuer``.
        """
        if not self.may_issue():
            raise CredentialRefused("no-issuer", "this peer signs no credentials: ask another")
        try:
            return self.sign(credential.subject, credential.curve, credential.roles)
        except ConfigurationError as error:
            raise CredentialRefused("no-issuer", str(error)) from None

    def is_taken(self, name: str, peer: bytes) -> bool:
        """Whether a live member other than `peer` has this name."""
        return name == self._me()[0] or any(
            member.name == name and member.peer != peer and member.state in LIVE
            for member in self._core.gossip.members()
        )

    def is_outcast(self, peer: bytes) -> bool:
        """Whether this key was revoked, as far as known here."""
        return peer in self._core.trust.outcasts

    def seeds(self) -> tuple[Seed, ...]:
        """This peer, and a few live members."""
        seeds = [self._me()[1]]
        for member in self._core.gossip.members():
            contact = self._core.contact(member.peer) if member.state in LIVE else None
            if contact is not None and contact.door and len(seeds) < SEEDS_LIMIT:
                seeds.append(Seed(contact.peer, contact.door[:256], contact.curve))
        return tuple(seeds)

    def mesh_name(self) -> str:
        """The mesh's name, for people."""
        return self._folder.read().name
