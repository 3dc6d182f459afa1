"""Agents in files."""

import os
import sys
from pathlib import Path

import pytest

from mesh.agent.loading import BadAgentFile, load_agents


def test_a_file_saved_twice_in_a_second_is_read_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "agent_saved_twice.py"
    for name in ("one", "two"):
        path.write_text(f"from mesh import Agent\nagent = Agent('{name}')\n")
        os.utime(path, (1_000_000_000, 1_000_000_000))
        monkeypatch.delitem(sys.modules, path.stem, raising=False)
        assert [agent.name for agent in load_agents(str(path))] == [name]
    assert list(tmp_path.glob("__pycache__")) == []
    monkeypatch.delitem(sys.modules, path.stem)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "agent.txt").write_text("")
    with pytest.raises(BadAgentFile, match="not a Python file"):
        load_agents(str(tmp_path / "agent.txt"))
