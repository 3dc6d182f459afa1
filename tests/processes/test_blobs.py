"""Blobs on real peers: put, got elsewhere, kept through kills, bounded."""

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import AsyncClient, BlobRef, Client, Refused
from tests.processes.rig import AGENTS, PATIENCE_S, LocalMesh, local_mesh, until

BLOBBER = str(AGENTS / "blobber.py")
MIB = 1024 * 1024
LIMIT = 64 * MIB


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    with local_mesh(tmp_path_factory.mktemp("blobs"), 3, [BLOBBER]) as made:
        yield made


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def file_of(mesh: LocalMesh, name: str, ref: BlobRef) -> Path:
    return mesh.folder.peer_folder(name).blobs / ref.blob


def test_a_task_names_a_blob_and_its_handler_gets_it_from_where_it_lies(mesh: LocalMesh) -> None:
    content = os.urandom(3 * MIB + 5)
    with mesh.client("peer-1") as client:
        ref = client.blobs.put(content)
        assert ref.size == len(content)
        assert client.options(to="peer-2").call("digest", book=ref) == digest(content)
        told = client.options(to="peer-3").call("digest_in_a_thread", book=ref)
        assert told == digest(content)
    for name in ("peer-1", "peer-2", "peer-3"):
        assert file_of(mesh, name, ref).stat().st_size == len(content)


def test_a_result_may_be_a_blob_and_any_client_gets_it(mesh: LocalMesh) -> None:
    with mesh.client("peer-1") as client:
        told = client.options(to="peer-3").call("fill", letter="m", size=MIB)
        assert client.blobs.get(told) == b"m" * MIB
        use = client.blobs.ls()
        (row,) = (row for row in use.blobs if row.blob == told["blob"])
        assert not row.kept, "a copy"


def test_files_go_in_and_come_out_and_a_removed_blob_is_gone(
    mesh: LocalMesh, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(MIB + 1))
    with mesh.client("peer-1") as one, mesh.client("peer-2") as two:
        ref = one.blobs.put(source)
        assert two.blobs.save(ref.blob, target) == MIB + 1
        assert target.read_bytes() == source.read_bytes()
        assert one.blobs.rm(ref)
        assert two.blobs.rm(ref)
        assert not file_of(mesh, "peer-1", ref).exists()
        with pytest.raises(Refused, match="NoHolder"):
            two.blobs.get(ref)
        with pytest.raises(Refused, match="UnknownBlob"):
            one.blobs.rm(ref)


def test_nothing_at_all_is_a_blob_too(mesh: LocalMesh) -> None:
    with mesh.client("peer-1") as one, mesh.client("peer-2") as two:
        assert two.blobs.get(one.blobs.put(b"")) == b""


@pytest.mark.slow
def test_what_is_over_the_limit_is_refused_and_leaves_nothing(mesh: LocalMesh) -> None:
    with mesh.client("peer-1") as client:
        with pytest.raises(Refused, match="at most 64 MiB"):
            client.blobs.put(bytes(LIMIT + 1))
        with pytest.raises(Refused, match="at most 64 MiB"):
            client.ask("blob.put", {"size": LIMIT + 1, "data": b"x"})
        begun = client.ask("blob.put", {"data": b"x"})
        with pytest.raises(Refused, match="1 bytes of this blob are here"):
            client.ask("blob.put", {"upload": begun["upload"], "offset": 7, "data": b"y"})
        with pytest.raises(Refused, match="at most 64 MiB"):
            client.ask("blob.put", {"upload": begun["upload"], "offset": 1, "size": LIMIT + 1})
    assert not list(mesh.folder.peer_folder("peer-1").blobs.glob("*.part"))


def test_a_file_that_rotted_is_noticed_and_fetched_again(mesh: LocalMesh) -> None:
    content = os.urandom(MIB)
    with mesh.client("peer-1") as one, mesh.client("peer-2") as two:
        ref = one.blobs.put(content)
        assert two.blobs.get(ref) == content
        with file_of(mesh, "peer-2", ref).open("r+b") as file:
            file.seek(MIB // 2)
            file.write(b"rot")
        assert two.blobs.get(ref) == content


async def _put_and_get(path: Path) -> None:
    async with AsyncClient(dir=path) as client:
        ref = await client.blobs.put(b"async" * MIB)
        assert await client.blobs.get(ref) == b"async" * MIB
        assert (await client.blobs.ls()).used >= ref.size
        assert await client.blobs.rm(ref)


def test_the_asynchronous_client_does_the_same(mesh: LocalMesh) -> None:
    import anyio

    anyio.run(_put_and_get, mesh.path)


class Getting(threading.Thread):
    """Gets a blob in the background."""

    def __init__(self, client: Client, ref: BlobRef, target: Path) -> None:
        super().__init__()
        self._client, self._ref, self._target = client, ref, target
        self.have: list[int] = []
        self.start()

    def run(self) -> None:
        def progress(have: int, size: int) -> None:
            self.have.append(have)

        self._client.blobs.save(self._ref, self._target, wait=4 * PATIENCE_S, progress=progress)

    def comes(self, least: int) -> None:
        until(lambda: self.have and self.have[-1] >= least, f"{least} bytes to come")


def dead_members(mesh: LocalMesh, name: str) -> list[str]:
    return [row["name"] for row in mesh.status(name)["members"] if row["state"] != "alive"]


@pytest.mark.slow
def test_64_mib_outlive_the_death_of_their_holder_in_the_middle(
    mesh: LocalMesh, tmp_path: Path
) -> None:
    content, target = os.urandom(LIMIT), tmp_path / "target"
    with mesh.client("peer-1") as client:
        ref = client.blobs.put(content)
    with mesh.client("peer-2") as client:
        getting = Getting(client, ref, target)
        getting.comes(8 * MIB)
        assert dead_members(mesh, "peer-3") == [], "the transfer starves nobody"
        mesh.kill("peer-1")
        before = max(getting.have)
        assert before < LIMIT
        mesh.up()
        getting.join(4 * PATIENCE_S)
        assert target.read_bytes() == content
        since = getting.have[getting.have.index(before) :]
        # Nothing is known of it while its holder is away.
        assert min(have for have in since if have) >= before - MIB, "it was resumed"


@pytest.mark.slow
def test_64_mib_are_fetched_on_by_a_peer_that_was_killed_in_the_middle(
    mesh: LocalMesh, tmp_path: Path
) -> None:
    content, target = os.urandom(LIMIT), tmp_path / "target"
    with mesh.client("peer-1") as client:
        ref = client.blobs.put(content)
    with mesh.client("peer-2", "peer-3") as client:
        getting = Getting(client, ref, target)
        getting.comes(8 * MIB)
        mesh.kill("peer-2")
        part = mesh.folder.peer_folder("peer-2").blobs / f"{ref.blob}.part"
        assert part.exists()
        getting.join(4 * PATIENCE_S)
        assert target.read_bytes() == content, "the client went on at another peer"
        mesh.up()
    with mesh.client("peer-2") as client:
        again = client.ask("blob.fetch", {"blob": ref.blob, "at": ref.at, "wait_ms": 0})
        until(lambda: client.ask("blob.fetch", {"blob": ref.blob})["here"], "all of it")
        assert client.blobs.get(ref) == content
        assert again["have"] == 0 or again["have"] >= 7 * MIB
    assert not part.exists()
