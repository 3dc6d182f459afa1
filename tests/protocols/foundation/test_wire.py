"""Frames, messages and signatures: sizes first, then types, then who signed."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import Malformed
from protocols.gossip.messages import Accusation, Ping
from protocols.identity import Ed25519Keyring
from protocols.wire import (
    FRAME_LIMIT,
    MESSAGE_LIMIT,
    MESSAGES_PER_FRAME_LIMIT,
    Codec,
    Signed,
    decode_frame,
    encode,
    encode_frame,
    seal,
)

MESH = bytes(range(32))
CODEC = Codec((Ping, Signed))


def test_a_message_decodes_to_what_was_encoded() -> None:
    assert CODEC.decode(encode(Ping(1, 2))) == Ping(1, 2)


def test_a_message_of_an_unknown_kind_is_ignored() -> None:
    assert CODEC.decode(encode(("gossip.from-the-future", 1))) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        encode(1),
        encode([]),
        encode(("gossip.ping",)),
        encode(("gossip.ping", "one", 2)),
        encode(("gossip.ping", -1, 2)),
        encode(Ping(1, 2))[:-1],
        b"\x91" * 5000,
    ],
)
def test_what_is_not_a_message_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        CODEC.decode(data)


def test_a_message_over_the_cap_is_not_decoded() -> None:
    with pytest.raises(Malformed, match="is over"):
        CODEC.decode(encode(("gossip.ping", bytes(MESSAGE_LIMIT))))


def test_a_frame_over_the_cap_is_not_decoded() -> None:
    with pytest.raises(Malformed, match="is over"):
        decode_frame(bytes(FRAME_LIMIT + 1))


def test_a_frame_of_too_many_messages_is_malformed() -> None:
    frame = encode_frame(1, 1, [b"\xc0"] * (MESSAGES_PER_FRAME_LIMIT + 1))
    with pytest.raises(Malformed, match="not a frame"):
        decode_frame(frame)


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_malformed(data: bytes) -> None:
    for decode in (decode_frame, CODEC.decode):
        try:
            decode(data)
        except Malformed:
            continue


def test_a_signature_holds_for_its_domain_mesh_and_body_only() -> None:
    keyring = Ed25519Keyring(bytes(32), MESH)
    envelope = seal(keyring, Accusation(b"s" * 32, 3, keyring.peer))
    body, signature = envelope.body, envelope.signature
    assert keyring.verify(envelope.domain, keyring.peer, body, signature)
    assert keyring.verify(envelope.domain, keyring.peer, body, signature), "from the memo too"
    assert not keyring.verify("gossip.member", keyring.peer, body, signature)
    assert not keyring.verify(envelope.domain, keyring.peer, body + b"x", signature)
    assert not keyring.verify(envelope.domain, b"p" * 32, body, signature)
    assert not keyring.verify(envelope.domain, keyring.peer, body, signature[:-1])
    other_mesh = Ed25519Keyring(bytes(32), bytes(32))
    assert not other_mesh.verify(envelope.domain, keyring.peer, body, signature)


def test_a_frame_that_is_nested_too_deeply_is_malformed() -> None:
    with pytest.raises(Malformed):
        decode_frame(b"\x93\x01\x01\x91" + b"\x91" * 100_000 + b"\x01")


@pytest.mark.parametrize(
    "data",
    [b"\x91\xa3new", b"\xdc\x00\x01\xd9\x03new", b"\xdd\x00\x00\x00\x01\xda\x00\x03new"],
)
def test_an_unknown_kind_is_known_by_its_tag_however_its_lengths_are_written(data: bytes) -> None:
    assert CODEC.decode(data) is None


@pytest.mark.parametrize(
    "data", [b"", b"\x90", b"\x91\xa4new", b"\xdc\x00", b"\xa3new", b"\x91\x01"]
)
def test_what_does_not_begin_with_a_tag_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        CODEC.decode(data)


def test_a_wrong_message_of_many_elements_is_judged_by_its_first() -> None:
    count = 2_000_000
    data = b"\xdd" + count.to_bytes(4, "big") + b"\x01" * count
    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            CODEC.decode(data, 2 * count)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1_000_000
