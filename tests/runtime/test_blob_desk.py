"""The desk of blobs over a core and a disk: puts in pieces, limits, and what is left of those."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from mesh.core.outward import Execute, Notify
from mesh.local.async_blobs import AsyncBlobs
from mesh.local.board_requests import BoardAsked
from mesh.local.errors import Refused as LocalRefused
from mesh.runtime import blob_desk
from mesh.runtime.blob_desk import PIECE_LIMIT, UPLOADS_LIMIT, BlobDesk
from mesh.runtime.disk_line import DiskLine, Work
from mesh.runtime.event_log import public
from protocols.blobs.events import BlobKept
from protocols.blobs.naming import SIZE_LIMIT
from protocols.errors import Refused
from tests.core.lone_core import LoneCore
from tests.protocols.blobs.exchange import content_of, named


class Rig:
    """One core, and the desk that does its jobs."""

    def __init__(self, folder: Path) -> None:
        self.lone = LoneCore(1)
        self.folder = folder
        self.events: list[msgspec.Struct] = []
        self.desk = BlobDesk(self.lone.core, self, lambda text: None, folder)

    def submit(self, command: msgspec.Struct) -> None:
        self.lone.core.submit(command, self.lone.now)

    def flush(self) -> None:
        core = self.lone.core
        for record in core.take_records():
            core.recorded(record.number)
        for out in core.take_outward():
            match out:
                case Execute():
                    assert self.desk.execute(out.job)
                case Notify():
                    self.events.append(out.event)
                    self.desk.notify(out.event)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    @property
    def blobs(self) -> AsyncBlobs:
        """What a coroutine of a client has."""
        verbs = self.desk.verbs()

        async def ask(asked: BoardAsked) -> Any:
            try:
                answer = verbs[asked.verb](asked.arguments)
                return asked.read(await answer if isinstance(answer, Awaitable) else answer)
            except Refused as refused:
                raise LocalRefused(refused.kind, refused.message) from None

        return AsyncBlobs(ask)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Rig]:
    rig = Rig(folder)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.desk.run)
        await trio.testing.wait_all_tasks_blocked()
        yield rig
        nursery.cancel_scope.cancel()


async def test_what_was_put_is_kept_and_read_and_removed(tmp_path: Path) -> None:
    async with running(tmp_path / "blobs") as rig:
        content = content_of(40)
        ref = await rig.blobs.put(content)
        assert (ref.blob, ref.size) == (named(content)[0].hex(), len(content))
        assert rig.files() == [ref.blob]
        assert await rig.blobs.get(ref) == content
        (row,) = (await rig.blobs.ls()).blobs
        assert row.kept
        assert await rig.blobs.rm(ref)
        assert rig.files() == []


async def test_it_is_answered_when_it_is_recorded_and_told_by_its_name(tmp_path: Path) -> None:
    async with running(tmp_path / "blobs") as rig:
        ref = await rig.blobs.put(b"x")
        (event,) = rig.events
        assert isinstance(event, BlobKept)
        assert public(event) == {"event": "blobs.kept", "blob": ref.blob}


async def test_at_start_only_what_is_recorded_stays(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / ("0" * 64)).write_bytes(b"nobody knows it")
    async with running(tmp_path / "blobs") as rig:
        await rig.blobs.put(b"x")
        assert len(rig.files()) == 1


async def test_pieces_come_in_order_and_what_is_wrong_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "blobs") as rig:
        begun = await rig.desk.put({"data": b"ab"})
        assert begun["offset"] == 2
        for wrong, kind in (
            ({**begun, "offset": 0}, "WrongOffset"),
            ({"upload": 99}, "UnknownUpload"),
            ({"data": bytes(PIECE_LIMIT + 1)}, "InvalidInput"),
            ({"data": "no base64!"}, "InvalidInput"),
        ):
            with pytest.raises(Refused, match=kind):
                await rig.desk.put(wrong)
        told = await rig.desk.put({**begun, "data": "Y2Q=", "last": True})
        assert told["size"] == 4
        assert await rig.blobs.get(told) == b"abcd"


async def test_one_that_grows_over_the_limit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async with running(tmp_path / "blobs") as rig:
        begun = await rig.desk.put({"data": b"x"})
        with pytest.raises(Refused, match="TooLarge"):
            await rig.desk.put({**begun, "size": SIZE_LIMIT + 1})
        assert rig.files() == []
        with pytest.raises(Refused, match="UnknownUpload"):
            await rig.desk.put({**begun})


async def test_so_many_are_put_at_once_and_what_is_left_lying_makes_room(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    async with running(tmp_path / "blobs") as rig:
        for _ in range(UPLOADS_LIMIT):
            await rig.desk.put({"data": b"x"})
        with pytest.raises(Refused, match="Busy"):
            await rig.desk.put({"data": b"x"})
        assert len(rig.files()) == UPLOADS_LIMIT
        mock_clock.jump(blob_desk.UPLOAD_IDLE_S + 2 * blob_desk.SWEEP_S)
        await trio.testing.wait_all_tasks_blocked()
        await rig.desk.put({"data": b"x", "last": True})
        assert len(rig.files()) == 1


async def test_a_put_that_is_begun_anew_at_another_peer_is_whole(tmp_path: Path) -> None:
    async with running(tmp_path / "blobs") as rig:
        content, asked = content_of(50), 0
        blobs = rig.blobs
        ask: Callable[[BoardAsked], Awaitable[Any]] = blobs._ask  # noqa: SLF001  the connection

        async def breaks_once(request: BoardAsked) -> Any:
            nonlocal asked
            asked += 1
            if asked == 3:
                raise LocalRefused("OutcomeUnknown", "the connection broke")
            return await ask(request)

        again = AsyncBlobs(breaks_once)
        ref = await again.put(content)
        assert await rig.blobs.get(ref) == content
        assert asked > 4


async def test_what_nobody_has_is_refused_at_once(tmp_path: Path) -> None:
    async with running(tmp_path / "blobs") as rig:
        with pytest.raises(LocalRefused, match="NoHolder"):
            await rig.blobs.get("0" * 64)
        with pytest.raises(LocalRefused, match="64 hexadecimal"):
            await rig.blobs.get("xyz")


async def test_rot_is_noticed_before_it_is_read(tmp_path: Path) -> None:
    async with running(tmp_path / "blobs") as rig:
        ref = await rig.blobs.put(content_of(20))
        (tmp_path / "blobs" / ref.blob).write_bytes(b"rot")
        with pytest.raises(LocalRefused, match="NoHolder"):
            await rig.blobs.get(ref)
        rig.flush()
        assert (await rig.blobs.ls()).blobs == []


async def test_work_for_the_disk_is_done_in_order_and_may_be_taken_back_until_it_begins() -> None:
    done: list[object] = []
    line = DiskLine(lambda: None)
    for number in range(5):
        line.add(Work(partial(int, number), lambda value, error: done.append(value), number % 2))
    line.drop(1)

    def fail() -> None:
        raise OSError("full")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.run)
        with pytest.raises(OSError, match="full"):
            await line.do(fail)
        nursery.cancel_scope.cancel()
    assert done == [0, 2, 4]
