"""The client against real local servers in this process."""

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.client import Client, NoPeer, Refused, TaskFailed
from mesh.client import transport as transport_module
from mesh.runtime.probe import echo
from tests.client import stations
from tests.local.fake_peer import FakePeer, running_peer


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[FakePeer]:
    with running_peer(tmp_path) as running:
        yield running


@pytest.fixture
def client(peer: FakePeer) -> Iterator[Client]:
    with Client(address=peer.socket) as connected:
        yield connected


def undecorated(a: int) -> int:
    return a


def numbers(count: int) -> Iterator[dict[str, Any]]:
    return ({"n": i} for i in range(count))


def test_call_returns_the_value(client: Client) -> None:
    assert client.call("echo", a=1, skill="no clash", self=2) == {
        "a": 1,
        "skill": "no clash",
        "self": 2,
    }


def test_a_decorated_function_names_its_skill(client: Client) -> None:
    assert client.call(echo, a=1) == {"a": 1}
    with pytest.raises(TypeError, match="not a skill"):
        client.call(undecorated, a=1)


def test_a_function_gives_values_of_its_own_type(tmp_path: Path) -> None:
    brest = stations.Tide("Brest", 4.5)
    with (
        running_peer(tmp_path, agents=[stations.agent]) as peer,
        Client(address=peer.socket) as client,
    ):
        assert client.call(stations.tide, place="Brest") == brest
        assert client.submit(stations.tide, place="Brest").outcome().value == brest
        assert list(client.map(stations.tide, [{"place": "Brest"}] * 2)) == [brest] * 2
        ends = client.map_unordered(stations.tide, [{"place": "Brest"}])
        assert [(index, end.value) for index, end in ends] == [(0, brest)]
        plain = {"place": "Brest", "metres": 4.5, "at": None}
        assert client.call("tide", place="Brest") == plain, "a name knows no types"


def test_a_value_that_is_not_what_the_function_returns_is_an_error(tmp_path: Path) -> None:
    with (
        running_peer(tmp_path, agents=[stations.agent]) as peer,
        Client(address=peer.socket) as client,
    ):
        with pytest.raises(TaskFailed, match="another version") as caught:
            client.call(stations.older_tide, place="Brest")
        assert (caught.value.kind, caught.value.state) == ("InvalidOutput", "done")
        outcome = client.submit(stations.older_tide, place="Brest").outcome()
        assert (outcome.state, outcome.value) == ("done", None)
        assert isinstance(outcome.error, TaskFailed)
        with pytest.raises(TypeError, match="by name"):
            client.call(stations.tide, "Brest")


def test_a_failure_says_what_happened(client: Client) -> None:
    with pytest.raises(TaskFailed) as caught:
        client.call("fail", message="ink is out")
    failure = caught.value
    assert (failure.state, failure.kind, failure.attempts) == ("failed", "RuntimeError", 1)
    assert failure.message.startswith("ink is out")


def test_an_unknown_skill_is_refused(client: Client) -> None:
    with pytest.raises(Refused) as caught:
        client.call("levitate")
    assert caught.value.kind == "UnknownSkill"
    with pytest.raises(Refused):
        client.submit("levitate")


def test_a_handle_waits_times_out_and_cancels(client: Client) -> None:
    handle = client.submit("sleep", seconds=30)
    assert handle.id
    assert handle.state == "accepted"
    with pytest.raises(TimeoutError):
        handle.result(0.02)
    assert handle.cancel() == "cancelling"
    assert handle.outcome(5).state == "cancelled"


def test_map_yields_values_in_the_order_of_its_inputs(client: Client) -> None:
    pauses = [0.03, 0.0, 0.02, 0.01]
    assert list(client.map("sleep", ({"seconds": s} for s in pauses))) == pauses


def test_map_takes_no_more_inputs_than_its_window(client: Client) -> None:
    taken = 0

    def inputs() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for taken in itertools.count(1):
            yield {"n": taken}

    results = client.map("echo", inputs(), window=10)
    assert [next(results)["n"] for _ in range(25)] == list(range(1, 26))
    assert taken <= 40
    results.close()  # type: ignore[attr-defined]  # it is a generator


def test_a_large_map_goes_through_in_chunks(client: Client) -> None:
    values = [value["n"] for value in client.map("echo", numbers(5_000))]
    assert values == list(range(5_000))


def test_map_over_nothing_is_empty(client: Client) -> None:
    assert list(client.map("echo", [])) == []
    assert list(client.map_unordered("echo", [])) == []


def test_map_unordered_yields_each_index_once(client: Client) -> None:
    pauses = [0.05, 0.0, 0.02]
    ends = list(client.map_unordered("sleep", [{"seconds": s} for s in pauses]))
    assert [index for index, _ in ends] == [1, 2, 0]
    assert {outcome.state for _, outcome in ends} == {"done"}
    assert ends[0][1].producer == "peer-1"


def test_errors_of_a_map_come_in_their_place(client: Client) -> None:
    inputs = [{"message": "a"}, {"message": "b"}]
    values = list(client.map("fail", inputs, return_exceptions=True))
    assert [value.message[0] for value in values] == ["a", "b"]
    with pytest.raises(TaskFailed):
        list(client.map("fail", inputs))


def test_one_bad_input_does_not_spoil_the_others(client: Client) -> None:
    inputs: list[dict[str, Any]] = [{"n": 0}, {"n": "poison"}, {"n": 2}]
    first, second, third = client.map("echo", inputs, return_exceptions=True)
    assert (first, third) == ({"n": 0}, {"n": 2})
    assert isinstance(second, Refused)
    assert second.kind == "InvalidInput"
    ends = dict(client.map_unordered("echo", inputs))
    assert ends[1].state == "refused"


def test_a_busy_peer_is_asked_again(peer: FakePeer, client: Client) -> None:
    peer.driver.busy = 3
    assert list(client.map("echo", numbers(600))) == list(numbers(600))


def test_the_same_key_is_the_same_task(peer: FakePeer, client: Client) -> None:
    keyed = client.options(key="order-7")
    first = keyed.submit("echo", n=1)
    assert first.result(5) == {"n": 1}
    again = keyed.submit("echo", n=1)
    assert again.id == first.id
    assert again.result(5) == {"n": 1}
    assert peer.driver.executions == 1


def test_options_reach_the_peer_and_leave_the_client_as_it_was(
    peer: FakePeer, client: Client
) -> None:
    view = client.options(timeout=1.5, deadline=60, retries=4, weight=0.25, priority=3, to="peer-1")
    assert view.call("echo", n=1) == {"n": 1}
    assert client.call("echo", n=2) == {"n": 2}
    with_options, plain = (task.spec for task in peer.driver.tasks.values())
    assert (with_options.timeout_ms, with_options.retries) == (1500, 4)
    assert 0 < with_options.deadline_ms <= 60_000
    assert (with_options.weight_us, with_options.priority) == (250_000, 3)
    assert with_options.strategy == "direct"
    assert plain.timeout_ms == 0
    assert plain.strategy == "auction"
    with pytest.raises(ValueError, match="timeout"):
        client.options(timeout=-1)


def test_an_unknown_peer_is_refused(client: Client) -> None:
    with pytest.raises(Refused) as caught:
        client.options(to="nobody").call("echo")
    assert caught.value.kind == "UnknownPeer"


def test_questions_are_answered(client: Client) -> None:
    handle = client.submit("echo", n=1)
    handle.result(5)
    assert client.peers() == [{"name": "peer-1"}]
    assert client.task(handle.id) == {"task": handle.id, "state": "done"}
    for question in (lambda: client.task("nonsense"), lambda: client.ask("colour")):
        with pytest.raises(Refused, match="Unknown"):
            question()


def test_threads_may_share_a_client(client: Client) -> None:
    results: dict[int, list[int]] = {}

    def work(thread: int) -> None:
        values = client.map("echo", ({"n": thread * 1000 + i} for i in range(200)))
        results[thread] = [value["n"] for value in values]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == {i: list(range(i * 1000, i * 1000 + 200)) for i in range(4)}


def test_no_peer_is_an_error_that_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(NoPeer, match=r"nowhere\.sock"):
        Client(address=tmp_path / "nowhere.sock")


# Fail-over.


def test_a_map_goes_on_at_the_next_peer_when_its_home_dies(tmp_path: Path) -> None:
    with (
        running_peer(tmp_path, "peer-1") as first,
        running_peer(tmp_path, "peer-2") as second,
        Client(address=[first.socket, second.socket]) as client,
    ):
        assert client.home == "peer-1"
        values = client.map("sleep", ({"seconds": 0.001 * (i % 3)} for i in range(600)))
        taken = [next(values) for _ in range(50)]
        first.stop()
        taken += list(values)
        assert taken == [0.001 * (i % 3) for i in range(600)]
        assert client.home == "peer-2"


def test_a_silent_home_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "PING_S", 0.1)
    monkeypatch.setattr(transport_module, "SILENCE_S", 0.3)
    monkeypatch.setattr(transport_module, "CONNECT_S", 0.2)
    with (
        running_peer(tmp_path, "peer-1") as first,
        running_peer(tmp_path, "peer-2") as second,
        Client(address=[first.socket, second.socket]) as client,
    ):
        handle = client.submit("sleep", seconds=0.05)
        question = client.submit("sleep", seconds=0.2)
        first.freeze()
        assert handle.result(10) == 0.05
        assert question.result(10) == 0.2
        assert client.home == "peer-2"
        assert second.driver.executions == 2
        assert client.peers() == [{"name": "peer-2"}]


def test_a_slow_task_is_no_reason_to_leave(peer: FakePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "PING_S", 0.02)
    monkeypatch.setattr(transport_module, "SILENCE_S", 0.3)
    with Client(address=peer.socket) as client:
        assert client.call("sleep", seconds=0.6) == 0.6
        assert peer.driver.executions == 1


def test_when_the_last_peer_dies_a_wait_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "FAIL_OVER_S", 0.1)
    with running_peer(tmp_path) as peer, Client(address=peer.socket) as client:
        handle = client.submit("sleep", seconds=30)
        peer.stop()
        with pytest.raises(NoPeer):
            handle.result(10)


def test_an_interrupted_wait_can_be_taken_up_again(
    peer: FakePeer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = client.submit("sleep", seconds=0.05)
    receive = client._core.receive  # noqa: SLF001 - the interrupt must come in the middle

    def interrupted(message: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(client._core, "receive", interrupted)  # noqa: SLF001 - as above
    with pytest.raises(KeyboardInterrupt):
        handle.result(5)
    monkeypatch.setattr(client._core, "receive", receive)  # noqa: SLF001 - as above
    assert handle.result(5) == 0.05
    assert peer.driver.executions == 1


def test_importing_the_client_is_quick_and_brings_no_peer() -> None:
    import subprocess
    import sys

    code = (
        "import sys, mesh.client, mesh.agent\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in "
        "('protocols', 'trio', 'anyio', 'asyncio', 'zmq', 'typer', 'rich')]\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert time.monotonic() - began < 10


def test_an_input_that_cannot_travel_is_refused_in_its_place(client: Client) -> None:
    inputs = [{"n": 1}, {"n": 10**30}, {"n": 3}]
    first, refused, last = client.map("echo", inputs, return_exceptions=True)
    assert (first, last) == ({"n": 1}, {"n": 3})
    assert isinstance(refused, Refused)
    assert refused.kind == "InvalidInput"
    ends = sorted((index, o.state) for index, o in client.map_unordered("echo", inputs))
    assert ends == [(0, "done"), (1, "refused"), (2, "done")]
    with pytest.raises(Refused, match="beyond 64 bits"):
        list(client.map("echo", inputs))
