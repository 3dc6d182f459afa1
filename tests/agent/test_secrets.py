"""Where secrets come from, and how they are kept out of texts."""

import base64
import io
from pathlib import Path

import pytest

from mesh.agent.redaction import Redactor
from mesh.agent.vault import SECRETS_FILE, BadSecrets, NoSecret, Vault, read_sources


@pytest.mark.parametrize(
    "value", ['s3cret/+ "quo\'ted"', "two-lines-of-a-long-key\nand-its-other-line-here"]
)
def test_a_value_is_known_again_however_it_is_written(value: str) -> None:
    made = Redactor()
    made.keep_out(value, "key")
    for text in (value, repr(value), f"{value!r:>99}", base64.b64encode(value.encode()).decode()):
        assert made.clean(f"before {text} after").count("[secret key]") >= 1
        assert value not in made.clean(text)
    assert made.plain({"a": [value, 1, None]}) == {"a": ["[secret key]", 1, None]}
    assert made.found_in(f"x{value}y".encode()) == "[secret key]"
    assert made.found_in(b"nothing of it") == ""


def test_a_line_of_a_longer_value_is_known_by_itself() -> None:
    made = Redactor()
    made.keep_out("first line of a key\nsecond line of a key", "key")
    assert made.clean("only second line of a key") == "only [secret key]"


def test_a_variable_is_named_after_the_secret() -> None:
    assert Vault({"MESH_SECRET_A_B_1": "a-value"}).secret("a.b-1") == "a-value"


@pytest.mark.parametrize(
    ("name", "environ", "word"),
    [
        ("absent", {}, "MESH_SECRET_ABSENT is not set"),
        ("no name", {}, "cannot name a secret"),
        ("short", {"MESH_SECRET_SHORT": "12345"}, "has 5 characters"),
        ("x", {SECRETS_FILE: "/nowhere/secrets.toml"}, "cannot read"),
    ],
)
def test_what_cannot_be_had_says_why(name: str, environ: dict[str, str], word: str) -> None:
    with pytest.raises(NoSecret, match=word):
        Vault(environ).secret(name)


def test_a_variable_that_a_file_names_and_that_is_not_set_says_so(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('x = { env = "NOT_HERE" }')
    told = {SECRETS_FILE: str(tmp_path / "s.toml")}
    with pytest.raises(NoSecret, match=r"NOT_HERE is not set, where .*s\.toml says it is"):
        Vault(told).secret("x")
    with pytest.raises(NoSecret, match=r"MESH_SECRET_Y is not set and .*s\.toml does not name it"):
        Vault(told).secret("y")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("x = ", "is not TOML"),
        ('x = "value"', "a line is name ="),
        ('x = { env = "A", file = "b" }', "has one of env, file and command"),
        ("x = {}", "has one of env, file and command"),
        ('x = { key = "A" }', "a line is name ="),
        ('"a b" = { env = "A" }', "cannot name a secret"),
    ],
)
def test_a_file_of_secrets_that_makes_no_sense_is_refused(
    tmp_path: Path, text: str, word: str
) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(BadSecrets, match=word):
        read_sources(tmp_path / "s.toml")


def test_what_is_printed_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    from mesh.agent import redaction

    made = Redactor()
    made.keep_out("a-value", "key")
    monkeypatch.setattr(redaction, "redactor", made)
    stream = io.StringIO()
    print("it is a-value", file=redaction.CleanStream(stream))
    assert stream.getvalue() == "it is [secret key]\n"
