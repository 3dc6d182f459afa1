"""What handlers do, well and badly, in real worker processes."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from mesh.client import Refused, TaskFailed
from tests.processes.rig import LocalMesh, until


@pytest.fixture(autouse=True)
def all_hosted(crew: LocalMesh) -> None:
    """A worker that crashed thrice is away for a moment, and its skills with it."""
    crew.converge()


def marks(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []


def test_plain_asyncio_trio_and_inline_handlers_all_run(crew: LocalMesh) -> None:
    with crew.client() as client:
        assert client.call("add", a=1, b=2) == 3
        assert client.call("add", a=1) == 2
        assert client.call("thread_name") != "MainThread"
        assert client.call("wait", seconds=0.001, value=4) == 4
        assert client.call("trio_wait", seconds=0.001, value=5) == 5
        assert client.call("inline_wait", seconds=0.001, value=6) == 6
        assert client.call("inline_double", value=4) == 8


def test_a_peer_runs_several_agents_and_several_files(crew: LocalMesh) -> None:
    with crew.client() as client:
        for peer in crew.names():
            view = client.options(to=peer)
            assert view.call("help_out", name="me") == "helped me"
            assert view.call("add", a=1) == 2
            assert view.call("trio_wait", seconds=0) == 0


def test_many_coroutines_of_one_worker_wait_at_once(crew: LocalMesh) -> None:
    with crew.client() as client:
        inputs = [{"seconds": 0.3, "value": i} for i in range(64)]
        assert list(client.map("wait", inputs)) == list(range(64))


def test_an_error_is_told_with_its_kind_its_text_and_its_traceback(crew: LocalMesh) -> None:
    with crew.client() as client, pytest.raises(TaskFailed) as caught:
        client.call("raises", message="as it was written")
    assert (caught.value.state, caught.value.kind) == ("failed", "ValueError")
    assert caught.value.message.startswith("as it was written\n")
    assert "raise ValueError(message)" in caught.value.message


def test_a_failing_task_is_tried_again_elsewhere_until_it_is_done(crew: LocalMesh) -> None:
    with crew.client() as client:
        handle = client.submit("flaky", good_attempt=3)
        assert handle.result(30) == 3
        history = client.why(handle.id)["history"]
    assert [attempt["status"] for attempt in history] == ["failed", "failed", "ok"]
    assert history[0]["peer"] != history[1]["peer"]
    assert "attempt 1" in history[0]["message"]


def test_a_task_whose_retries_are_used_up_is_a_dead_letter_with_its_reason(crew: LocalMesh) -> None:
    with crew.client() as client:
        outcome = client.options(retries=1).submit("flaky", good_attempt=9).outcome(30)
        assert (outcome.state, outcome.attempts) == ("dead", 2)
        assert isinstance(outcome.error, TaskFailed)
        assert outcome.error.kind == "ConnectionError"
        assert "2 attempts failed" in outcome.error.message
        row = client.task(outcome.task)
    assert (row["state"], row["error"]["kind"]) == ("dead", "ConnectionError")


def test_an_output_that_breaks_its_schema_is_never_a_result(
    crew: LocalMesh, tmp_path: Path
) -> None:
    path = tmp_path / "marks"
    with crew.client() as client:
        outcome = client.submit("wrong_output", path=str(path)).outcome(30)
    assert (outcome.state, outcome.value) == ("failed", None)
    assert isinstance(outcome.error, TaskFailed)
    assert outcome.error.kind == "InvalidOutput"
    assert marks(path) == ["ran"]


@pytest.mark.parametrize(
    "inputs", [{}, {"a": "text"}, {"a": 1, "c": 2}, {"a": 1.5}, {"a": None}], ids=str
)
def test_an_input_that_breaks_its_schema_is_refused_before_any_auction(
    crew: LocalMesh, inputs: dict[str, object]
) -> None:
    with crew.client() as client:
        before = {row["task"] for row in client.tasks()}
        with pytest.raises(Refused) as caught:
            client.call("add", **inputs)
        assert caught.value.kind == "InvalidInput"
        assert {row["task"] for row in client.tasks()} == before


def test_an_unknown_skill_is_refused_with_a_hint(crew: LocalMesh) -> None:
    with crew.client() as client:
        with pytest.raises(Refused, match="did you mean add") as caught:
            client.call("ad")
        assert caught.value.kind == "UnknownSkill"
        with pytest.raises(Refused, match="UnknownSkill"):
            client.call("add@7", a=1)


@pytest.mark.parametrize("megabytes", [2, 7])
def test_inputs_and_results_larger_than_a_frame_travel(crew: LocalMesh, megabytes: int) -> None:
    length = megabytes * 1024 * 1024
    with crew.client("peer-1") as client:
        view = client.options(to="peer-2")
        assert view.call("size", blob="x" * length) == length
        assert len(view.call("blob", length=length)) == length


def test_an_input_of_a_million_elements_is_served(crew: LocalMesh) -> None:
    with crew.client("peer-1") as client:
        assert client.options(to="peer-2").call("count", items=[1] * 1_000_000) == 1_000_000


def test_inputs_and_results_over_the_limit_are_refused(crew: LocalMesh) -> None:
    length = 8 * 1024 * 1024
    with crew.client() as client:
        with pytest.raises(Refused) as refused:
            client.call("size", blob="x" * length)
        assert refused.value.kind == "TooLarge"
        with pytest.raises(TaskFailed) as failed:
            client.call("blob", length=length)
        assert (failed.value.state, failed.value.attempts) == ("failed", 1)
        assert client.call("add", a=1) == 2


def test_a_hanging_handler_meets_its_timeout_and_its_worker_is_replaced(
    crew: LocalMesh, tmp_path: Path
) -> None:
    with crew.client() as client:
        view = client.options(timeout=0.2, retries=0, to="peer-2")
        outcome = view.submit("deaf", path=str(tmp_path / "marks")).outcome(30)
        assert (outcome.state, outcome.attempts) == ("failed", 1)
        assert isinstance(outcome.error, TaskFailed)
        assert (outcome.error.kind, "timeout" in outcome.error.message) == ("Killed", True)
        assert client.options(to="peer-2").call("add", a=1) == 2


def test_a_spinning_handler_never_delays_its_peer(crew: LocalMesh, tmp_path: Path) -> None:
    path = tmp_path / "marks"
    with crew.client("peer-1") as client:
        handle = client.options(to="peer-3").submit("spin", path=str(path))
        until(lambda: marks(path), "the handler to begin")
        assert client.options(to="peer-3").call("inline_double", value=1) == 2
        assert crew.state_of("peer-3", seen_by="peer-1") == "alive"
        assert handle.cancel() == "cancelled"
        # Until it is killed it goes on serving, and what it would be given ends with it.
        pid = int(marks(path)[0].split()[1])
        until(lambda: not psutil.pid_exists(pid), "the worker to be killed")
        assert client.options(to="peer-3").call("add", a=1) == 2


def test_a_task_beside_one_that_does_not_stop_uses_no_retry(
    crew: LocalMesh, tmp_path: Path
) -> None:
    path, gate = tmp_path / "marks", tmp_path / "gate"
    with crew.client("peer-1") as client:
        beside = client.options(to="peer-2", retries=0).submit(
            "hold", path=str(path), gate=str(gate)
        )
        until(lambda: marks(path), "the handler to begin")
        deaf = client.options(to="peer-2", retries=0, timeout=0.1).submit("deaf", path=str(path))
        assert deaf.outcome(30).state == "failed"
        gate.touch()
        assert beside.result(30) == 2
        lost = client.why(beside.id)["history"][0]
    assert (lost["status"], "did not stop" in lost["message"]) == ("lost", True)


def test_a_handler_that_ends_its_process_is_tried_again_and_then_dead(crew: LocalMesh) -> None:
    with crew.client() as client:
        assert client.call("dies_first") == 2
        outcome = client.submit("exits").outcome(30)
        assert (outcome.state, outcome.attempts) == ("dead", 2)
        assert isinstance(outcome.error, TaskFailed)
        # At two peers, so that nobody is given it again.
        assert outcome.error.kind == "PoisonTask"
        assert "the worker process ended" in outcome.error.message
        assert client.call("add", a=1) == 2


def test_a_killed_worker_costs_an_attempt_and_no_task(crew: LocalMesh, tmp_path: Path) -> None:
    path, gate = tmp_path / "marks", tmp_path / "gate"
    with crew.client("peer-1") as client:
        handle = client.submit("hold", path=str(path), gate=str(gate))
        until(lambda: marks(path), "the handler to begin")
        os.kill(int(marks(path)[0].split()[1]), signal.SIGKILL)
        until(lambda: len(marks(path)) == 2, "the second attempt")
        gate.touch()
        assert handle.result(30) == 2
        assert client.why(handle.id)["history"][0]["status"] == "crashed"


@pytest.mark.parametrize("skill", ["cancellable", "polite"])
def test_a_cancellation_reaches_the_running_code(
    crew: LocalMesh, tmp_path: Path, skill: str
) -> None:
    path = tmp_path / "marks"
    with crew.client("peer-1") as client:
        handle = client.options(to="peer-2").submit(skill, path=str(path))
        until(lambda: marks(path) == ["began"], "the handler to begin")
        assert handle.cancel("enough") == "cancelled"
        until(lambda: marks(path) == ["began", "cancelled"], "the handler to be told")
        with pytest.raises(TaskFailed) as caught:
            handle.result(30)
        assert caught.value.state == "cancelled"


def test_a_cancellation_by_way_of_another_peer_reaches_the_code_too(
    crew: LocalMesh, tmp_path: Path
) -> None:
    path = tmp_path / "marks"
    with crew.client("peer-1") as one, crew.client("peer-2") as other:
        handle = one.options(to="peer-3").submit("cancellable", path=str(path))
        until(lambda: marks(path) == ["began"], "the handler to begin")
        assert other.task(handle.id)["state"] == "running"
        assert other.cancel(handle.id) == "cancelled"
        until(lambda: marks(path) == ["began", "cancelled"], "the handler to be told")


def test_cancelling_a_parent_cancels_its_child(crew: LocalMesh, tmp_path: Path) -> None:
    path = tmp_path / "marks"
    with crew.client() as client:
        handle = client.submit("parent", path=str(path))
        until(lambda: marks(path) == ["began"], "the child to begin")
        handle.cancel()
        until(lambda: marks(path) == ["began", "cancelled"], "the child to be told")


def test_a_deadline_ends_the_task_and_its_code(crew: LocalMesh, tmp_path: Path) -> None:
    path = tmp_path / "marks"
    with crew.client() as client:
        outcome = client.options(deadline=0.5).submit("cancellable", path=str(path)).outcome(30)
        assert outcome.state == "expired"
        until(lambda: marks(path) == ["began", "cancelled"], "the handler to be told")


def test_a_timeout_ends_an_attempt_and_the_next_one_may_succeed(
    crew: LocalMesh, tmp_path: Path
) -> None:
    with crew.client() as client:
        handle = client.options(timeout=0.3, retries=1).submit("wait", seconds=20)
        assert handle.outcome(30).state == "dead"
        statuses = [attempt["status"] for attempt in client.why(handle.id)["history"]]
        assert statuses == ["timeout", "timeout"]


def test_the_same_key_is_the_same_task(crew: LocalMesh, tmp_path: Path) -> None:
    path, gate = tmp_path / "marks", tmp_path / "gate"
    inputs = {"path": str(path), "gate": str(gate)}
    with crew.client("peer-1") as client, crew.client("peer-1") as other:
        first = client.options(key="one").submit("hold", **inputs)
        again = other.options(key="one").submit("hold", **inputs)
        assert first.id == again.id
        with pytest.raises(Refused) as caught:
            client.options(key="one").submit("add", a=1)
        assert caught.value.kind == "KeyConflict"
        gate.touch()
        assert first.result(30) == again.result(30) == 1
        assert other.options(key="one").submit("hold", **inputs).result(30) == 1
    assert len(marks(path)) == 1


@pytest.mark.parametrize("skill", ["nested", "nested_plain"])
def test_calls_nested_five_deep_end_with_one_slot_a_peer(crew: LocalMesh, skill: str) -> None:
    with crew.client() as client:
        assert client.submit(skill, depth=5).result(30) == 5


def test_several_nested_calls_at_once_end_with_one_slot_a_peer(crew: LocalMesh) -> None:
    with crew.client() as client:
        handles = [client.submit("nested", depth=5) for _ in range(6)]
        assert [handle.result(30) for handle in handles] == [5] * 6


def test_gather_raises_or_leaves_out_what_failed(crew: LocalMesh) -> None:
    with crew.client() as client:
        whole = client.submit("gathers", partial=False).outcome(30)
        assert whole.state == "failed"
        part = client.submit("gathers", partial=True).outcome(30)
        assert (part.state, part.value, part.incomplete) == ("done", [2, None, 4], True)


def test_a_handler_maps_over_children(crew: LocalMesh) -> None:
    with crew.client() as client:
        assert client.submit("maps", count=500).result(30) == sum(range(500))


def test_a_handler_knows_its_task_and_its_children_are_listed(crew: LocalMesh) -> None:
    with crew.client() as client:
        handle = client.options(timeout=9).submit("story")
        told = handle.result(30)
        assert (told["task"], told["attempt"], told["skill"]) == (handle.id, 1, "story")
        assert 0 < told["left"] <= 9


def test_concurrent_callers_all_get_their_own_answers(crew: LocalMesh) -> None:
    clients = [crew.client(peer) for peer in crew.names() for _ in range(2)]
    try:
        handles = [
            (client.submit("add", a=number, b=0), number)
            for number, client in enumerate(clients * 20)
        ]
        assert all(handle.result(30) == number for handle, number in handles)
    finally:
        for client in clients:
            client.close()
