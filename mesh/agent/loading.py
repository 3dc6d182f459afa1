"""Finds the agents in files of agent authors."""

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

from mesh.agent.agent import Agent


class BadAgentFile(Exception):
    """A file holds no such agent, or cannot be imported."""


class _SourceAsItIs(SourceFileLoader):
    """Compiles the source each time: bytecode on disk counts as fresh for a whole second.

    An author who saves twice in it and reloads would get what was there before.
    """

    def get_code(self, fullname: str) -> CodeType:
        """The code of the file as it is now."""
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


def split_target(target: str) -> tuple[Path, str]:
    """``FILE`` or ``FILE:NAME`` as a path and a name, "" where none is given."""
    path, colon, name = target.rpartition(":")
    if not colon or not name.isidentifier():
        return Path(target), ""
    return Path(path), name


def load_agents(target: str, *, own_process: bool = True) -> list[Agent]:
    """Imports a file and returns its module-level agents, or the one that is named.

    Args:
        target: ``FILE`` or ``FILE:NAME``.
        own_process: whether the file's folder comes first on the import path; in a
            process shared with others it comes last.

    Raises:
        BadAgentFile: no such file, or no such agent in it.
        Exception: whatever the file raises when it is imported.
    """
    path, name = split_target(target)
    if not path.is_file():
        raise BadAgentFile(f"there is no agent file {path}")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0 if own_process else len(sys.path), folder)
    module_name = path.stem if path.stem not in sys.modules else f"mesh_agent_file_{path.stem}"
    loader = _SourceAsItIs(module_name, str(path.resolve()))
    spec = importlib.util.spec_from_file_location(module_name, loader=loader)
    if path.suffix != ".py" or spec is None:
        raise BadAgentFile(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    loader.exec_module(module)
    agents = [value for value in vars(module).values() if isinstance(value, Agent)]
    if name:
        chosen = getattr(module, name, None)
        agents = [chosen] if isinstance(chosen, Agent) else [a for a in agents if a.name == name]
    unique = list({id(agent): agent for agent in agents}.values())
    if not unique:
        wanted = f"agent {name!r}" if name else "agent"
        raise BadAgentFile(f'{path} defines no {wanted} at its top level: agent = Agent("...")')
    return unique
