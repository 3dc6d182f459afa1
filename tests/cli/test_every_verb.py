"""Every verb with wrong arguments, where there is no mesh, and where the mesh is stopped."""

import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from mesh.cli import main
from mesh.cli.app import app
from mesh.runtime import launcher

NO_PEER = 3
USAGE = 2
FAILED = 1

ASKING: dict[str, list[str]] = {
    "peers": [], "reload": ["peer-1"], "invite": [], "top": ["--once"],
    "call": ["echo", "text=x"], "submit": ["echo", "text=x"], "map": ["echo", "inputs.jsonl"],
    "tasks": [], "task": ["abcdefghij"], "cancel": ["abcdefghij"], "why": ["abcdefghij"],
    "redrive": ["abcdefghij"], "drain": ["peer-1"], "renew": [], "revoke": ["peer-1"],
    "root rotate": [], "electors ls": [], "electors add": ["peer-1"],
    "electors remove": ["peer-1"], "electors replace": ["peer-1", "peer-2"],
    "electors recover": ["peer-1"],
    "issuer add": ["peer-1"], "issuer ls": [], "decide": ["echo", "text=x"],
    "board put": ["key", "value"], "board get": ["key"], "board delete": ["key"], "board ls": [],
    "board watch": [], "board increment": ["key"], "board add": ["key", "value"],
    "board remove": ["key", "value"], "board set": ["key", "field", "value"],
    "board unset": ["key", "field"], "board append": ["key", "value"],
    "board deposit": ["key"], "board sense": ["key"], "board sql": ["select 1"],
    "board search": ["[1.0]"], "board events": [], "board strong get": ["key"],
    "board strong set": ["key", "value"], "board strong delete": ["key"],
    "board strong transact": ["{}"], "board strong lease": ["name"],
    "board strong renew": ["name", "1"], "board strong release": ["name", "1"],
    "blob put": ["inputs.jsonl"], "blob get": ["0" * 64], "blob ls": [], "blob rm": ["0" * 64],
}  # fmt: skip
"""Verbs that need a peer that answers, with arguments that would do."""
SIGNALS = {"kill": ["peer-1"], "pause": ["peer-1"], "resume": ["peer-1"]}
"""Verbs that need a process."""
FOLDER_ONLY: dict[str, list[str]] = {
    "down": [], "doctor": [], "logs": [], "trace": ["abcdefghij"], "metrics": [], "spans": [],
}  # fmt: skip
"""Verbs that need a mesh folder, but nobody in it."""
ELSEWHERE = {
    "up", "init", "join", "verify", "serve", "demo", "sim list", "sim run", "sim sweep",
    "sim replay", "sim shrink", "sim report", "sim experiment",
}  # fmt: skip
"""Verbs that make their own mesh, or need none; their own tests give them wrong arguments."""
TAKING_ANY = ("call", "submit", "redrive", "revoke", "decide", "electors add", "electors remove",
               "electors recover")  # fmt: skip
"""Verbs that take any number of words, or are wrong without one."""
COMMAND = functools.cache(typer.main.get_command)
"""The command line is made once: hundreds of times over it takes most of the tests' time."""
NAMED = {**ASKING, **SIGNALS, **FOLDER_ONLY}


def verbs(found: typer.Typer, before: str = "") -> Iterator[str]:
    """All verbs of the command line, those of groups with the group's name."""
    for command in found.registered_commands:
        yield f"{before}{command.name}"
    for group in found.registered_groups:
        assert group.typer_instance is not None, "a group has verbs"
        yield from verbs(group.typer_instance, f"{before}{group.typer_instance.info.name} ")


def test_every_verb_is_in_a_table_here() -> None:
    assert sorted({*NAMED, *ELSEWHERE}) == sorted(verbs(app))


class Said:
    """Runs verbs in this process: their exit status, and what they printed."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
    ) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.setattr(typer.main, "get_command", COMMAND)
        monkeypatch.chdir(folder)
        monkeypatch.delenv("MESH_DIR", raising=False)
        (folder / "inputs.jsonl").write_text('{"text": "x"}\n')

    def __call__(self, *words: str) -> tuple[int, str]:
        self._monkeypatch.setattr(sys, "argv", ["mesh", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self._capsys.readouterr()
        assert isinstance(ended.value.code, int), "an exit status is a number"
        return ended.value.code, printed.err + printed.out


@pytest.fixture
def said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Said:
    return Said(monkeypatch, capsys, tmp_path)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mesh of which no peer runs."""
    path = tmp_path_factory.mktemp("stopped") / ".mesh"
    launcher.prepare(path, 1, [])
    return path


@pytest.mark.parametrize("verb", sorted(verbs(app)))
def test_an_option_that_does_not_exist_is_wrong_usage(verb: str, said: Said) -> None:
    status, text = said(*verb.split(), "--no-such-option")
    assert status == USAGE, text
    assert "--no-such-option" in text


@pytest.mark.parametrize(("verb", "words"), sorted(NAMED.items()))
def test_where_there_is_no_mesh_it_says_how_to_get_one(
    verb: str, words: list[str], said: Said, tmp_path: Path
) -> None:
    status, text = said(*verb.split(), *words, "--dir", str(tmp_path / "nowhere"))
    assert status == NO_PEER, text
    assert "nowhere" in text
    assert "mesh up" in text
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(("verb", "words"), sorted(ASKING.items()))
def test_where_no_peer_runs_it_says_so_and_what_to_try(
    verb: str, words: list[str], said: Said, stopped: Path
) -> None:
    status, text = said(*verb.split(), *words, "--dir", str(stopped))
    assert status == NO_PEER, text
    assert "`mesh " in text, "a verb to try"


@pytest.mark.parametrize(("verb", "words"), sorted(ASKING.items()))
def test_an_argument_too_many_or_too_few_is_wrong_usage(
    verb: str, words: list[str], said: Said, stopped: Path
) -> None:
    # Those that take any number of words are given none.
    wrong = [] if verb in TAKING_ANY else [*words, "another", "one-more"]
    status, text = said(*verb.split(), *wrong, "--dir", str(stopped))
    assert status == USAGE, text


@pytest.mark.parametrize(("verb", "words"), sorted(SIGNALS.items()))
def test_a_peer_that_does_not_run_gets_no_signal(
    verb: str, words: list[str], said: Said, stopped: Path
) -> None:
    status, text = said(*verb.split(), *words, "--dir", str(stopped))
    assert status == FAILED
    assert "peer-1 does not run" in text
