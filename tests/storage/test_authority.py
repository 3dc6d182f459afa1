"""Founding a mesh and enrolling peers, whole or resumed."""

import time
from pathlib import Path

import msgspec
import pytest

from mesh.storage import authority
from mesh.storage.authority import create_mesh, enrol, load_peer, renew, renewal_due
from mesh.storage.folder import MeshFolder
from mesh.storage.keys import load_key, public_of
from protocols.credentials import verify_chain
from protocols.errors import ConfigurationError
from protocols.identity import Ed25519Keyring, text_id


@pytest.fixture(autouse=True)
def _short_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.storage.folder.runtime_roots", lambda environ: [tmp_path / "s"])
    monkeypatch.setattr("mesh.storage.folder.SOCKET_PATH_LIMIT", 400)


@pytest.fixture
def folder(tmp_path: Path) -> MeshFolder:
    return create_mesh(tmp_path / ".mesh", "test")


def test_an_enrolled_peer_is_admitted(folder: MeshFolder) -> None:
    material = enrol(folder, "peer-1", door="tcp://127.0.0.1:4000", agents=["work.py"])
    root = public_of(load_key(folder.root_key, "root-key"))
    assert material.root == root
    keyring = Ed25519Keyring(bytes(32), root)
    credential = verify_chain(material.credential, root, time.time_ns(), keyring)
    assert credential.subject == material.keys.peer
    assert credential.curve == material.keys.curve_public
    assert credential.roles == ("peer", "policies")
    entry = folder.peer("peer-1")
    assert entry.id == text_id(material.keys.peer)
    assert entry.curve == material.keys.curve_public.hex()
    assert entry.door == "tcp://127.0.0.1:4000"
    assert folder.read().mesh == text_id(root)
    assert load_peer(folder, "peer-1") == material
    assert not renewal_due(material)


def test_every_secret_is_private(folder: MeshFolder) -> None:
    enrol(folder, "peer-1")
    for path in sorted(folder.path.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_second_mesh_in_one_folder_is_refused(folder: MeshFolder) -> None:
    before = load_key(folder.root_key, "root-key")
    with pytest.raises(ConfigurationError, match="holds a mesh already"):
        create_mesh(folder.path, "other")
    assert load_key(folder.root_key, "root-key") == before


def test_an_interrupted_founding_is_resumed(folder: MeshFolder) -> None:
    before = folder.read().mesh
    (folder.path / "mesh.json").unlink()
    folder.issuer_credential.unlink()
    again = create_mesh(folder.path, "test")
    assert again.read().mesh == before
    enrol(again, "peer-1")


def test_an_interrupted_enrolment_is_resumed(
    folder: MeshFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*ignored: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(authority, "renew", interrupt)
        with pytest.raises(KeyboardInterrupt):
            enrol(folder, "peer-1")
    key = folder.peer_folder("peer-1").key.read_bytes()
    enrol(folder, "peer-1")
    assert folder.peer_folder("peer-1").key.read_bytes() == key


def test_a_name_is_enrolled_once(folder: MeshFolder) -> None:
    enrol(folder, "peer-1")
    with pytest.raises(ConfigurationError, match="has a peer 'peer-1' already"):
        enrol(folder, "peer-1")


def test_without_the_issuers_key_nobody_is_enrolled(folder: MeshFolder) -> None:
    folder.issuer_key.unlink()
    with pytest.raises(ConfigurationError, match=r"has no issuer\.key, .* `mesh join TOKEN"):
        enrol(folder, "peer-1")
    assert not folder.peer_folder("peer-1").path.exists()


def test_another_meshs_root_is_noticed(folder: MeshFolder, tmp_path: Path) -> None:
    other = create_mesh(tmp_path / "other", "other")
    (folder.path / "mesh.json").unlink()
    folder.root_public.unlink()
    other.root_public.rename(folder.root_public)
    with pytest.raises(ConfigurationError, match="not the public half"):
        create_mesh(folder.path, "test")


def test_another_peers_credential_is_noticed(folder: MeshFolder) -> None:
    enrol(folder, "peer-1")
    enrol(folder, "peer-2")
    folder.peer_folder("peer-1").credential.replace(folder.peer_folder("peer-2").credential)
    with pytest.raises(ConfigurationError, match="issued to other keys"):
        load_peer(folder, "peer-2")
    with pytest.raises(ConfigurationError, match="cannot read the credential"):
        load_peer(folder, "peer-1")


def test_damaged_credentials_are_noticed(folder: MeshFolder) -> None:
    enrol(folder, "peer-1")
    folder.peer_folder("peer-1").credential.write_bytes(b"nonsense")
    with pytest.raises(ConfigurationError, match="admits nobody"):
        load_peer(folder, "peer-1")
    folder.issuer_credential.write_bytes(b"nonsense")
    with pytest.raises(ConfigurationError, match=r"cannot read .*issuer\.credential"):
        renew(folder, "peer-1")


def test_an_old_credential_is_due_and_an_expired_one_refused(
    folder: MeshFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(authority, "PEER_LIFE_S", 30)
        material = enrol(folder, "peer-1")
    later_ns = time.time_ns() + 21 * 10**9
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: later_ns)
        assert renewal_due(material)
        patch.setattr(time, "time_ns", lambda: later_ns + 3600 * 10**9)
        with pytest.raises(
            ConfigurationError, match=r"admits nobody: it ended 3[0-9]+ s ago: `mesh up` renews"
        ):
            load_peer(folder, "peer-1")
    renewed = renew(folder, "peer-1")
    assert renewed.keys == material.keys
    assert not renewal_due(renewed)
    assert msgspec.structs.asdict(renewed) != msgspec.structs.asdict(material)
