"""Real worker processes behind a real local socket."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.client import Client, TaskFailed
from tests.local.fake_peer import FakePeer, running_peer

AGENTS = str(Path(__file__).with_name("agents_for_tests.py"))


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakePeer]:
    with running_peer(tmp_path_factory.mktemp("w"), files=[AGENTS]) as running:
        yield running


@pytest.fixture
def client(peer: FakePeer) -> Iterator[Client]:
    with Client(address=peer.socket) as connected:
        yield connected


def test_plain_and_async_handlers_answer(client: Client) -> None:
    assert client.call("plain", n=1) == 2
    assert client.call("pair", n=3) == {"left": 3, "right": -3}


def test_an_exception_becomes_a_failure_with_its_traceback(client: Client) -> None:
    with pytest.raises(TaskFailed) as caught:
        client.call("broken", text="ink is out")
    assert (caught.value.kind, caught.value.state) == ("ValueError", "failed")
    assert caught.value.message.startswith("ink is out\n")
    assert "agents_for_tests.py" in caught.value.message
    assert len(caught.value.message) <= 4096


def test_a_handler_may_say_that_no_retry_helps(client: Client) -> None:
    with pytest.raises(TaskFailed) as caught:
        client.call("hopeless")
    assert (caught.value.kind, caught.value.attempts) == ("NoRetry", 1)


def test_a_failed_attempt_is_tried_again(client: Client) -> None:
    assert client.call("flaky", key="k") == 3


def test_an_output_that_breaks_its_annotation_is_rejected(client: Client) -> None:
    with pytest.raises(TaskFailed) as caught:
        client.call("liar")
    assert caught.value.kind == "InvalidOutput"


def test_an_input_that_does_not_fit_is_rejected_with_its_path(client: Client) -> None:
    with pytest.raises(TaskFailed, match=r"\$\.n") as caught:
        client.call("plain", n="one")
    assert caught.value.kind == "InvalidInput"


def test_confidence_travels(client: Client) -> None:
    outcome = client.submit("confident").outcome(5)
    assert (outcome.value, outcome.confidence) == ("yes", 0.75)


@pytest.mark.parametrize("skill", ["depth", "depth_sync"])
def test_nested_calls_with_one_slot_do_not_deadlock(client: Client, skill: str) -> None:
    assert client.submit(skill, levels=10).result(10) == 10


def test_handlers_map_over_other_skills(client: Client) -> None:
    assert client.call("fan_out", count=300) == list(range(1, 301))
    assert client.call("fan_out_sync", count=20) == list(range(1, 21))


def test_a_partial_gather_names_what_is_missing(client: Client) -> None:
    outcome = client.submit("gathers").outcome(5)
    assert outcome.value == {"results": [2, None, 6], "missing": [1]}
    assert outcome.incomplete


def test_a_gather_raises_the_first_error(client: Client) -> None:
    with pytest.raises(TaskFailed) as caught:
        client.call("gathers_all")
    assert caught.value.kind == "TaskFailed"


def test_a_handler_may_catch_a_childs_failure(client: Client) -> None:
    assert client.call("catches") == "ValueError"


def test_a_context_knows_its_task(client: Client) -> None:
    handle = client.options(timeout=20).submit("knows")
    known = handle.result(5)
    own = {"task": handle.id, "attempt": 1, "key": handle.id, "timed": True}
    assert known == {**own, "token": 0}


def test_a_context_of_an_exclusive_task_has_a_token_greater_than_the_last(client: Client) -> None:
    alone = client.options(exclusive="k")
    tokens = [alone.call("knows")["token"] for _ in range(2)]
    assert 0 < tokens[0] < tokens[1]


@pytest.mark.parametrize("skill", ["waits", "waits_politely"])
def test_cancellation_reaches_the_running_code(client: Client, skill: str) -> None:
    handle = client.submit(skill)
    with pytest.raises(TimeoutError):
        handle.result(0.05)
    handle.cancel()
    with pytest.raises(TaskFailed) as caught:
        handle.result(5)
    assert caught.value.state == "cancelled"


def test_progress_arrives(peer: FakePeer, client: Client) -> None:
    handle = client.submit("waits")
    ends = time.monotonic() + 5
    while peer.driver.tasks[handle.id].progress != "half way":
        assert time.monotonic() < ends
        time.sleep(0.005)
    handle.cancel()


def test_a_deaf_handlers_process_is_killed_and_started_again(
    peer: FakePeer, client: Client
) -> None:
    handle = client.submit("deaf")
    with pytest.raises(TimeoutError):
        handle.result(0.05)
    handle.cancel()
    with pytest.raises(TaskFailed) as caught:
        handle.result(5)
    assert (caught.value.state, caught.value.kind) == ("cancelled", "Killed")
    assert client.submit("plain", n=1).result(10) == 2


def test_jobs_of_a_worker_that_dies_have_crashed(client: Client) -> None:
    with pytest.raises(TaskFailed) as caught:
        client.submit("dies").result(10)
    assert caught.value.kind == "WorkerCrashed"
    assert client.submit("plain", n=1).result(10) == 2


def run_worker(tmp_path: Path, text: str, name: str = "") -> "subprocess.CompletedProcess[str]":
    file = tmp_path / "their_agent.py"
    file.write_text(text)
    command = [sys.executable, "-m", "mesh.agent.worker", "--socket", "nowhere"]
    return subprocess.run(
        [*command, f"{file}{name}"], capture_output=True, text=True, timeout=20, check=False
    )


def test_a_file_that_cannot_be_imported_says_so(tmp_path: Path) -> None:
    ended = run_worker(tmp_path, "import nowhere_to_be_found\n")
    assert ended.returncode == 3
    assert "nowhere_to_be_found" in ended.stderr


def test_a_file_without_an_agent_says_so(tmp_path: Path) -> None:
    ended = run_worker(tmp_path, "x = 1\n")
    assert ended.returncode == 3
    assert "defines no agent" in ended.stderr


def test_a_named_agent_must_exist(tmp_path: Path) -> None:
    text = 'from mesh.agent import Agent\na = Agent("one")\n'
    assert run_worker(tmp_path, text, ":two").returncode == 3
    assert "no peer at" in run_worker(tmp_path, text, ":a").stderr
