"""Key files: private, whole, of the right kind, or refused with a reason."""

import os
from pathlib import Path

import pytest
import zmq
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from zmq.utils import z85

from mesh.storage import keys
from mesh.storage.files import write_atomically
from mesh.storage.keys import PeerKeys, create_key, load_key, load_or_create, load_peer_keys
from protocols.errors import ConfigurationError

SEED = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.key"


def test_a_key_is_read_back(path: Path) -> None:
    create_key(path, "root-key", SEED)
    assert load_key(path, "root-key") == SEED
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith("stigmesh root-key 1\n")
    assert [file.name for file in path.parent.iterdir()] == ["some.key"]


def test_a_key_is_never_overwritten(path: Path) -> None:
    create_key(path, "root-key", SEED)
    with pytest.raises(ConfigurationError, match="never overwritten"):
        create_key(path, "root-key", bytes(32))
    assert load_or_create(path, "root-key", lambda: bytes(32)) == SEED
    assert [file.name for file in path.parent.iterdir()] == ["some.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_a_key_that_others_may_touch_is_refused(path: Path, mode: int) -> None:
    create_key(path, "issuer-key", SEED)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=r"open to other users .*chmod 600"):
        load_key(path, "issuer-key")


def test_a_public_key_may_be_read_by_all(path: Path) -> None:
    create_key(path, "root-public", SEED)
    path.chmod(0o644)
    assert load_key(path, "root-public") == SEED


def test_somebody_elses_key_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_key(path, "root-key", SEED)
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.raises(ConfigurationError, match="belongs to user"):
        load_key(path, "root-key")


def test_the_wrong_kind_is_recognised(path: Path) -> None:
    create_key(path, "issuer-key", SEED)
    with pytest.raises(ConfigurationError, match="holds a 'issuer-key', where a root-key"):
        load_key(path, "root-key")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a key file"),
        ("stigmesh root-key\n", "not a key file"),
        ("-----BEGIN PRIVATE KEY-----\n", "not a key file"),
        ("stigmesh root-key 2\nAAAA\n", "format '2'"),
        ("stigmesh root-key 1\n", "0 bytes instead of 32"),
        ("stigmesh root-key 1\nAAAA\n", "3 bytes instead of 32"),
        ("stigmesh root-key 1\nAA!A\n", "damaged"),
        ("stigmesh root-key 1\n" + "A" * 2000, "not a key file"),
    ],
)
def test_a_damaged_key_is_refused(path: Path, text: str, why: str) -> None:
    write_atomically(path, text.encode())
    with pytest.raises(ConfigurationError, match=why) as caught:
        load_key(path, "root-key")
    assert str(path) in str(caught.value)


@given(st.binary(max_size=200))
def test_no_bytes_make_anything_but_a_refusal(data: bytes) -> None:
    with pytest.raises(ConfigurationError):
        keys._decode(Path("some.key"), "root-key", data)  # noqa: SLF001 - no file per example


def test_missing_keys_folders_and_devices_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is missing"):
        load_key(path, "root-key")
    with pytest.raises(ConfigurationError, match=r"cannot (read|write)"):
        create_key(tmp_path / "nowhere" / "some.key", "root-key", SEED)
    with pytest.raises(ConfigurationError):
        load_key(tmp_path, "root-key")
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigurationError, match="not a plain file"):
        load_key(path, "root-key")


def test_a_peers_keys_are_what_zmq_makes_of_them(path: Path) -> None:
    secret = X25519PrivateKey.generate().private_bytes_raw()
    create_key(path, "peer-key", SEED + secret)
    found = load_peer_keys(path)
    assert found == PeerKeys(SEED, secret)
    assert z85.encode(found.curve_public) == zmq.curve_public(z85.encode(secret))


def test_secrets_stay_out_of_what_is_printed() -> None:
    found = PeerKeys(SEED, SEED)
    assert repr(SEED) not in repr(found)
    assert SEED.hex() not in f"{found} {found!r}"
