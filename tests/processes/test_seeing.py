"""The verbs that look, at real peers: followed, interrupted, and in a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from mesh.cli.doctor import examine
from mesh.cli.spending import spent
from mesh.telemetry import finding
from tests.processes.rig import PATIENCE_S, ROOT, LocalMesh, start_cli, until


@pytest.mark.slow
def test_logs_are_followed_until_ctrl_c(crew: LocalMesh) -> None:
    following = start_cli("logs", "-f", "--kind", "tasks.settled", "--dir", str(crew.path))
    assert following.stdout is not None
    try:
        with crew.client() as client:
            # It may not look yet when the first of them end.
            until(lambda: client.call("add", a=1) and _has_line(following), "a line of the log")
        assert "tasks.settled  1 done" in following.stdout.readline()
        following.send_signal(signal.SIGINT)
        _, told = following.communicate(timeout=PATIENCE_S)
        assert (following.returncode, told) == (0, "")
    finally:
        following.kill()
        following.communicate()


def _has_line(process: "subprocess.Popen[str]") -> bool:
    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], 0.05)[0])


def test_a_nested_task_is_traced_and_its_costs_add_up(crew: LocalMesh) -> None:
    with crew.client() as client:
        handle = client.submit("nested", depth=2)
        assert handle.result(PATIENCE_S) == 2
        story = client.why(handle.id)
    until(lambda: _states(crew, handle.id) == ["done"] * 3, "its events to be written")
    found = finding.find(crew.path, handle.id)
    assert found.roots == [handle.id]
    assert {task.trace for task in found.tasks.values()} == {found.trace}
    spending = spent(crew.path, story)
    assert sum(step["ms"] for step in spending["path"]) == pytest.approx(spending["whole_ms"])
    assert sum(spending["costs"].values()) == pytest.approx(spending["whole_ms"])
    assert {step["depth"] for step in spending["path"]} == {0, 1, 2}
    assert {"recording", "handing over", "running"} <= set(spending["costs"])


def _states(mesh: LocalMesh, task: str) -> list[str]:
    return [story.state for story in finding.below(mesh.path, task).tasks.values()]


@pytest.mark.slow
def test_doctor_finds_running_peers_well_and_a_paused_one_not(crew: LocalMesh) -> None:
    found = list(examine(crew.path))
    assert {"peer", "port", "version", "electorate", "dead-letters"} <= {f.check for f in found}
    assert [each.subject for each in found if each.check == "peer"] == crew.names()
    assert [each for each in found if each.level == "problem"] == []
    crew.signal("peer-2", signal.SIGSTOP)
    try:
        paused = list(examine(crew.path))
    finally:
        crew.signal("peer-2", signal.SIGCONT)
    problems = [(each.check, each.subject) for each in paused if each.level == "problem"]
    assert problems == [("peer", "peer-2")]
    until(lambda: all(crew.state_of("peer-2", by) == "alive" for by in ("peer-1", "peer-3")), "it")


@pytest.mark.slow
def test_top_has_its_stable_keys(crew: LocalMesh) -> None:
    rows = crew.cli("top", "--once", "--interval", "0.2").rows
    assert [row["name"] for row in rows] == crew.names()
    for row in rows:
        assert set(row) >= {"state", "slots", "running", "waiting", "open", "done_per_s", "p50_ms"}
        assert row["state"] == "alive"
        assert row["slots"] > 0
        assert row["memory_mb"] > 10


def test_top_draws_in_a_terminal_and_leaves_it_as_it_was(crew: LocalMesh) -> None:
    terminal, slave = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    words = ["top", "--interval", "0.1", "--dir", str(crew.path)]
    running = subprocess.Popen(
        [sys.executable, "-m", "mesh.cli", *words],
        cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    seen = b""
    ends = time.monotonic() + PATIENCE_S
    try:
        while seen.count(b"\x1b[H") < 3:
            assert time.monotonic() < ends, f"no three screens, but {seen!r}"
            if select.select([terminal], [], [], 0.05)[0]:
                seen += os.read(terminal, 65536)
        os.write(terminal, b"q")
        while more := _read(terminal):
            seen += more
        assert running.wait(PATIENCE_S) == 0
    finally:
        running.kill()
        running.wait()
        os.close(terminal)
    assert seen.startswith(b"\x1b[?1049h\x1b[?25l")
    assert seen.endswith(b"\x1b[?25h\x1b[?1049l")
    lines = re.sub(r"\x1b\[[0-9?]*[a-zA-Z]", "", seen.decode().split("\x1b[H")[-2]).splitlines()
    assert lines[0].startswith("3 of 3 alive")
    assert [line.split()[0] for line in lines[3:6]] == crew.names()
    assert max(map(len, lines)) <= 80


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        # Linux says so where the other side is closed.
        return b""
