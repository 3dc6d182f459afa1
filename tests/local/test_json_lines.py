"""The local protocol in lines of JSON, spoken by hand."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mesh.client import Client
from mesh.local import json_lines
from mesh.local.codec import ProtocolError
from mesh.local.json_lines import LineReader, pack_line
from mesh.local.messages import Answer, LocalJob, Register, Run, Submit
from tests.local.fake_peer import FakePeer, running_peer
from tests.local.test_hostile_values import NO_VALUES
from tests.local.test_worker_host import until

HELLO = {"type": "hello", "role": "client"}


class Lines:
    """A connection that says and hears lines of JSON."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(str(path))
        self._file = self.sock.makefile("rb")

    def say(self, *messages: Any) -> None:
        self.sock.sendall(b"".join(json.dumps(each).encode() + b"\n" for each in messages))

    def hear(self, kind: str = "") -> dict[str, Any]:
        line = self._file.readline()
        if not line:
            raise EOFError
        message: dict[str, Any] = json.loads(line)
        assert kind in ("", message["type"])
        return message

    def rest(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._file]

    def close(self) -> None:
        self._file.close()
        self.sock.close()


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakePeer]:
    with running_peer(tmp_path_factory.mktemp("lines")) as running:
        yield running


@pytest.fixture
def lines(peer: FakePeer) -> Iterator[Lines]:
    connected = Lines(peer.socket)
    yield connected
    connected.close()


def test_a_client_submits_and_is_told_the_end(lines: Lines) -> None:
    lines.say(HELLO)
    assert lines.hear("welcome")["name"] == "peer-1"
    lines.say({"type": "submit", "request": 5, "skill": "echo", "inputs": [{"n": 1}, {"n": 2}]})
    accepted = lines.hear("accepted")
    assert accepted["request"] == 5
    ends: list[dict[str, Any]] = []
    while len(ends) < 2:
        ends += lines.hear("settled")["tasks"]
    values = {end["task"]: end["value"] for end in ends}
    assert [values[task] for task in accepted["tasks"]] == [{"n": 1}, {"n": 2}]


def test_a_client_that_has_no_more_to_say_is_told_what_it_asked(lines: Lines) -> None:
    lines.say(
        HELLO,
        {"type": "submit", "request": 1, "skill": "sleep", "inputs": [{"seconds": 0.1}]},
        {"type": "submit", "request": 2, "skill": "nobody-has-it", "inputs": [{}]},
        {"type": "ask", "request": 3, "verb": "status", "arguments": None},
        {"type": "ping", "request": 4},
    )
    lines.sock.shutdown(socket.SHUT_WR)
    told = lines.rest()
    kinds = sorted(message["type"] for message in told)
    assert kinds == ["accepted", "answer", "pong", "refused", "settled", "welcome"]
    assert told[-1]["tasks"][0]["value"] == 0.1


def test_a_worker_offers_a_skill_and_runs_it(peer: FakePeer, lines: Lines) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    skill = {"name": "twice", "input_schema": schema, "output_schema": {"type": "integer"}}
    lines.say(
        {"type": "hello", "role": "worker", "name": "by hand"},
        {"type": "register", "agent": "by hand", "skills": [skill, {"name": "anything"}]},
    )
    lines.hear("welcome")
    until(lambda: {"twice", "anything"} <= set(peer.driver.skills))
    assert json.loads(peer.driver.skills["twice"][0].input_schema) == schema
    assert peer.driver.skills["anything"][0].input_schema == b"{}"
    with Client(address=peer.socket) as client:
        handle = client.submit("twice", n=21)
        (job,) = lines.hear("run")["jobs"]
        assert job["input"] == {"n": 21}
        end = {"job": job["job"], "status": "ok", "value": 2 * job["input"]["n"]}
        lines.say({"type": "ended", "ends": [end]})
        assert handle.result(10) == 42


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b'{"type":"hello","role":7}',
        b'{"type":"nothing"}',
        b'{"type":"ask","request":1,"verb":"status","arguments":' + b"[" * 5000,
        b'{"type":"hello","role":"\xff"}',
        b'{"type":"register","agent":"a","skills":[1]}',
        b'{"type":"register","agent":"a","skills":1}',
        b'{"type":"hello","pid":1' + b"0" * 30 + b',"role":"client"}',
    ],
)
def test_what_is_no_message_is_refused_in_json_and_ends_the_connection(
    lines: Lines, line: bytes
) -> None:
    lines.sock.sendall(line + b"\n")
    (refusal,) = lines.rest()
    assert (refusal["type"], refusal["request"], refusal["kind"]) == ("refused", 0, "Malformed")


def test_a_line_may_come_in_pieces_and_lines_together() -> None:
    reader = LineReader()
    text = b'{"type":"ping","request":1}\r\n\n  \n{"type":"ping","request":2}\n{"type":"pi'
    heard = [message for i in range(len(text)) for message in reader.feed(text[i : i + 1])]
    heard += reader.feed(b'ng","request":3}\n')
    assert [getattr(message, "request", 0) for message in heard] == [1, 2, 3]


def test_a_line_over_the_limit_is_refused_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "MESSAGE_LIMIT", 100)
    reader = LineReader()
    assert list(reader.feed(b"{" * 100)) == []
    with pytest.raises(ProtocolError, match="over the limit of 100 bytes"):
        list(reader.feed(b"{"))
    with pytest.raises(ProtocolError, match="over the limit of 100"):
        list(LineReader().feed(b"{" * 100 + b"}\n"))
    with pytest.raises(ProtocolError, match="over the limit of 100"):
        pack_line(Answer(request=1, value=msgspec.Raw(msgspec.msgpack.encode("x" * 100))))


@pytest.mark.parametrize("data", NO_VALUES.values(), ids=NO_VALUES)
def test_whatever_an_input_holds_its_line_can_be_written(data: bytes) -> None:
    job = LocalJob(job=1, task="t", attempt=1, skill="s", version="1", input=msgspec.Raw(data))
    line = pack_line(Run(jobs=[job]))
    assert line.endswith(b"\n")
    json.loads(line)


def test_values_mean_the_same_in_both_encodings() -> None:
    value = {"text": "ß\n", "number": 2**63, "list": [1.5, None, True], "deep": {"a": {}}}
    line = json.dumps({"type": "submit", "request": 1, "skill": "s", "inputs": [value]}).encode()
    (message,) = LineReader().feed(line + b"\n")
    assert isinstance(message, Submit)
    assert msgspec.msgpack.decode(message.inputs[0]) == value
    back = json.loads(pack_line(message))
    assert back["inputs"] == [value]


def test_schemas_may_be_text_as_in_the_other_encoding() -> None:
    skill = {"name": "s", "input_schema": '{"type":"object"}', "output_schema": True}
    line = json.dumps({"type": "register", "agent": "a", "skills": [skill]}).encode()
    (message,) = LineReader().feed(line + b"\n")
    assert isinstance(message, Register)
    (declared,) = message.skills
    assert (declared.input_schema, declared.output_schema) == ('{"type":"object"}', "true")
