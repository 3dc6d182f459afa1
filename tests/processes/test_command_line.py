"""The verbs as a user types them: what they print, and their exit statuses."""

import json
import os
import signal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from mesh.client import Refused
from tests.processes.rig import (
    CREW,
    PATIENCE_S,
    LocalMesh,
    finish,
    local_mesh,
    start_cli,
    until,
    until_done,
)

DONE, FAILED, USAGE, NO_PEER, TIMED_OUT = range(5)
TASK_KEYS = {"task", "state", "result", "error", "attempts", "incomplete", "producer"}
PEER_KEYS = {"name", "id", "address", "pid", "state", "alive", "skills"}
UP_KEYS = {"peers", "converged", "seconds", "dir", "tolerates"}
PROBE_SKILLS = {"echo", "sleep", "fail", "hang", "crash"}


def lines(path: Path, inputs: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(each) + "\n" for each in inputs), encoding="utf-8")
    return str(path)


def test_a_mesh_is_started_asked_grown_and_stopped(tmp_path: Path) -> None:
    mesh = LocalMesh(tmp_path / "here" / "mesh")
    mesh.path.parent.mkdir()
    try:
        up = mesh.cli("up", "-n", "2", "--detach").row
        assert set(up) >= UP_KEYS
        assert (up["converged"], up["dir"], up["tolerates"]) == (True, str(mesh.path), 0)
        assert [peer["name"] for peer in up["peers"]] == ["peer-1", "peer-2"]
        assert all(set(peer) >= {"name", "id", "address", "pid"} for peer in up["peers"])
        assert [peer["pid"] for peer in up["peers"]] == [mesh.pid("peer-1"), mesh.pid("peer-2")]
        # Again, with two more: those that run stay as they are.
        grown = mesh.cli("up", "-n", "4", "--detach").row
        assert grown["peers"][:2] == up["peers"]
        assert (len(grown["peers"]), grown["tolerates"]) == (4, 1)
        rows = mesh.cli("peers").rows
        assert [(row["alive"], row["state"]) for row in rows] == [(4, "alive")] * 4
        assert mesh.cli("down").row["stopped"] == mesh.names()
        assert mesh.leftovers() == []
        assert mesh.cli("down").row["stopped"] == []
        assert mesh.cli("call", "echo", expect=NO_PEER).err
    finally:
        mesh.down()


@pytest.mark.slow
def test_what_is_given_for_peers_that_run_is_said_to_be_for_their_next_start(
    probes: LocalMesh, tmp_path: Path
) -> None:
    sources = tmp_path / "secrets.toml"
    sources.write_text("")
    ran = probes.cli("up", "--labels", "gpu", "--secrets", str(sources), "--detach")
    assert "ran already, and --labels, --secrets are for the next start" in ran.err
    assert "`mesh down`, then `mesh up`" in ran.err
    assert "next start" not in probes.cli("up", "--detach").err


def test_peers_are_listed_with_their_stable_keys(probes: LocalMesh) -> None:
    rows = probes.cli("peers").rows
    assert [row["name"] for row in rows] == ["peer-1", "peer-2", "peer-3"]
    for row in rows:
        assert set(row) >= PEER_KEYS
        assert (row["state"], row["alive"]) == ("alive", 3)
        assert {skill.partition("@")[0] for skill in row["skills"]} == PROBE_SKILLS


def test_a_call_prints_its_result(probes: LocalMesh) -> None:
    row = probes.cli("call", "echo", "text=hi", "number:=3", 'list:=[1, {"a": null}]').row
    assert set(row) >= TASK_KEYS
    assert row["result"] == {"text": "hi", "number": 3, "list": [1, {"a": None}]}
    assert (row["state"], row["error"], row["attempts"]) == ("done", None, 1)
    assert row["producer"] in probes.names()


@pytest.mark.slow
def test_a_call_for_people_prints_the_value_alone(probes: LocalMesh) -> None:
    ran = finish(start_cli("call", "echo", "text=hi", "--dir", str(probes.path)))
    assert (ran.status, ran.err) == (DONE, "")
    assert json.loads(ran.out) == {"text": "hi"}


def test_a_failed_task_is_exit_status_1_with_its_reason(probes: LocalMesh) -> None:
    row = probes.cli("call", "fail", "message=on purpose", expect=FAILED).row
    assert (row["state"], row["result"], row["attempts"]) == ("failed", None, 1)
    assert row["error"]["kind"] == "RuntimeError"
    assert row["error"]["message"].startswith("on purpose")


def test_a_refusal_is_exit_status_1_with_its_reason(probes: LocalMesh) -> None:
    ran = probes.cli("call", "ech", expect=FAILED)
    assert set(ran.row) >= TASK_KEYS
    assert (ran.row["state"], ran.row["error"]["kind"]) == ("refused", "UnknownSkill")
    assert "did you mean echo?" in ran.err


WRONG_USAGE = [
    ["call"],
    ["call", "echo", "neither"],
    ["call", "echo", "a:={"],
    ["call", "echo", "a=1", "a=2"],
    ["call", "echo", "--timeout", "soon"],
    ["map", "echo", "no-such-file"],
    ["up", "-n", "0"],
    ["no-such-verb"],
]


@pytest.mark.slow
def test_wrong_usage_is_exit_status_2(probes: LocalMesh) -> None:
    started = [probes.start_cli(*words) for words in WRONG_USAGE]
    for words, process in zip(WRONG_USAGE, started, strict=True):
        ran = finish(process)
        assert ran.status == USAGE, (words, ran.err)
        assert ran.err
        assert "Traceback" not in ran.err


@pytest.mark.slow
def test_the_release_is_told() -> None:
    ran = finish(start_cli("--version"))
    assert (ran.status, ran.out) == (DONE, f"stigmesh {version('stigmesh')}\n")


@pytest.mark.slow
def test_no_mesh_is_exit_status_3_and_says_what_to_do(tmp_path: Path) -> None:
    environ = {"MESH_DIR": str(tmp_path / "nowhere")}
    verbs = ["call echo", "peers", "tasks", "task x", "cancel x", "why x"]
    started = [start_cli(*words.split(), environ=environ) for words in verbs]
    for words, process in zip(verbs, started, strict=True):
        ran = finish(process)
        assert ran.status == NO_PEER, (words, ran.err)
        assert "mesh up" in ran.err


def test_giving_up_waiting_is_exit_status_4_and_the_task_goes_on(probes: LocalMesh) -> None:
    row = probes.cli("call", "sleep", "seconds:=0.5", "--wait", "0.1", expect=TIMED_OUT).row
    assert row["state"] in ("accepted", "running")
    with probes.client() as client:
        until_done(client, row["task"])


@pytest.mark.slow
def test_a_submitted_task_can_be_looked_at_later(probes: LocalMesh) -> None:
    submitted = probes.cli("submit", "echo", "a:=1").row
    assert set(submitted) >= TASK_KEYS
    task = submitted["task"]
    with probes.client() as client:
        until_done(client, task)
    row = probes.cli("task", task).row
    assert set(row) >= TASK_KEYS
    assert (row["task"], row["state"], row["result"]) == (task, "done", {"a": 1})
    assert task in {each["task"] for each in probes.cli("tasks", "--state", "done").rows}
    assert len(probes.cli("tasks", "--limit", "1").rows) == 1


@pytest.mark.slow
def test_a_submitted_task_can_be_waited_for(probes: LocalMesh) -> None:
    task = probes.cli("submit", "sleep", "seconds:=0.3").row["task"]
    assert probes.cli("task", task, "--wait", "--timeout", "60").row["state"] == "done"
    task = probes.cli("submit", "sleep", "seconds:=600").row["task"]
    ran = probes.cli("task", task, "--wait", "--timeout", "0.2", expect=TIMED_OUT)
    assert ran.row["state"] in ("accepted", "running")
    probes.cli("cancel", task)


@pytest.mark.slow
def test_submit_prints_the_id_alone_for_people(probes: LocalMesh) -> None:
    ran = finish(start_cli("submit", "echo", "--dir", str(probes.path)))
    assert probes.cli("task", ran.out.strip()).row["task"] == ran.out.strip()


def test_the_story_of_a_task_names_its_lot_its_bids_and_its_attempts(probes: LocalMesh) -> None:
    task = probes.cli("call", "echo").row["task"]
    story = probes.cli("why", task).row
    assert story["task"] == task
    assert [attempt["status"] for attempt in story["history"]] == ["ok"]
    assert story["history"][0]["peer"] in probes.names()
    assert story["lots"][0]["bids"]
    ran = finish(start_cli("why", task, "--dir", str(probes.path)))
    assert "attempt 1" in ran.out


@pytest.mark.slow
def test_a_task_that_nobody_knows_is_exit_status_1(probes: LocalMesh) -> None:
    runs = [probes.start_cli(verb, "nobody-knows-it") for verb in ("task", "cancel", "why")]
    for ran in map(finish, runs):
        assert ran.status == FAILED
        assert "knows a task 'nobody-knows-it'" in ran.err


def test_a_running_task_is_cancelled(probes: LocalMesh) -> None:
    task = probes.cli("submit", "sleep", "seconds:=600").row["task"]
    assert probes.cli("cancel", task).row["state"] == "cancelled"
    assert probes.cli("task", task, expect=FAILED).row["state"] == "cancelled"


@pytest.mark.slow
def test_a_task_that_has_ended_cannot_be_cancelled(probes: LocalMesh) -> None:
    task = probes.cli("call", "echo").row["task"]
    assert "done already" in probes.cli("cancel", task, expect=FAILED).err


def test_a_map_prints_a_line_for_each_index(probes: LocalMesh, tmp_path: Path) -> None:
    file = lines(tmp_path / "in.jsonl", [{"i": i} for i in range(300)])
    rows = probes.cli("map", "echo", file).rows
    assert sorted(row["index"] for row in rows) == list(range(300))
    assert all(row["result"] == {"i": row["index"]} for row in rows)
    assert all(set(row) >= TASK_KEYS for row in rows)


def test_a_map_with_failures_prints_them_all_and_is_exit_status_1(
    probes: LocalMesh, tmp_path: Path
) -> None:
    file = lines(tmp_path / "in.jsonl", [{"seconds": 0}, {"seconds": "x"}, {"seconds": 0.001}])
    rows = {row["index"]: row for row in probes.cli("map", "sleep", file, expect=FAILED).rows}
    assert [rows[i]["state"] for i in range(3)] == ["done", "refused", "done"]
    assert rows[1]["error"]["kind"] == "InvalidInput"


def test_refusals_in_a_map_are_told_by_the_index_of_their_input(
    probes: LocalMesh, tmp_path: Path
) -> None:
    inputs: list[dict[str, Any]] = [{"seconds": 0}] * 700
    inputs[3] = inputs[650] = {"seconds": "x"}
    ran = probes.cli("map", "sleep", lines(tmp_path / "in.jsonl", inputs), expect=FAILED)
    refused = {row["index"]: row for row in ran.rows if row["state"] == "refused"}
    assert sorted(refused) == [3, 650]
    for index, row in refused.items():
        assert row["error"]["message"].startswith(f"input {index}: sleep: ")
    with probes.client() as client, pytest.raises(Refused, match="input 3: ") as raised:
        list(client.map("sleep", inputs))
    assert raised.value.index == 3


def test_a_map_of_an_unknown_skill_stops_at_the_first_refusal(
    probes: LocalMesh, tmp_path: Path
) -> None:
    file = lines(tmp_path / "in.jsonl", [{"i": i} for i in range(3000)])
    ran = probes.cli("map", "nosuch", file, expect=FAILED)
    assert len(ran.rows) == 1
    assert ran.err.count("no live peer hosts nosuch") == 1


@pytest.mark.slow
def test_a_missing_input_is_named_beside_one_that_is_too_many(crew: LocalMesh) -> None:
    message = crew.cli("call", "wait", "second:=1", expect=FAILED).row["error"]["message"]
    assert "'second' was unexpected" in message
    assert '"seconds" is a required property' in message


@pytest.mark.slow
def test_nobody_answering_is_told_with_what_to_try(probes: LocalMesh) -> None:
    for name in probes.names():
        probes.signal(name, signal.SIGSTOP)
    try:
        for words in (["call", "echo"], ["tasks"]):
            ran = probes.cli(*words, expect=NO_PEER)
            assert "mesh up" in ran.err
            assert "mesh resume" in ran.err
    finally:
        for name in probes.names():
            probes.signal(name, signal.SIGCONT)
        probes.converge()


@pytest.mark.slow
def test_a_direct_call_to_a_paused_peer_says_that_it_is_not_alive(tmp_path: Path) -> None:
    with local_mesh(tmp_path, 2) as mesh:
        mesh.signal("peer-2", signal.SIGSTOP)
        until(lambda: mesh.state_of("peer-2", seen_by="peer-1") == "dead", "the verdict")
        ran = mesh.cli("call", "echo", "a=1", "--to", "peer-2", expect=FAILED)
        assert "not alive" in ran.err
        assert "needs `to`" not in ran.err


@pytest.mark.slow
def test_what_is_incomplete_is_said_to_be(crew: LocalMesh) -> None:
    words = ["gathers", "partial:=true", "--dir", str(crew.path)]
    ran = finish(start_cli("call", *words))
    assert ran.status == DONE
    assert "incomplete" in ran.err
    assert json.loads(ran.out)[1] is None
    task = finish(start_cli("submit", *words)).out.strip()
    with crew.client() as client:
        until_done(client, task)
    looked_at = finish(start_cli("task", task, "--dir", str(crew.path)))
    assert "incomplete" in looked_at.err
    story = finish(start_cli("why", task, "--dir", str(crew.path))).out
    assert "(incomplete: " in story


@pytest.mark.slow
def test_a_listed_task_has_no_result_and_one_attempt_is_one(probes: LocalMesh) -> None:
    probes.cli("call", "echo", "a=1")
    row = probes.cli("tasks", "--state", "done", "--limit", "1").row
    assert "result" not in row
    assert set(row) >= TASK_KEYS - {"result"}
    failed = finish(start_cli("call", "fail", "--retries", "0", "--dir", str(probes.path)))
    assert "failed after 1 attempt\n" in failed.err


def test_a_map_reads_stdin_and_refuses_what_is_no_object(probes: LocalMesh) -> None:
    process = probes.start_cli("map", "echo", "-", pipe_in=True)
    assert process.stdin is not None
    process.stdin.write('{"a": 1}\n\n{"a": 2}\n')
    ran = finish(process)
    assert [row["result"] for row in sorted(ran.rows, key=lambda row: row["index"])] == [
        {"a": 1},
        {"a": 2},
    ]
    process = probes.start_cli("map", "echo", "-", pipe_in=True)
    assert process.stdin is not None
    process.stdin.write("[1]\n")
    ran = finish(process)
    assert (ran.status, "line 1" in ran.err) == (USAGE, True)


@pytest.mark.slow
def test_options_reach_the_task(probes: LocalMesh) -> None:
    timed = ["call", "sleep", "seconds:=60"]
    runs = {
        "to": probes.start_cli("call", "echo", "--to", "peer-3", "--key", "a key"),
        "priority": probes.start_cli("call", "echo", "--priority", "7"),
        "label": probes.start_cli("call", "echo", "--requires", "gpu"),
        "nobody": probes.start_cli("call", "echo", "--to", "peer-9"),
        "deadline": probes.start_cli(*timed, "--deadline", "0.2"),
        "timeout": probes.start_cli(*timed, "--timeout", "0.2", "--retries", "0"),
    }
    ran = {name: finish(process) for name, process in runs.items()}
    assert {name: each.status for name, each in ran.items()} == {
        "to": DONE, "priority": DONE, "label": FAILED, "nobody": FAILED, "deadline": FAILED,
        "timeout": FAILED,
    }  # fmt: skip
    assert ran["label"].row["error"]["kind"] == "MissingLabel"
    assert ran["to"].row["producer"] == "peer-3"
    assert ran["nobody"].row["error"]["kind"] == "UnknownPeer"
    assert ran["deadline"].row["state"] == "expired"
    assert (ran["timeout"].row["state"], ran["timeout"].row["attempts"]) == ("failed", 1)
    again = probes.cli("call", "echo", "--to", "peer-3", "--key", "a key").row
    assert again["task"] == ran["to"].row["task"]


@pytest.mark.slow
def test_the_mesh_is_found_by_environment_and_from_below(probes: LocalMesh, tmp_path: Path) -> None:
    ran = finish(start_cli("call", "echo", environ={"MESH_DIR": str(probes.path)}))
    assert ran.status == DONE, ran.err
    below = probes.path.parent / "deep" / "down"
    below.mkdir(parents=True, exist_ok=True)
    ran = finish(start_cli("call", "echo", cwd=below))
    assert ran.status == DONE, ran.err


@pytest.mark.slow
def test_a_peer_is_killed_paused_and_resumed_by_name(tmp_path: Path) -> None:
    with local_mesh(tmp_path, 2) as mesh:
        killed = mesh.cli("kill", "peer-2").row
        assert (killed["name"], killed["signal"]) == ("peer-2", "SIGKILL")
        until(lambda: not mesh.pid("peer-2"), "peer-2 to be gone")
        runs = [mesh.start_cli("kill", name) for name in ("peer-2", "peer-7")]
        assert [finish(process).status for process in runs] == [FAILED, USAGE]
        mesh.cli("pause", "peer-1")
        rows = mesh.cli("peers", expect=NO_PEER).rows
        assert [row["state"] for row in rows] == ["paused", "down"]
        mesh.cli("resume", "peer-1")
        assert mesh.status("peer-1")["alive"] >= 1
        mesh.signal("peer-1", signal.SIGSTOP)
        assert mesh.cli("down").row["stopped"] == ["peer-1"]
        assert not mesh.pid("peer-1")


def test_up_stays_until_ctrl_c_and_then_stops_its_peers(tmp_path: Path) -> None:
    mesh = LocalMesh(tmp_path / ".mesh")
    try:
        process = mesh.start_cli("up", "-n", "1")
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["converged"]
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert finish(process).status == DONE
        assert not mesh.pid("peer-1")
        assert mesh.leftovers() == []
    finally:
        mesh.down()


@pytest.mark.slow
def test_a_killed_launcher_leaves_the_peers_running(tmp_path: Path) -> None:
    mesh = LocalMesh(tmp_path / ".mesh")
    try:
        process = mesh.start_cli("up", "-n", "2")
        assert process.stdout is not None
        up = json.loads(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE_S)
        assert [mesh.pid(peer["name"]) for peer in up["peers"]] == [
            peer["pid"] for peer in up["peers"]
        ]
        assert mesh.cli("call", "echo", "a:=1").row["result"] == {"a": 1}
    finally:
        mesh.down()


@pytest.mark.slow
def test_agents_are_placed_on_the_peers_that_are_named(tmp_path: Path) -> None:
    mesh = LocalMesh(tmp_path / ".mesh")
    try:
        up = ["up", "-n", "2", "--detach", "--agents"]
        assert "no agent file" in mesh.cli(*up, "no-such.py", expect=USAGE).err
        assert "no peer" in mesh.cli(*up, f"{CREW}@peer-7", expect=USAGE).err
        assert "names of peers" in mesh.cli(*up, f"{CREW}@", expect=USAGE).err
        assert not mesh.path.exists(), "a mesh that never came up is not there to be found"
        mesh.cli(*up, f"{CREW}@peer-2")
        rows = mesh.cli("peers").rows
        assert [bool(row["skills"]) for row in rows] == [False, True]
        assert mesh.cli("call", "add", "a:=1").row["producer"] == "peer-2"
    finally:
        mesh.down()


@pytest.mark.slow
def test_an_agent_file_that_cannot_be_imported_is_told_with_its_error(tmp_path: Path) -> None:
    mesh = LocalMesh(tmp_path / ".mesh")
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_module_at_all\n", encoding="utf-8")
    try:
        ran = mesh.cli("up", "-n", "1", "--detach", "--agents", str(broken), expect=USAGE)
        assert "no_such_module_at_all" in ran.err
        assert not mesh.path.exists()
        # One that was there before stays.
        mesh.cli("up", "-n", "1", "--detach")
        mesh.cli("down")
        mesh.cli("up", "--detach", "--agents", str(broken), expect=USAGE)
        assert mesh.names() == ["peer-1"]
    finally:
        mesh.down()
