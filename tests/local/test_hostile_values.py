"""Values are passed on undecoded, so they may be no values at all: nobody who shows them falls."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mesh.local import codec
from mesh.local.codec import encode_value
from mesh.local.messages import NIL, Answer, Ask, JobEnd, Log, Ping, Pong, Refused
from mesh.runtime import local_requests
from mesh.runtime.views import decoded
from mesh.runtime.worker_jobs import RunningJob, log_event, outcome_of
from protocols.tasks.events import RunJob
from protocols.tasks.messages import Outcome
from tests.local.fake_peer import FakePeer, running_peer
from tests.local.test_local_server import Wire

NO_VALUES = {
    "text that is not UTF-8": b"\xa2\xff\xff",
    "a map with a list for a key": b"\x81\x91\x01\x02",
    "a map with nil for a key": b"\x81\xc0\x02",
    "an unknown extension": b"\xc7\x01\x05a",
    "more than one value": b"\x01\x02",
    "nesting without end": b"\x91" * 5000 + b"\x01",
}


@pytest.mark.parametrize("data", NO_VALUES.values(), ids=NO_VALUES)
def test_whatever_a_result_holds_it_can_be_shown(data: bytes) -> None:
    encode_value(decoded(msgspec.Raw(data)))


@pytest.mark.parametrize("data", NO_VALUES.values(), ids=NO_VALUES)
def test_whatever_the_fields_of_a_log_line_hold_it_can_be_written(data: bytes) -> None:
    json.dumps(log_event(Log(job=1, level="info", text="x", fields=msgspec.Raw(data)), "t", 1))


def _listed(path: Path, act: Callable[[FakePeer], None]) -> Any:
    path.mkdir(exist_ok=True)
    with running_peer(path) as peer:
        wire = Wire(peer.socket)
        wire.submit(1, "echo", {"text": "x" * 1000})
        wire.receive()
        wire.receive()
        act(peer)
        arguments = encode_value({"states": ["done"]})
        wire.send(Ask(request=2, verb="tasks", arguments=arguments))
        answer = wire.receive()
        wire.send(Ping(request=3))
        assert isinstance(wire.receive(), Pong)
        wire.sock.close()
        return answer


def test_a_view_that_cannot_be_made_is_refused_and_the_peer_goes_on(tmp_path: Path) -> None:
    def show(view: Any) -> Any:
        raise RecursionError

    def act(peer: FakePeer) -> None:
        assert peer.driver.server is not None
        peer.driver.server._lookups = {"task": show}  # noqa: SLF001  # what cannot be foreseen

    assert isinstance(_listed(tmp_path, act), Refused)


def test_a_list_too_long_for_one_message_is_refused_and_the_peer_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(_listed(tmp_path / "a", lambda _: None), Answer)
    monkeypatch.setattr(local_requests, "LISTED_BYTES", 500)
    answer = _listed(tmp_path / "b", lambda _: None)
    assert isinstance(answer, Refused)
    assert answer.kind == "TooLarge"


def test_an_answer_over_the_limit_of_a_message_becomes_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "MESSAGE_LIMIT", 2000)
    with running_peer(tmp_path) as peer:
        wire = Wire(peer.socket)
        assert peer.driver.server is not None
        peer.driver.server._answers = {"peers": lambda _: "x" * 3000}  # noqa: SLF001  # any answer
        wire.send(Ask(request=2, verb="peers"))
        answer = wire.receive()
        assert isinstance(answer, Refused)
        assert (answer.request, answer.kind) == (2, "TooLarge")
        wire.sock.close()


def test_a_socket_that_somebody_removed_does_not_disturb_the_end(tmp_path: Path) -> None:
    with running_peer(tmp_path) as peer:
        peer.socket.unlink()


@pytest.mark.parametrize("elapsed_us", [-1, 2**63 - 1])
def test_whatever_time_a_worker_claims_its_outcome_fits_the_wire(elapsed_us: int) -> None:
    run = RunJob(
        custodian=bytes(32), task="t", term=1, attempt=1, skill="s", version="1",
        input=NIL, timeout_ms=0, deadline_ms=0, depth=0, traceparent="", parent="",
        space="default", principal="",
    )  # fmt: skip
    outcome = outcome_of(RunningJob(1, run), JobEnd(job=1, status="ok", elapsed_us=elapsed_us))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(outcome), type=Outcome) == outcome
