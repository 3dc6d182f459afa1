"""mypy finds what is wrong with calls by function; `calls.py` has those that are right."""

from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).resolve().parents[2]
BEFORE = """
from mesh import AsyncClient, Client
from tests.typing.calls import certain, length, retrieve

client = Client()
"""
MISTAKES = {
    "client.call(length, test='')": "call-overload",
    "client.call(length, text=3)": "call-overload",
    "client.submit(retrieve, limit=3)": "call-overload",
    "client.call(retrieve, query='', ctx=None)": "call-overload",
    "words: list[str] = client.call(retrieve, query='')": "call-overload",
    "number: int = client.submit(certain, text='').result()": "assignment",
    "client.call(3)": "call-overload",
    "client.options(timout=3)": "call-arg",
    "AsyncClient().options(timout=3)": "call-arg",
    "AsyncClient().options(timeout='long')": "arg-type",
}


@pytest.mark.slow
def test_each_mistake_is_found(tmp_path: Path) -> None:
    file = tmp_path / "mistakes.py"
    file.write_text(BEFORE + "\n".join(MISTAKES) + "\n")
    cache = tmp_path / "cache"
    out, problems, _ = api.run(
        ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(cache), str(file)]
    )
    assert problems == ""
    first = BEFORE.count("\n") + 1
    for line, (mistake, kind) in enumerate(MISTAKES.items(), first):
        found = [each for each in out.splitlines() if each.startswith(f"{file}:{line}: error:")]
        assert any(f"[{kind}]" in each for each in found), f"{mistake}: {found or out}"
