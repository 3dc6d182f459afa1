"""The layout of a mesh folder, and how clients find it."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.local import discovery
from mesh.local.discovery import (
    NoMesh,
    find_folder,
    natural_key,
    read_mesh,
    runtime_place,
    runtime_roots,
    sockets,
)
from mesh.storage.folder import MeshFolder
from mesh.storage.lock import FolderLock
from protocols.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent.parent
CURVE = bytes(32)


@pytest.fixture(autouse=True)
def runtime(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of its own for every test's sockets, short enough for them."""
    root = tmp_path_factory.mktemp("r", numbered=True)
    monkeypatch.setattr(discovery, "runtime_roots", lambda environ: [root / "s"])
    monkeypatch.setattr("mesh.storage.folder.runtime_roots", lambda environ: [root / "s"])
    monkeypatch.setattr("mesh.storage.folder.SOCKET_PATH_LIMIT", 400)
    monkeypatch.delenv("MESH_DIR", raising=False)
    return root / "s"


def make(path: Path, *names: str) -> MeshFolder:
    folder = MeshFolder.create(path, "fingerprint", "test", 1_700_000_000)
    for name in names:
        (path / "peers" / name).mkdir(mode=0o700)
        folder.add_peer(name, f"id-of-{name}", CURVE)
    return folder


def test_a_folder_is_private_and_says_what_it_holds(tmp_path: Path) -> None:
    folder = make(tmp_path / ".mesh", "peer-10", "peer-2", "peer-1")
    again = MeshFolder.open(tmp_path / ".mesh")
    assert again.read().mesh == "fingerprint"
    assert [peer.name for peer in again.peers()] == ["peer-1", "peer-2", "peer-10"]
    assert again.peer("peer-2").id == "id-of-peer-2"
    assert again.peer("peer-2").pid_file == "peers/peer-2/pid"
    for path in (folder.path, folder.path / "peers"):
        assert path.stat().st_mode & 0o777 == 0o700
    assert (folder.path / "mesh.json").stat().st_mode & 0o777 == 0o600


def test_what_a_peer_says_of_itself_can_change(tmp_path: Path) -> None:
    folder = make(tmp_path / ".mesh", "a", "b")
    before = folder.peer("b")
    folder.update_peer("a", door="tcp://127.0.0.1:5000", agents=["work.py"])
    assert folder.peer("a").door == "tcp://127.0.0.1:5000"
    assert folder.peer("a").agents == ["work.py"]
    assert folder.peer("b") == before
    folder.update_peer("b", socket=Path("/tmp/elsewhere.sock"))
    assert folder.peer("b").socket == "/tmp/elsewhere.sock"
    with pytest.raises(ConfigurationError, match="no peer 'c'; it has: a, b"):
        folder.update_peer("c", door="x")


def test_many_peers_may_change_it_at_once(tmp_path: Path) -> None:
    names = [f"peer-{i}" for i in range(8)]
    folder = make(tmp_path / ".mesh", *names)

    def start(name: str) -> None:
        MeshFolder.open(folder.path).update_peer(name, door=f"tcp://{name}")

    threads = [threading.Thread(target=start, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [peer.door for peer in folder.peers()] == [f"tcp://{name}" for name in names]


def test_a_second_mesh_or_peer_of_one_name_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / ".mesh", "a")
    with pytest.raises(ConfigurationError, match="holds a mesh already"):
        make(tmp_path / ".mesh")
    with pytest.raises(ConfigurationError, match="has a peer 'a' already"):
        folder.add_peer("a", "other", CURVE)


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "-x", "a b", "ä", "x" * 49, "a\n"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a peer"):
        make(tmp_path / ".mesh").add_peer(name, "id", CURVE)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot make the folder .*file/\.mesh"):
        make(tmp_path / "file" / ".mesh")
    with pytest.raises(ConfigurationError, match=r"cannot make the folder .*file:"):
        make(tmp_path / "file")
    # Even root may not make folders there.
    if Path("/proc/self").exists():
        with pytest.raises(ConfigurationError, match="/proc/mesh"):
            make(Path("/proc/mesh"))


def test_sockets_are_in_a_private_folder_that_names_its_mesh(tmp_path: Path, runtime: Path) -> None:
    folder = make(tmp_path / ".mesh", "a")
    place = folder.runtime_dir()
    assert place.parent == runtime
    assert len(place.name) == 12
    assert place.stat().st_mode & 0o777 == 0o700
    assert runtime.stat().st_mode & 0o777 == 0o700
    assert os.readlink(place / "folder") == str(tmp_path / ".mesh")
    assert folder.socket_path("a") == place / "a.sock"
    assert sockets(folder.path) == [("a", place / "a.sock")]
    assert make(tmp_path / "other").runtime_dir() != place


def test_a_runtime_folder_that_others_share_is_refused(tmp_path: Path, runtime: Path) -> None:
    folder = make(tmp_path / ".mesh")
    runtime.mkdir(mode=0o700)
    runtime.chmod(0o755)
    with pytest.raises(ConfigurationError, match=r"open to other users .*chmod 700"):
        folder.runtime_dir()


def test_a_runtime_folder_of_somebody_else_is_refused(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / ".mesh")
    folder.runtime_dir()
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.raises(ConfigurationError, match="belongs to user"):
        folder.runtime_dir()


def test_a_link_in_the_runtime_folders_place_is_refused(tmp_path: Path, runtime: Path) -> None:
    folder = make(tmp_path / ".mesh")
    (tmp_path / "trap").mkdir(mode=0o700)
    runtime.symlink_to(tmp_path / "trap")
    with pytest.raises(ConfigurationError, match="is not a folder"):
        folder.runtime_dir()


def test_a_place_too_long_for_sockets_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / ".mesh")
    monkeypatch.setattr("mesh.storage.folder.SOCKET_PATH_LIMIT", 60)
    with pytest.raises(ConfigurationError, match="short enough"):
        folder.runtime_dir()


def test_the_roots_are_the_sessions_own_and_then_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    user = os.geteuid()
    fallback = Path(f"/tmp/stigmesh-{user}")
    assert runtime_roots({"XDG_RUNTIME_DIR": str(tmp_path)}) == [tmp_path / "stigmesh", fallback]
    for unusable in ("", "relative", str(tmp_path / "gone")):
        assert runtime_roots({"XDG_RUNTIME_DIR": unusable}) == [fallback]
    longest = runtime_place(tmp_path, Path("/tmp/stigmesh-4294967295")) / ("x" * 48 + ".sock")
    assert len(str(longest)) <= discovery.SOCKET_PATH_LIMIT


def test_the_folder_named_is_the_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = make(tmp_path / "one"), make(tmp_path / "two")
    near = make(tmp_path / "project" / ".mesh")
    (tmp_path / "project" / "deep" / "down").mkdir(parents=True)
    start = tmp_path / "project" / "deep" / "down"
    environ = {"MESH_DIR": str(two.path)}
    assert find_folder(one.path, environ, start) == one.path
    assert find_folder(None, environ, start) == two.path
    assert find_folder(None, {"MESH_DIR": ""}, start) == near.path
    assert find_folder(None, {}, tmp_path / "project") == near.path
    monkeypatch.chdir(tmp_path)
    assert find_folder("one", {}) == one.path


def test_a_named_folder_without_a_mesh_is_an_error(tmp_path: Path) -> None:
    make(tmp_path / ".mesh")
    with pytest.raises(NoMesh, match=r"there is no mesh in .*wrong"):
        find_folder(tmp_path / "wrong", {}, tmp_path)
    with pytest.raises(NoMesh, match=r"there is no mesh in .*wrong"):
        find_folder(None, {"MESH_DIR": str(tmp_path / "wrong")}, tmp_path)


def test_the_only_running_mesh_is_found_from_anywhere(tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    one, two = make(tmp_path / "one", "a"), make(tmp_path / "two", "b")
    with pytest.raises(NoMesh, match="no mesh of this user runs"):
        find_folder(None, {}, away)
    with FolderLock(one.peer_folder("a").path):
        assert one.peer_folder("a").running_pid() == os.getpid()
        assert find_folder(None, {}, away) == one.path
        with FolderLock(two.peer_folder("b").path):
            with pytest.raises(NoMesh, match="these run:") as caught:
                find_folder(None, {}, away)
            assert str(one.path) in str(caught.value)
            assert str(two.path) in str(caught.value)


def test_a_folder_of_somebody_else_is_not_picked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / ".mesh")
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.raises(NoMesh):
        find_folder(None, {}, tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"mesh": 1}', '{"mesh": "x"}', '{"mesh": "x", "peers": [{}]}', "\xff"]
)
def test_an_unreadable_mesh_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "mesh.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(NoMesh, match=r"cannot read .*mesh\.json"):
        read_mesh(tmp_path)
    with pytest.raises(ConfigurationError, match=r"cannot read .*mesh\.json"):
        MeshFolder.open(tmp_path)


def test_a_newer_mesh_file_is_refused_and_unknown_keys_are_not(tmp_path: Path) -> None:
    (tmp_path / "mesh.json").write_text('{"mesh": "x", "peers": [], "format": 2}')
    with pytest.raises(NoMesh, match="format 2"):
        read_mesh(tmp_path)
    (tmp_path / "mesh.json").write_text('{"mesh": "x", "peers": [], "more": 2}')
    assert read_mesh(tmp_path).mesh == "x"


def test_names_sort_as_people_count() -> None:
    names = ["b", "peer-10", "peer-2", "a10", "a9b", "a9", "2", "10", "peer-02"]
    assert sorted(names, key=natural_key) == [
        "2", "10", "a9", "a9b", "a10", "b", "peer-02", "peer-2", "peer-10",
    ]  # fmt: skip


@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_names_can_be_sorted(names: list[str]) -> None:
    turned = names[::-1]
    assert sorted(turned, key=natural_key) == sorted(names, key=natural_key)


def test_clients_find_sockets_without_the_protocols() -> None:
    program = (
        "import sys, mesh.local.discovery; "
        "print([m for m in sys.modules if m.split('.')[0] in ('protocols', 'zmq', 'trio') "
        "or m.startswith(('mesh.storage', 'mesh.core'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
