"""Peers that take no more clients for now: a refusal that says when to come again."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh.client import Client, transport
from mesh.client.core import ClientCore
from mesh.local.codec import for_peer, pack
from mesh.local.errors import NoPeer
from mesh.local.messages import Ping, Pong, Submit, Welcome
from mesh.local.messages import Refused as RefusedMessage
from mesh.local.options import Options
from mesh.local.values import encode_inputs

FULL = RefusedMessage(request=0, kind="Busy", message="1024 are connected", retry_after_ms=20)


@contextmanager
def peer(path: Path, turned_away: int) -> Iterator[list[int]]:
    """A peer that turns so many connections away, then takes one; yields what came."""
    came: list[int] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return  # the test is over
                came.append(len(came))
                with sock, contextlib.suppress(ConnectionError):
                    if len(came) <= turned_away:
                        sock.sendall(pack(FULL))
                        sock.shutdown(socket.SHUT_RD)
                        sock.recv(4096)
                        continue
                    unpacker, pinged = for_peer(), False
                    while not pinged:
                        pinged = any(isinstance(m, Ping) for m in unpacker.feed(sock.recv(4096)))
                    welcome = Welcome(peer="p", name="peer-1", mesh="m", boot=1, version="1")
                    sock.sendall(pack(welcome) + pack(Pong(request=0)))
                    sock.recv(4096)
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield came
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_client_that_is_turned_away_comes_again_when_it_was_told(tmp_path: Path) -> None:
    path = tmp_path / "p"
    with peer(path, 2) as came, Client(address=path) as client:
        assert client.home == "peer-1"
        assert len(came) == 3


def test_a_client_that_is_turned_away_again_and_again_says_so_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "FAIL_OVER_S", 0.05)
    path = tmp_path / "p"
    with peer(path, 1000), pytest.raises(NoPeer, match="1024 are connected"):
        Client(address=path)


def test_a_full_line_is_asked_again_after_the_time_it_gives_and_fails_nothing() -> None:
    now = 0.0
    core = ClientCore("run", clock=lambda: now)
    order = core.order("echo", Options(), collect=False)
    entry = core.entry(order, 0, encode_inputs({}))
    core.submit([entry])
    (submitted,) = for_peer().feed(core.take_outgoing())
    assert isinstance(submitted, Submit)
    busy = RefusedMessage(
        request=submitted.request, kind="Busy", message="full", retry_after_ms=500
    )
    core.receive(busy)
    assert entry.outcome is None
    assert core.due() == 0.5
    core.resubmit(0.4)
    assert not core.take_outgoing()
    core.resubmit(0.5)
    (again,) = for_peer().feed(core.take_outgoing())
    assert isinstance(again, Submit)
    assert again.keys == submitted.keys


def test_a_refused_question_says_when_to_ask_again() -> None:
    core = ClientCore("run")
    question = core.ask(Ping(request=0))
    core.receive(RefusedMessage(request=1, kind="Busy", message="full", retry_after_ms=250))
    assert getattr(question.answer, "retry_after", None) == 0.25
