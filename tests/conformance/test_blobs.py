"""Names of blobs as other languages compute them: frozen, for references are kept for long."""

import hashlib

import pytest

from protocols.blobs.naming import CHUNK_BYTES, hashes_of, name_of


def name_in_another_language(content: bytes) -> str:
    """By the page alone (docs/protocols/blobs.md, "Names")."""
    chunks = [content[at : at + 65_536] for at in range(0, len(content), 65_536)]
    hashes = b"".join(hashlib.sha256(chunk).digest() for chunk in chunks)
    begun = b"stigmesh/blob/1\0" + len(content).to_bytes(8, "big")
    return hashlib.sha256(begun + hashes).hexdigest()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "d71b313a9369c28f1511538cfceef31660bf7dd0b273548173256f67353f7fe9"),
        (b"abc", "a50b0980260f25be1a75af3fd09ad3724da15c50e44f9f3eb3a6ca692125ef7a"),
        (b"\x00" * CHUNK_BYTES, "03560b6fd2662fa88941ae032c1b64702e4b5707be095bdd121589db668da042"),
        (b"stigmesh" * 20_000, "21abec37eb529b5292c1fd48a513a6028666cdab4d5da0990b657399edb78252"),
    ],
)
def test_the_name_of_a_content_never_changes(content: bytes, name: str) -> None:
    assert name_of(len(content), hashes_of(content)).hex() == name
    assert name_in_another_language(content) == name
