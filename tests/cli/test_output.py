"""What other peers and handlers wrote is shown, and does not drive the reader's terminal."""

import sys
from typing import Any

import pytest

from mesh.cli.output import fail, line_of, plain, print_table, print_value
from mesh.cli.top import drawn

HOSTILE = "a\x1b[2Jb\x9b31mc\rd\x07e\u202ef"
HARMLESS = "a [2Jb 31mc d e f"


def test_control_characters_become_spaces_and_text_stays() -> None:
    assert plain(HOSTILE) == HARMLESS
    assert plain("naïve → 网\n\tindented") == "naïve → 网\n\tindented"


def test_what_is_one_line_stays_one_line() -> None:
    assert line_of("done\n10:00 forged\tline\u2028x") == "done 10:00 forged line x"


def test_a_table_keeps_its_rows_whatever_a_cell_says(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"name": f"{HOSTILE}\nforged", "state": "alive"}], ["name", "state"])
    assert capsys.readouterr().out.splitlines()[1:] == [f"{HARMLESS} forged  alive"]


def test_an_error_that_another_peer_worded_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fail(HOSTILE)
    assert capsys.readouterr().err == f"mesh: {HARMLESS}\n"


@pytest.mark.parametrize(("is_terminal", "shown"), [(True, HARMLESS), (False, HOSTILE)])
def test_a_result_is_whole_in_a_pipe_and_harmless_on_a_terminal(
    is_terminal: bool,
    shown: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    print_value(HOSTILE)
    assert capsys.readouterr().out == f"{shown}\n"


def test_json_on_a_terminal_escapes_or_blanks_what_would_drive_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    value: Any = {"text": "a\x1b[2J\x9b1mb"}
    print_value(value)
    assert capsys.readouterr().out == '{\n  "text": "a\\u001b[2J 1mb"\n}\n'


def test_a_screen_of_top_holds_no_control_of_anothers_making() -> None:
    (*_, warning) = drawn([], [f"warned: {HOSTILE}\nforged"], columns=80, height=20)
    assert warning == f"warned: {HARMLESS} forged"
