"""A newcomer's folder: whole, resumed, or as it was before."""

from pathlib import Path

import pytest

from mesh.local.discovery import SeedEntry
from mesh.storage import authority
from mesh.storage.authority import NotAdmitted, create_mesh, enrol, load_peer, sign_peer
from mesh.storage.folder import SEEDS_LIMIT, MeshFolder
from mesh.storage.keys import load_key
from mesh.storage.settling import Settling
from protocols.credentials import CLOCK_TOLERANCE_S
from protocols.errors import ConfigurationError
from protocols.identity import text_id


@pytest.fixture(autouse=True)
def _short_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.storage.folder.runtime_roots", lambda environ: [tmp_path / "s"])
    monkeypatch.setattr("mesh.storage.folder.SOCKET_PATH_LIMIT", 400)


@pytest.fixture
def founder(tmp_path: Path) -> MeshFolder:
    folder = create_mesh(tmp_path / "founder", "ours")
    enrol(folder, "anna")
    return folder


def root(folder: MeshFolder) -> bytes:
    return load_key(folder.root_public, "root-public")


def seed(number: int) -> SeedEntry:
    return SeedEntry(id=text_id(number.to_bytes(32, "big")), door="tcp://10.0.0.1:1", curve="00")


def test_a_newcomer_that_was_let_in_is_a_peer(founder: MeshFolder, tmp_path: Path) -> None:
    settling = Settling(tmp_path / "new", root(founder), "bert")
    chain = sign_peer(founder, settling.keys.peer, settling.keys.curve_public)
    folder = settling.settle(chain, "ours", [seed(1)])
    material = load_peer(folder, "bert")
    assert (material.keys, material.root) == (settling.keys, root(founder))
    assert (folder.read().name, folder.read().seeds) == ("ours", [seed(1)])
    assert not folder.issuer_key.exists()
    assert not folder.root_key.exists()
    for path in sorted(folder.path.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_whoever_asks_again_is_the_same_newcomer(founder: MeshFolder, tmp_path: Path) -> None:
    first = Settling(tmp_path / "new", root(founder), "bert")
    assert Settling(tmp_path / "new", root(founder), "bert").keys == first.keys


def test_giving_up_leaves_nothing_that_was_not_there(founder: MeshFolder, tmp_path: Path) -> None:
    Settling(tmp_path / "new", root(founder), "bert").give_up()
    assert not (tmp_path / "new").exists()
    before = Settling(tmp_path / "new", root(founder), "bert").keys
    Settling(tmp_path / "new", root(founder), "bert").give_up()
    assert Settling(tmp_path / "new", root(founder), "bert").keys == before
    Settling(founder.path, root(founder), "carl").give_up()
    assert [entry.name for entry in founder.peers()] == ["anna"]
    assert not founder.peer_folder("carl").path.exists()


def test_a_folder_of_another_mesh_is_refused_and_untouched(
    founder: MeshFolder, tmp_path: Path
) -> None:
    other = create_mesh(tmp_path / "other", "theirs")
    before = sorted(path.name for path in other.path.rglob("*"))
    with pytest.raises(ConfigurationError, match="holds another one"):
        Settling(other.path, root(founder), "bert")
    (other.path / "mesh.json").unlink()
    with pytest.raises(ConfigurationError, match="was being founded"):
        Settling(other.path, root(founder), "bert")
    before.remove("mesh.json")
    assert sorted(path.name for path in other.path.rglob("*")) == before


def test_a_name_that_the_folder_has_is_refused(founder: MeshFolder) -> None:
    with pytest.raises(ConfigurationError, match="has a peer 'anna' of this mesh already"):
        Settling(founder.path, root(founder), "anna")


def test_a_peer_whose_credential_has_ended_is_readmitted_with_its_keys(
    founder: MeshFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Settling(tmp_path / "new", root(founder), "bert")
    with monkeypatch.context() as patch:
        patch.setattr(authority, "PEER_LIFE_S", -2 * CLOCK_TOLERANCE_S)
        ended = sign_peer(founder, first.keys.peer, first.keys.curve_public)
    folder = first.settle(ended, "ours", [])
    folder.update_peer("bert", agents=["librarian.py"])
    with pytest.raises(NotAdmitted, match=r"`mesh join TOKEN --dir .* --name bert` readmits it"):
        load_peer(folder, "bert")
    Settling(folder.path, root(founder), "bert").give_up()
    again = Settling(folder.path, root(founder), "bert")
    assert again.is_readmitted
    assert again.keys == first.keys
    again.settle(sign_peer(founder, again.keys.peer, again.keys.curve_public), "ours", [seed(1)])
    assert load_peer(folder, "bert").keys == first.keys
    assert [(entry.name, entry.agents) for entry in folder.peers()] == [("bert", ["librarian.py"])]
    with pytest.raises(ConfigurationError, match="has a peer 'bert' of this mesh already"):
        Settling(folder.path, root(founder), "bert")


def test_a_second_peer_may_settle_in_a_folder_of_the_mesh(founder: MeshFolder) -> None:
    settling = Settling(founder.path, root(founder), "bert")
    chain = sign_peer(founder, settling.keys.peer, settling.keys.curve_public)
    folder = settling.settle(chain, "ours", [])
    assert [entry.name for entry in folder.peers()] == ["anna", "bert"]
    assert load_peer(folder, "bert").keys == settling.keys


def test_the_newest_seeds_are_kept(founder: MeshFolder) -> None:
    founder.keep_seeds([seed(number) for number in range(SEEDS_LIMIT + 2)])
    moved = SeedEntry(id=seed(5).id, door="tcp://10.0.0.9:9", curve="00")
    founder.keep_seeds([moved])
    kept = founder.read().seeds
    assert [entry.id for entry in kept] == [seed(number).id for number in (2, 3, 4, 6, 7, 8, 9, 5)]
    assert kept[-1] == moved
