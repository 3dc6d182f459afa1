"""Out of processes or descriptors: what could not be made is tried again, and the peer goes on."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import trio
import zmq

from mesh.runtime.sockets import Address, nobody_listens
from mesh.runtime.worker_process import WorkerProcess
from tests.runtime.transport_rig import Authority, Neighbour, eventually, pack


async def test_a_worker_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "agent.py"
    file.touch()
    worker = WorkerProcess(str(file), socket=tmp_path / "s.sock", logs=tmp_path / "no folder")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        await eventually(lambda: worker.restarts >= 2)
        assert worker.state == "waiting"
        assert "No such file" in worker.error
        nursery.cancel_scope.cancel()


async def test_a_link_that_gets_no_socket_is_dialled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    anna = Neighbour(Authority(), 1, {})
    ben = Neighbour(anna.authority, 2, anna.contacts)
    async with anna.up(), ben.up():

        def exhausted(*_: Any) -> None:
            raise zmq.ZMQError(errno.EMFILE, "Too many open files")

        with monkeypatch.context() as patch:
            patch.setattr(anna.transport._sockets, "monitor", exhausted)  # noqa: SLF001
            anna.transport.transmit(ben.id, (pack("lost or not"),))
            await eventually(lambda: anna.transport.counters().links.failed > 0)
            assert anna.core.link_events == []
        anna.transport.transmit(ben.id, (pack("hello"),))
        await ben.core.until(lambda: pack("hello") in ben.core.said_by(anna.id))


async def test_without_descriptors_nobody_is_said_to_be_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def exhausted(*_: Any) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(trio.socket, "socket", exhausted)
    assert not await nobody_listens(Address("127.0.0.1", 1))
