"""The token as people carry it: whole, or told what is wrong with it."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.invitations.token import (
    TOKEN_LIMIT,
    NotAToken,
    Token,
    decode_token,
    encode_token,
    invitation_keyring,
)

FROZEN = (
    "mesh1_sxcca3lnnvww23lnnvww23lnnvww23lnnvww23lnnvww23lnnvww23lnyqqgizdemrsgizdemr"
    "sgizdemrsgizdemrsgizdemrsgizdemrsgizgecbzxg43tonzxg43tonzxg43tonz44aapijajdm3umn"
    "ydulzpgeyc4mbogaxdcorxgqydbiy5mynq"
)
TOKEN = Token(b"m" * 32, b"d" * 32, b"s" * 16, 1_000_000, ("tcp://10.0.0.1:7400",))


@given(
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**40),
    st.lists(st.text(max_size=24), min_size=1, max_size=4),
)
def test_a_token_reads_as_it_was_made(secret: bytes, ends: int, doors: list[str]) -> None:
    token = Token(b"m" * 32, b"d" * 32, secret, ends, tuple(doors))
    assert decode_token(encode_token(token)) == token


def test_a_token_is_one_lower_case_word() -> None:
    text = encode_token(TOKEN)
    assert text.startswith("mesh1_")
    assert text.replace("_", "").isalnum()
    assert text == text.lower()
    assert len(text) < 260


def test_a_token_has_the_same_letters_in_every_release() -> None:
    assert encode_token(TOKEN) == FROZEN
    assert decode_token(FROZEN) == TOKEN


def test_line_breaks_and_capitals_do_not_matter() -> None:
    text = encode_token(TOKEN).upper()
    assert decode_token(f"  {text[:80]}\n  {text[80:]}\n") == TOKEN


@given(st.data())
def test_a_wrong_or_missing_character_is_noticed(data: st.DataObject) -> None:
    text = encode_token(TOKEN)
    at = data.draw(st.integers(6, len(text) - 2))
    wrong = data.draw(st.sampled_from(sorted({*"abcdefghijklmnopqrstuvwxyz234567"} - {text[at]})))
    for garbled in (text[:at] + wrong + text[at + 1 :], text[:at] + text[at + 1 :], text[:at]):
        with pytest.raises(NotAToken, match=r"copy it again|no token"):
            decode_token(garbled)


@pytest.mark.parametrize("text", ["", "hello", "mesh1", "mesh1_", "mesh_aaaa", "mesh1_§§§"])
def test_what_is_no_token_is_told_what_one_looks_like(text: str) -> None:
    with pytest.raises(NotAToken, match="begins with mesh1_"):
        decode_token(text)


def test_a_token_of_a_newer_release_says_so() -> None:
    with pytest.raises(NotAToken, match="has version 2"):
        decode_token(encode_token(TOKEN).replace("mesh1_", "mesh2_"))


def test_a_text_without_end_is_not_even_looked_at() -> None:
    with pytest.raises(NotAToken, match="characters are no token"):
        decode_token("mesh1_" + "a" * TOKEN_LIMIT)


def test_whole_bytes_that_are_no_token_are_told() -> None:
    body = b"\x95\x01\x02\x03\x04\x05"
    data = body + hashlib.sha256(body).digest()[:4]
    text = base64.b32encode(data).decode().rstrip("=").lower()
    with pytest.raises(NotAToken, match="does not read"):
        decode_token(f"mesh1_{text}")


def test_a_secret_is_not_shown() -> None:
    assert "ssss" not in repr(TOKEN)


def test_the_invitation_key_is_always_the_same_for_a_secret() -> None:
    key = invitation_keyring(b"s" * 16, b"m" * 32).peer
    assert key == invitation_keyring(b"s" * 16, b"x" * 32).peer
    assert key != invitation_keyring(b"t" * 16, b"m" * 32).peer
