"""Credentials: the chain from the root to a peer, and every way in which it can be wrong."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.credentials import (
    CHAIN_LIMIT,
    CLOCK_TOLERANCE_S,
    NO_CURVE,
    ROLE_ISSUER,
    ROLE_PEER,
    Credential,
    CredentialRefused,
    encode_chain,
    issue,
    verify_chain,
)
from protocols.identity import Ed25519Keyring

BEGIN_S, END_S = 1_000_000, 2_000_000
NOW_NS = 1_500_000 * 1_000_000_000


class Authority:
    """A mesh's root with one issuer."""

    def __init__(self, seed: int) -> None:
        root_seed = bytes([seed]) * 32
        self.root = Ed25519Keyring(root_seed, Ed25519Keyring(root_seed, bytes(32)).peer)
        self.issuer = Ed25519Keyring(bytes([seed + 1]) * 32, self.root.peer)
        self.peer = Ed25519Keyring(bytes([seed + 2]) * 32, self.root.peer)

    def credential(self, subject: bytes, role: str) -> Credential:
        return Credential(
            self.root.peer, subject, NO_CURVE, (role,), ("default",), BEGIN_S, END_S, 1
        )

    def chain(self, **changed: object) -> bytes:
        issuer = issue(self.root, self.credential(self.issuer.peer, ROLE_ISSUER))
        peer = self.credential(self.peer.peer, ROLE_PEER)
        return encode_chain(issuer, issue(self.issuer, msgspec.structs.replace(peer, **changed)))


OURS, THEIRS = Authority(10), Authority(20)


def refusal(chain: bytes, wall_ns: int = NOW_NS) -> str:
    with pytest.raises(CredentialRefused) as caught:
        verify_chain(chain, OURS.root.peer, wall_ns, OURS.peer)
    return caught.value.kind


def test_a_chain_from_the_root_names_its_peer() -> None:
    credential = verify_chain(OURS.chain(), OURS.root.peer, NOW_NS, OURS.peer)
    assert credential.subject == OURS.peer.peer


def test_another_meshs_credential_is_refused() -> None:
    assert refusal(THEIRS.chain()) == "other-mesh"


def test_a_credential_that_claims_our_mesh_by_their_issuer_is_refused() -> None:
    theirs = issue(THEIRS.root, THEIRS.credential(THEIRS.issuer.peer, ROLE_ISSUER))
    ours = issue(THEIRS.issuer, OURS.credential(THEIRS.peer.peer, ROLE_PEER))
    assert refusal(encode_chain(theirs, ours)) == "other-mesh"


def test_a_peer_cannot_issue() -> None:
    fake = issue(OURS.root, OURS.credential(OURS.peer.peer, ROLE_PEER))
    peer = issue(OURS.peer, OURS.credential(THEIRS.peer.peer, ROLE_PEER))
    assert refusal(encode_chain(fake, peer)) == "not-an-issuer"


def test_an_issuers_credential_is_not_a_peers() -> None:
    assert refusal(OURS.chain(roles=(ROLE_ISSUER,))) == "not-a-peer"


def test_a_credential_ends_and_begins_with_a_tolerance_for_clocks() -> None:
    inside = (END_S + CLOCK_TOLERANCE_S) * 1_000_000_000
    assert verify_chain(OURS.chain(), OURS.root.peer, inside, OURS.peer).subject == OURS.peer.peer
    assert refusal(OURS.chain(), inside + 1_000_000_000) == "expired"
    assert refusal(OURS.chain(), 0) == "not-yet-valid"


def test_garbage_is_malformed() -> None:
    assert refusal(b"garbage") == "malformed"
    assert refusal(bytes(CHAIN_LIMIT + 1)) == "malformed"


@given(st.data())
def test_a_chain_with_any_byte_changed_is_refused_or_says_the_same(data: st.DataObject) -> None:
    chain = bytearray(OURS.chain())
    position = data.draw(st.integers(0, len(chain) - 1))
    chain[position] ^= data.draw(st.integers(1, 255))
    try:
        verify_chain(bytes(chain), OURS.root.peer, NOW_NS, OURS.peer)
    except CredentialRefused:
        return
    raise AssertionError(f"byte {position} of a chain is covered by nothing")
