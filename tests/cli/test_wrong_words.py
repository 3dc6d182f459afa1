"""What a verb says of words that it knows, with values that make no sense."""

import shlex
from pathlib import Path

import pytest

from mesh.local.errors import nobody_answers
from mesh.runtime import launcher
from tests.cli.test_every_verb import USAGE, Said


@pytest.fixture
def said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Said:
    return Said(monkeypatch, capsys, tmp_path)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stopped") / ".mesh"
    launcher.prepare(path, 3, [])
    return path


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["logs", "--kind", "task"], "no event or group of events 'task'"),
        (["logs", "--kind", "tasks.setled"], "of tasks there are: tasks.accepted"),
        (["logs", "--peer", "peer-9"], "there are peer-1, peer-2, peer-3"),
        (["logs", "--level", "loud"], "there are debug, info"),
        (["logs", "--since", "soon"], "write 30s, 10m"),
        (["spans", "--endpoint", "collector:4318"], "write http://HOST:4318"),
        (["tasks", "--state", "over"], "there are accepted, running"),
        (["top", "--interval", "0"], "not in the range"),
        (["invite", "--valid", "soon"], "write 90s, 15m"),
        (["invite", "--role", "ünï"], "'ünï' can be no role"),
        (["call", "echo", "--wait", "nan"], "nan is not a number up to"),
        (["call", "echo", "--timeout", "inf"], "inf is not a number up to"),
        (["submit", "echo", "--deadline", "1e300"], "1e+300 is not a number up to"),
        (["map", "echo", "-", "--deadline", "nan"], "nan is not a number up to"),
        (["decide", "echo", "--close", "nan"], "nan is not a number up to"),
        (["board", "put", "k", "v", "--ttl", "inf"], "inf is not a number up to"),
        (["board", "deposit", "k", "nan"], "nan is not a number up to"),
        (["board", "strong", "lease", "n", "--ttl", "nan"], "nan is not a number up to"),
        (["call", "echo", "text:=" + "[" * 5_000], "nested too deep"),
        (["board", "put", "k", "[" * 5_000, "--parse"], "nested too deep"),
        (["renew", "--role", "a b"], "'a b' can be no role"),
        (["call", "echo", "--exclusive", ""], "--exclusive: exclusive='': a key of 1 to 200"),
        (["submit", "echo", "--exclusive", "k" * 201], "a key of 1 to 200 characters"),
    ],
)
def test_a_value_that_makes_no_sense_is_told_with_what_would(
    words: list[str], text: str, said: Said, stopped: Path
) -> None:
    status, told = said(*words, "--dir", str(stopped))
    assert status == USAGE, told
    assert text in " ".join(told.split())


@pytest.mark.parametrize("kind", ["tasks", "tasks.settled", "peer.log", "worker", "agent.log"])
def test_logs_are_chosen_by_every_kind_that_there_is(kind: str, stopped: Path, said: Said) -> None:
    status, told = said("logs", "--kind", kind, "--dir", str(stopped))
    assert (status, told) == (0, "")


def test_peers_that_do_not_answer_are_told_by_name_and_together(said: Said, stopped: Path) -> None:
    _, told = said("call", "echo", "--dir", str(stopped))
    assert told.startswith("mesh: no peer answers (peer-1, peer-2, peer-3: not running)\n")
    both = nobody_answers([("a", "not running"), ("b", "no answer"), ("c", "not running")])
    assert both.startswith("no peer answers (a, c: not running; b: no answer)\n`mesh peers`")


def test_a_folder_of_which_all_peers_were_revoked_is_not_waited_for(
    said: Said, tmp_path: Path
) -> None:
    path = tmp_path / "outcast"
    folder = launcher.prepare(path, 1, [])
    folder.peer_folder("peer-1").revoked.write_text("this peer was revoked (stolen)")
    status, told = said("up", "--detach", "--dir", str(path))
    assert status == 1
    assert told.endswith("mesh: there is no peer to start: this peer was revoked (stolen)\n")
    status, told = said("peers", "--dir", str(path))
    assert status == 3
    assert "no peer answers: they were revoked" in told


def test_an_empty_name_is_not_taken_for_none(said: Said, tmp_path: Path) -> None:
    status, told = said("init", "--dir", str(tmp_path / "new"), "--name", "")
    assert status == USAGE
    assert "'' cannot name a peer" in told
    assert not (tmp_path / "new").exists()


def test_commands_to_copy_name_a_folder_as_a_shell_needs_it(said: Said, tmp_path: Path) -> None:
    place = tmp_path / "bé rt's"
    status, told = said("init", "--dir", str(place), "--name", "bert")
    assert status == 0
    assert f"next:  mesh serve --dir {shlex.quote(str(place))}\n" in told
    status, told = said("invite", "--dir", str(place))
    assert f"`mesh serve --dir {shlex.quote(str(place))}`" in told
