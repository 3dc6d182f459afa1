"""What an elector signs while a set is settled, and the proof that a quorum has.

A mark names the epoch, the instance, the view, the phase and the digest of a payload (empty
where a view is nullified), under a domain of its own. A proof is q marks that differ in their
signer alone, in the order of electors: a notarisation, a nullification or a finalisation.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from protocols.identity import Keyring
from protocols.quorum import quorum
from protocols.wire import CountField, Message, SignatureField, encode

MARK_DOMAIN = "voting.mark"
PAYLOAD_DOMAIN = b"stigmesh/voting.payload/1\x00"
NOTARISE, NULLIFY, FINALISE = "notarise", "nullify", "finalise"
PHASES = (NOTARISE, NULLIFY, FINALISE)
NOTHING = b""
"""The digest of a nullified view."""

InstanceField = Annotated[bytes, msgspec.Meta(min_length=1, max_length=32)]
DigestField = Annotated[bytes, msgspec.Meta(max_length=32)]
PhaseField = Annotated[str, msgspec.Meta(max_length=16)]
ElectorField = Annotated[int, msgspec.Meta(ge=0, lt=31)]


class Mark(Message, frozen=True, array_like=True, tag="voting.mark"):
    """What is signed."""

    epoch: CountField
    instance: InstanceField
    view: CountField
    phase: PhaseField
    digest: DigestField


class Proof(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A quorum's marks on one thing."""

    view: CountField
    phase: PhaseField
    digest: DigestField
    signatures: Annotated[
        tuple[tuple[ElectorField, SignatureField], ...], msgspec.Meta(max_length=31)
    ]


_decoder = msgspec.msgpack.Decoder(Proof)


def digest_of(payload: bytes) -> bytes:
    """The digest that stands for a payload in marks."""
    return hashlib.sha256(PAYLOAD_DOMAIN + payload).digest()


def is_marked(
    keyring: Keyring,
    author: bytes,
    epoch: int,
    instance: bytes,
    view: int,
    phase: str,
    digest: bytes,
    signature: bytes,
) -> bool:
    """Whether somebody signed a mark."""
    body = encode(Mark(epoch, instance, view, phase, digest))
    return keyring.verify(MARK_DOMAIN, author, body, signature)


def make_proof(
    view: int, phase: str, digest: bytes, signatures: Mapping[int, bytes], needed: int
) -> Proof:
    """A proof of exactly as many marks as are needed, of the first electors."""
    first = itertools.islice(sorted(signatures.items()), needed)
    return Proof(view, phase, digest, tuple(first))


def decode_proof(data: bytes) -> Proof | None:
    """A proof in its one encoding; None where it is none."""
    try:
        proof = _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return proof if encode(proof) == data else None


def is_proof(
    proof: Proof, epoch: int, instance: bytes, electors: Sequence[bytes], keyring: Keyring
) -> bool:
    """Whether a quorum of an electorate signed it; checks every signature that is there."""
    signers = [elector for elector, _ in proof.signatures]
    if proof.phase not in PHASES or len(signers) < quorum(len(electors)):
        return False
    if len(proof.digest) != (0 if proof.phase == NULLIFY else 32):
        return False
    if any(one >= other for one, other in itertools.pairwise(signers)):
        return False
    if signers[-1] >= len(electors):
        return False
    body = encode(Mark(epoch, instance, proof.view, proof.phase, proof.digest))
    return all(
        keyring.verify(MARK_DOMAIN, electors[elector], body, signature)
        for elector, signature in proof.signatures
    )
