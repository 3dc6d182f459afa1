"""The local socket, spoken to byte by byte."""

import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from mesh.local.codec import encode_value, for_local, pack
from mesh.local.messages import (
    PROTOCOL,
    Accepted,
    Answer,
    Ask,
    Attach,
    Attached,
    EventSeen,
    Hello,
    LocalMessage,
    Ping,
    Pong,
    Refused,
    Register,
    Settled,
    SkillDeclaration,
    Submit,
    Watch,
    Welcome,
)
from mesh.runtime.local_connection import Flusher, LocalConnection
from mesh.runtime.probe import agent as probe_agent
from protocols.errors import ConfigurationError
from tests.local.fake_peer import FakeDriver, FakePeer, make_peer, running_peer


class Wire:
    """A client that speaks the protocol by hand."""

    def __init__(self, path: Path, role: str = "client", hello: bool = True) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(5)
        self.sock.connect(str(path))
        self._unpacker = for_local()
        self._received: list[LocalMessage] = []
        if hello:
            self.send(Hello(role=role))
            assert isinstance(self.receive(), Welcome)

    def send(self, *messages: LocalMessage) -> None:
        self.sock.sendall(b"".join(pack(message) for message in messages))

    def receive(self) -> LocalMessage:
        while not self._received:
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError
            self._received += self._unpacker.feed(data)
        return self._received.pop(0)

    def submit(self, request: int, skill: str, *inputs: Any, keys: tuple[str, ...] = ()) -> None:
        encoded = [encode_value(value) for value in inputs]
        self.send(Submit(request=request, skill=skill, inputs=encoded, keys=list(keys)))


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[FakePeer]:
    with running_peer(tmp_path) as running:
        yield running


Dial = Callable[..., Wire]


@pytest.fixture
def dial(peer: FakePeer) -> Iterator[Dial]:
    wires: list[Wire] = []

    def connect(role: str = "client", hello: bool = True) -> Wire:
        wires.append(Wire(peer.socket, role, hello))
        return wires[-1]

    yield connect
    for one in wires:
        one.sock.close()


@pytest.fixture
def wire(dial: Dial) -> Wire:
    return dial()


def test_the_socket_is_for_its_user_alone_and_goes_with_its_peer(tmp_path: Path) -> None:
    with running_peer(tmp_path) as peer:
        assert stat.S_IMODE(peer.socket.stat().st_mode) == 0o600
    assert not peer.socket.exists()


def test_accepted_comes_before_settled(wire: Wire) -> None:
    wire.submit(7, "echo", {"a": 1}, {"a": 2})
    accepted = wire.receive()
    assert isinstance(accepted, Accepted)
    assert accepted.request == 7
    values: dict[str, Any] = {}
    while len(values) < 2:
        settled = wire.receive()
        assert isinstance(settled, Settled)
        values.update({end.task: msgspec.msgpack.decode(end.value) for end in settled.tasks})
    assert [values[task] for task in accepted.tasks] == [{"a": 1}, {"a": 2}]


def test_many_messages_in_one_read_are_all_answered(wire: Wire) -> None:
    wire.send(*(Ping(request=number) for number in range(100)))
    pongs = [wire.receive() for _ in range(100)]
    assert [pong.request for pong in pongs if isinstance(pong, Pong)] == list(range(100))


def test_a_message_may_come_byte_by_byte(wire: Wire) -> None:
    for byte in pack(Ping(request=3)):
        wire.sock.send(bytes([byte]))
    assert wire.receive() == Pong(request=3)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x03abc",
        b"\x00\x00\x00\x01\xc0",
        b"GET / HTTP/1.1\r\n\r\n",
        pack(Register(agent="x", skills=[])),
        pack(Hello(role="client")),
        pack(Ask(request=1, verb="peers", arguments=msgspec.Raw(b"\xc1"))),
    ],
    ids=["length", "garbage", "nil", "http", "worker's", "second hello", "arguments"],
)
def test_bad_bytes_are_refused_and_harm_nobody_else(dial: Dial, data: bytes) -> None:
    bad, good = dial(), dial()
    bad.sock.sendall(data)
    refused = bad.receive()
    assert isinstance(refused, Refused)
    assert (refused.request, refused.kind) == (0, "Malformed")
    with pytest.raises((EOFError, ConnectionError)):
        bad.receive()
    good.send(Ping(request=1))
    assert good.receive() == Pong(request=1)


def test_the_first_message_is_hello(dial: Dial) -> None:
    wire = dial(hello=False)
    wire.send(Ping(request=1))
    refused = wire.receive()
    assert isinstance(refused, Refused)
    assert "hello" in refused.message


def test_another_version_of_the_protocol_is_refused(dial: Dial) -> None:
    wire = dial(hello=False)
    wire.send(Hello(role="client", protocol=PROTOCOL + 1))
    refused = wire.receive()
    assert isinstance(refused, Refused)
    assert refused.kind == "ProtocolMismatch"


def test_a_reader_too_slow_for_its_buffer_is_disconnected() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        flusher = Flusher()
        connection = LocalConnection(ours, flusher, outgoing_limit=100_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flusher.run)
            nursery.start_soon(connection.serve, lambda data: None)
            with trio.fail_after(5):
                while not connection.closed:
                    refused = Refused(request=1, kind="Large", message="x" * 10_000)
                    connection.send(refused)
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        theirs.close()

    trio.run(main)


def test_what_is_said_in_two_turns_of_the_loop_arrives_at_once() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        flusher = Flusher()
        connection = LocalConnection(ours, flusher)
        accepted = trio.Event()
        unpacker = for_local()

        async def runs_at_once() -> None:
            await accepted.wait()
            connection.send(Refused(request=2, kind="", message="its result"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flusher.run)
            nursery.start_soon(runs_at_once)
            await trio.testing.wait_all_tasks_blocked()
            connection.send(Refused(request=1, kind="", message="accepted"))
            accepted.set()
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        received: list[Any] = list(unpacker.feed(theirs.recv(1 << 16)))
        assert [message.request for message in received] == [1, 2]
        connection.close()
        theirs.close()

    trio.run(main)


def test_a_slow_reader_within_its_buffer_gets_everything() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        flusher = Flusher()
        connection = LocalConnection(ours, flusher)
        unpacker = for_local()
        received: list[Any] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flusher.run)
            nursery.start_soon(connection.serve, lambda data: None)
            for number in range(300):
                connection.send(Refused(request=number, kind="Large", message="x" * 10_000))
            with trio.fail_after(5):
                while len(received) < 300:
                    await trio.lowlevel.wait_readable(theirs)
                    received += unpacker.feed(theirs.recv(1 << 16))
            connection.close()
            nursery.cancel_scope.cancel()
        assert [message.request for message in received] == list(range(300))
        theirs.close()

    trio.run(main)


def test_a_keyed_task_that_ended_before_settles_for_whoever_asks(
    peer: FakePeer, dial: Dial
) -> None:
    first, second = dial(), dial()
    ends = []
    for wire in (first, second):
        wire.submit(1, "echo", {"a": 1}, keys=("k",))
        accepted, settled = wire.receive(), wire.receive()
        assert isinstance(accepted, Accepted)
        assert isinstance(settled, Settled)
        ends.append(settled.tasks[0])
    assert ends[0] == ends[1]
    assert peer.driver.executions == 1


def test_attach_tells_the_end_of_a_task_of_somebody_else(dial: Dial) -> None:
    first, second = dial(), dial()
    first.submit(1, "sleep", {"seconds": 0.1})
    accepted = first.receive()
    assert isinstance(accepted, Accepted)
    second.send(Attach(request=5, tasks=[*accepted.tasks, "nonsense"]))
    assert second.receive() == Attached(request=5, unknown=["nonsense"])
    settled = second.receive()
    assert isinstance(settled, Settled)
    assert settled.tasks[0].task == accepted.tasks[0]
    second.send(Attach(request=6, tasks=accepted.tasks))
    assert second.receive() == Attached(request=6)
    assert isinstance(second.receive(), Settled)


def test_a_client_that_leaves_is_forgotten_and_its_tasks_go_on(peer: FakePeer, dial: Dial) -> None:
    wire = dial()
    wire.submit(1, "sleep", {"seconds": 0.05}, keys=("k",))
    wire.receive()
    wire.sock.close()
    other = dial()
    other.submit(1, "sleep", {"seconds": 0.05}, keys=("k",))
    assert isinstance(other.receive(), Accepted)
    assert isinstance(other.receive(), Settled)
    assert peer.driver.executions == 1


def test_keys_are_one_per_input(wire: Wire) -> None:
    wire.submit(1, "echo", {}, {}, keys=("only one",))
    refused = wire.receive()
    assert isinstance(refused, Refused)
    assert (refused.request, refused.kind) == (1, "InvalidSubmission")


def test_a_watcher_sees_the_events_of_its_task_alone(dial: Dial) -> None:
    everything, one = dial(), dial()
    everything.send(Watch(request=1), Ping(request=2))
    assert isinstance(everything.receive(), Pong)
    worker = dial()
    worker.submit(1, "echo", {"a": 1}, keys=("k",))
    accepted = worker.receive()
    assert isinstance(accepted, Accepted)
    kinds = []
    while "tasks.settled" not in kinds:
        seen = everything.receive()
        assert isinstance(seen, EventSeen)
        kinds.append(msgspec.msgpack.decode(seen.event)["event"])
    assert kinds[0] == "tasks.accepted"
    one.send(Watch(request=1, task="another"), Ping(request=2))
    assert isinstance(one.receive(), Pong)
    worker.submit(2, "echo", {"a": 2})
    one.send(Ping(request=3))
    assert isinstance(one.receive(), Pong)


def test_tasks_are_listed_by_state(wire: Wire) -> None:
    wire.submit(1, "echo", {"a": 1})
    wire.receive()
    wire.receive()
    question = {"states": ["done"], "limit": 5}
    wire.send(Ask(request=2, verb="tasks", arguments=encode_value(question)))
    answer = wire.receive()
    assert isinstance(answer, Answer)
    assert [row["state"] for row in msgspec.msgpack.decode(answer.value)] == ["done"]
    wire.send(Ask(request=3, verb="tasks", arguments=encode_value({"limit": "many"})))
    assert isinstance(wire.receive(), Refused)


def test_a_worker_of_any_language_may_offer_skills(peer: FakePeer, dial: Dial) -> None:
    wire = dial(role="worker")
    schema = '{"type":"object"}'
    skill = SkillDeclaration(name="foreign", input_schema=schema, output_schema="{}", slots=3)
    wire.send(Register(agent="stranger", skills=[skill]), Ping(request=1))
    assert isinstance(wire.receive(), Pong)
    assert peer.driver.skills["foreign"][1] == 3
    wire.sock.close()
    client = dial()
    client.submit(1, "echo", {})
    client.receive()
    client.receive()
    assert "foreign" not in peer.driver.skills


def test_skills_of_one_name_must_be_the_same(dial: Dial) -> None:
    wire = dial(role="worker")
    skill = SkillDeclaration(name="echo", input_schema="{}", output_schema="{}")
    wire.send(Register(agent="stranger", skills=[skill]))
    refused = wire.receive()
    assert isinstance(refused, Refused)
    assert refused.kind == "SkillConflict"


@pytest.mark.parametrize(("name", "version"), [("s" * 129, "1"), ("s", "f" * 40)])
def test_a_skill_that_no_other_peer_could_be_told_of_is_refused(
    peer: FakePeer, dial: Dial, name: str, version: str
) -> None:
    wire = dial(role="worker")
    skill = SkillDeclaration(name=name, version=version, input_schema="{}", output_schema="{}")
    wire.send(Register(agent="stranger", skills=[skill]))
    refused = wire.receive()
    assert isinstance(refused, Refused)
    assert "too long" in refused.message
    assert name not in peer.driver.skills


async def test_two_peers_cannot_listen_at_one_path(tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    first, _ = make_peer(tmp_path, "a", path, FakeDriver())
    second, _ = make_peer(tmp_path, "b", path, FakeDriver())
    async with trio.open_nursery() as nursery:
        await nursery.start(first.serve, path)
        with pytest.raises(ConfigurationError, match="another process"):
            await second.serve(path)
        nursery.cancel_scope.cancel()


async def test_a_socket_left_by_a_killed_peer_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(path))
    left.close()
    server, _ = make_peer(tmp_path, "a", path, FakeDriver())
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, path)
        nursery.cancel_scope.cancel()


async def test_a_path_too_long_for_a_socket_says_so(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120)
    server, _ = make_peer(tmp_path, "a", path, FakeDriver())
    with pytest.raises(ConfigurationError, match="longer"):
        await server.serve(path)


def test_the_probe_declares_what_it_hosts_before_its_worker_runs(peer: FakePeer) -> None:
    assert set(peer.driver.skills) == {name for name, _ in probe_agent.skills}
    host = peer.driver.host
    assert host is not None
    assert [process.state for process in host.processes] == ["asleep"]
