"""From a mesh's first root to the one that signs today: each named the next, which agreed.

A credential that goes back to a later root carries the words by which that key became
one. So whoever knows the mesh's id alone can check it: a newcomer, a peer that was down
meanwhile, one that starts and has not read its journal yet.

    root key --names--> second root --names--> third root --signs--> issuer credential
"""

from collections.abc import Iterable, Mapping

import msgspec

from protocols.credentials import (
    Credential,
    CredentialRefused,
    Succession,
    decode_chain,
    encode_chain,
    verify_chain,
)
from protocols.errors import Malformed
from protocols.identity import Keyring
from protocols.statements import RootSucceeded, is_consent
from protocols.wire import tag_of

SUCCESSION_DOMAIN = tag_of(RootSucceeded)
UNKNOWN_ROOT = "unknown-root"
_decoder = msgspec.msgpack.Decoder(RootSucceeded)


def verify_founded(
    encoded: bytes,
    root: bytes,
    wall_ns: int,
    keyring: Keyring,
    roots: Mapping[bytes, int | None] | None = None,
) -> Credential:
    """As `verify_chain`; what the chain itself shows of roots counts beside those known.

    Raises:
        CredentialRefused: with the first reason found.
    """
    known = {root: None} if roots is None else roots
    try:
        return verify_chain(encoded, root, wall_ns, keyring, known)
    except CredentialRefused as refused:
        if refused.kind != UNKNOWN_ROOT:
            raise
    chain, _, _ = decode_chain(encoded)
    return verify_chain(encoded, root, wall_ns, keyring, shown(chain.roots, root, known, keyring))


def shown(
    successions: Iterable[Succession],
    root: bytes,
    known: Mapping[bytes, int | None],
    keyring: Keyring,
) -> dict[bytes, int | None]:
    """The roots that follow from some successions, beginning with the mesh's first root.

    A root that is known to have named another successor names no second one: such a word
    can only be a thief's.
    """
    roots = dict(known)
    author = root
    for succession in successions:
        said = named_in(succession)
        if said is None or author not in roots or not _is_signed(succession, author, keyring):
            break
        if said.successor not in roots:
            if roots[author] is not None or not is_consent(keyring, author, said):
                break
            roots[author], roots[said.successor] = said.retires_s, None
        author = said.successor
    return roots


def founded(encoded: bytes, successions: Iterable[Succession]) -> bytes:
    """A chain with as much of these as it takes to get to its root.

    Raises:
        Malformed: it is no chain.
    """
    chain, issuer, _ = decode_chain(encoded)
    author, needed = issuer.mesh, []
    for succession in successions:
        if author == chain.issuer.signer:
            break
        said = named_in(succession)
        if said is None:
            raise Malformed("not a succession of roots")
        needed.append(succession)
        author = said.successor
    return encode_chain(chain.issuer, chain.peer, tuple(needed))


def named_in(succession: Succession) -> RootSucceeded | None:
    """What a succession says; None where it is none. Nothing is verified."""
    try:
        return _decoder.decode(succession.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _is_signed(succession: Succession, author: bytes, keyring: Keyring) -> bool:
    return keyring.verify(SUCCESSION_DOMAIN, author, succession.body, succession.signature)
