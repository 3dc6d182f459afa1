"""Where a served peer listens, what it says of itself, and who is told that it is up."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import pytest

from mesh.runtime.serve_file import AS_UP, Serving
from mesh.runtime.serving import bind, tell_ready
from mesh.runtime.sockets import Address
from mesh.runtime.transport import Transport
from protocols.errors import ConfigurationError
from protocols.gossip.commands import Contact
from tests.runtime.transport_rig import HOST, Authority, Neighbour

CARD = {"name": "anna", "id": "abc", "address": "tcp://127.0.0.1:1", "pid": 1, "dir": "/x"}


@asynccontextmanager
async def transport() -> AsyncIterator[Transport]:
    made = Neighbour(Authority(), 2, dict[bytes, Contact]()).open()
    try:
        yield made
    finally:
        await made.stop()


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        holder.listen()
        yield holder.getsockname()[1]


async def test_a_peer_listens_where_it_did_before() -> None:
    async with transport() as first:
        door, moved = bind(AS_UP, first, "")
        assert moved == ""
    async with transport() as again:
        assert bind(AS_UP, again, door) == (door, "")


async def test_a_peer_whose_port_is_taken_moves_and_says_why() -> None:
    with taken_port() as port:
        async with transport() as one:
            door, moved = bind(AS_UP, one, f"tcp://{HOST}:{port}")
    assert Address.parse(door).port != port
    assert "is taken by another process" in moved


@pytest.mark.parametrize("which", ["door", "data"])
async def test_a_port_that_was_asked_for_and_is_taken_is_refused(which: str) -> None:
    with taken_port() as port:
        serving = msgspec.structs.replace(Serving(host=HOST), **{which: port})
        async with transport() as one:
            with pytest.raises(ConfigurationError, match="is taken by another process"):
                bind(serving, one, "tcp://127.0.0.1:1")


async def test_a_peer_behind_mapped_ports_says_what_others_dial() -> None:
    serving = Serving(host=HOST, shown_host="here.example.org", shown_door=17400, shown_data=17401)
    async with transport() as one:
        door, _ = bind(serving, one, "")
        assert door == "tcp://here.example.org:17400"
        assert one.house_address == "tcp://here.example.org:17401"
    async with transport() as again:
        # The port outside is not one to listen on here.
        assert bind(serving, again, door) == (door, "")


def test_systemd_is_told_once_a_peer_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("notify")
        monkeypatch.setenv("NOTIFY_SOCKET", "notify")
        tell_ready(CARD)
        assert systemd.recv(100) == b"READY=1\nSTATUS=serving at tcp://127.0.0.1:1\n"
    assert capsys.readouterr().out.startswith('{"name": "anna"')


def test_a_systemd_that_is_gone_stops_no_peer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/no/such/socket")
    tell_ready(CARD)
    assert "systemd was not told" in capsys.readouterr().err
