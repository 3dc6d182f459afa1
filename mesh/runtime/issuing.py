"""What a peer knows that newcomers need: an issuer's key, names that are taken, whom to meet."""

from collections.abc import Callable

from mesh.core.peer import PeerCore
from mesh.storage.authority import sign_peer
from mesh.storage.folder import MeshFolder
from protocols.invitations.messages import SEEDS_LIMIT, Seed

LIVE = ("alive", "suspect")


class Issuing:
    """The `Place` of an invitation desk: one peer and its folder."""

    def __init__(self, folder: MeshFolder, core: PeerCore, me: Callable[[], tuple[str, Seed]]):
        """Takes the folder, the core, which is only read, and the peer's name and door."""
        self._folder = folder
        self._core = core
        self._me = me

    def may_issue(self) -> bool:
        """Whether an issuer's key is here."""
        return self._folder.issuer_key.exists() and self._folder.issuer_credential.exists()

    def sign(self, peer: bytes, curve: bytes) -> bytes:
        """A newcomer's credential chain.

        Raises:
            ConfigurationError: the issuer's key cannot be used.
        """
        return sign_peer(self._folder, peer, curve)

    def is_taken(self, name: str, peer: bytes) -> bool:
        """Whether a live member other than `peer` has this name."""
        return name == self._me()[0] or any(
            member.name == name and member.peer != peer and member.state in LIVE
            for member in self._core.gossip.members()
        )

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
