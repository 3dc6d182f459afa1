"""How the proofs of a certificate are checked, and certificates made from what was settled."""

from collections.abc import Callable

from protocols.identity import Keyring
from protocols.quorum import tolerated
from protocols.voting.answers import decode_set, tally_of
from protocols.voting.certificate import (
    CertificateRefused,
    Decision,
    make_certificate,
    make_file,
    verify,
)
from protocols.voting.marks import FINALISE, decode_proof, digest_of, is_proof
from protocols.voting.open_ballot import Electors, OpenBallot
from protocols.voting.roll import open_bundle


class Vouch:
    """Checks what electors signed, from the mesh's root on."""

    def __init__(self, mesh: bytes) -> None:
        """Takes the mesh's id, which is its root's public key."""
        self._mesh = mesh

    def open_bundle(self, bundle: bytes, keyring: Keyring) -> Electors | None:
        """The electorate that a bundle proves, or None."""
        return open_bundle(bundle, self._mesh, keyring)

    def signers(
        self, electorate: Electors, ballot: bytes, payload: bytes, proof: bytes, keyring: Keyring
    ) -> tuple[int, ...] | None:
        """Who finalised a payload: a quorum, every signature checked; None where it is none."""
        found = decode_proof(proof)
        if found is None or found.phase != FINALISE or found.digest != digest_of(payload):
            return None
        if not is_proof(found, electorate.epoch, ballot, electorate.electors, keyring):
            return None
        return tuple(elector for elector, _ in found.signatures)


class Certifier:
    """Makes the certificates of one peer's ballots, and checks those of others."""

    def __init__(self, mesh: bytes, keyring: Keyring, bundle_of: Callable[[int], bytes]) -> None:
        """Takes the mesh, what verifies, and the bundle of the electorate of an epoch."""
        self._vouch = Vouch(mesh)
        self._keyring = keyring
        self._bundle_of = bundle_of

    def certify(self, opened: OpenBallot, payload: bytes, proof: bytes) -> tuple[bytes, str, int]:
        """The file of a settled ballot, its status and margin."""
        answers = decode_set(payload)
        assert answers is not None, "a quorum accepted it"
        voters, rule = len(opened.ballot.voters), opened.request.rule
        tally = tally_of(rule, voters, tolerated(voters), answers)
        certificate = make_certificate(opened.asked.request, payload, b"", tally, proof)
        asked, bundle = opened.asked, self._bundle_of(opened.electorate.epoch)
        file = make_file(certificate, bundle, asked.question, asked.options, opened.texts, answers)
        return file, tally.status, tally.margin

    def is_certificate(self, opened: OpenBallot, file: bytes) -> tuple[str, int] | None:
        """Status and margin, where a file is the certificate of a ballot; else None."""
        try:
            decision = verify(file, self._keyring, self._vouch)
        except CertificateRefused:
            return None
        if decision.ballot != opened.id:
            return None
        return decision.tally.status, decision.tally.margin

    def read(self, file: bytes) -> Decision:
        """What a file says.

        Raises:
            CertificateRefused: it proves nothing.
        """
        return verify(file, self._keyring, self._vouch)
