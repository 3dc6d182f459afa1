"""Who may write: the credentials of all writers ever met, verifiable by whoever joins later.

A credential that has ended since is as good as before for what was written: when that
was, nobody can tell. One that was revoked too: others took ops on its word, and
replicas must agree; but nothing is taken from a revoked peer's own link (admission).

Invariant:
    board-writers-bounded: the credentials that are kept have a limit.
"""

from protocols.credentials import Credential, CredentialRefused, decode_chain
from protocols.errors import Malformed
from protocols.identity import Keyring
from protocols.machine import SECOND_NS
from protocols.succession import verify_founded
from protocols.trust import Trust

WRITERS_LIMIT = 4096


class Writers:
    """Credentials by writer."""

    def __init__(self, keyring: Keyring, credential: bytes, trust: Trust) -> None:
        self._keyring = keyring
        self._trust = trust
        self.own = credential
        self.known: dict[bytes, bytes] = {}

    def own_roles(self) -> tuple[str, ...]:
        """Those of this peer's own credential."""
        _, _, peer = decode_chain(self.own)
        return peer.roles

    def take(self, encoded: bytes, wall_ns: int) -> bytes | None:
        """Learns a writer's credential: the writer where it was not known.

        Raises:
            Malformed: it is forged, or none.
        """
        try:
            chain, issuer, peer = decode_chain(encoded)
        except Malformed:
            raise
        if peer.subject in self.known or len(self.known) >= WRITERS_LIMIT:
            return None
        try:
            self._verify(encoded, chain.issuer.signer, issuer, peer, wall_ns)
        except CredentialRefused as error:
            if error.kind in ("unknown-root", "root-retired", "not-yet-valid"):
                return None  # news and clocks differ
            raise Malformed(f"a writer's credential: {error}") from None
        self.known[peer.subject] = encoded
        return peer.subject

    def believe(self, encoded: bytes) -> None:
        """Takes back what was verified before it was written down."""
        _, _, peer = decode_chain(encoded)
        self.known[peer.subject] = encoded

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
