"""Agents of another virtual environment, which has only what they need."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from mesh.agent import boot
from mesh.local.messages import PROTOCOL
from mesh.runtime.worker_process import WorkerProcess
from tests.processes.rig import PATIENCE_S, LocalMesh, finish, start_cli

AGENT = """
import sys
import only_there
from mesh import Agent

agent = Agent({declared})


@agent.skill(inline=True, name="{skill}")
def interpreter() -> list[str]:
    try:
        import protocols
    except ImportError:
        return [sys.executable, only_there.WORD]
    return ["the peer's packages are there too"]
"""
NEEDED = ("mesh", "msgspec", "anyio", "idna", "sniffio", "typing_extensions")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with nothing in it."""
    return make_environment(tmp_path_factory.mktemp("bare") / "env")


@pytest.fixture(scope="module")
def equipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of one that has what agents need, and a module of its own."""
    python = make_environment(tmp_path_factory.mktemp("equipped") / "env")
    packages = packages_of(python)
    for name in NEEDED:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            found = Path(spec.origin)
            found = found.parent if found.name == "__init__.py" else found
            (packages / found.name).symlink_to(found)
    (packages / "only_there.py").write_text("WORD = 'from there'\n")
    return python


def make_environment(path: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
    return path / "bin" / "python"


def packages_of(python: Path) -> Path:
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return python.parent.parent / "lib" / version / "site-packages"


@pytest.mark.slow
def test_agents_run_by_the_interpreter_that_up_or_they_themselves_name(
    tmp_path: Path, equipped: Path
) -> None:
    (tmp_path / "env").symlink_to(equipped.parent.parent)
    by_up, by_itself = tmp_path / "by_up.py", tmp_path / "by_itself.py"
    by_up.write_text(AGENT.format(declared="'by-up'", skill="one"))
    declared = "'by-itself', python='env/bin/python'"
    by_itself.write_text(AGENT.format(declared=declared, skill="two"))
    mesh = LocalMesh(tmp_path / ".mesh")
    try:
        files = ["--agents", str(by_up), "--agents", str(by_itself)]
        mesh.cli("up", "-n", "1", *files, "--python", str(equipped), "--detach")
        with mesh.client() as client:
            assert client.call("one") == [str(equipped), "from there"]
            assert client.call("two") == [str(tmp_path / "env/bin/python"), "from there"]
    finally:
        mesh.down()


async def test_a_worker_fails_with_what_its_environment_lacks(tmp_path: Path, bare: Path) -> None:
    file = tmp_path / "agent.py"
    file.write_text(AGENT.format(declared=f"'a', python={str(bare)!r}", skill="one"))
    worker = WorkerProcess(str(file), socket=tmp_path / "s.sock", logs=tmp_path)
    with trio.fail_after(PATIENCE_S):
        await worker.run()
    assert worker.state == "failed"
    assert f"{bare} cannot run agents: No module named 'mesh'" in worker.error
    assert f"{bare} -m pip install msgspec anyio" in worker.error


async def test_a_worker_whose_interpreter_was_taken_away_fails(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone" / "python")
    worker = WorkerProcess("a.py", socket=tmp_path / "s.sock", logs=tmp_path, python=gone)
    with trio.fail_after(PATIENCE_S):
        await worker.run()
    assert (worker.state, worker.error) == ("failed", f"there is no interpreter {gone}")


def test_up_refuses_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    missing = str(tmp_path / "no" / "python")
    words = ["--dir", str(tmp_path / ".mesh"), "--detach", "--json"]
    ran = finish(start_cli("up", "-n", "1", "--python", missing, *words))
    assert ran.status == 2
    assert ran.err == f"mesh: --python: there is no interpreter {missing}\n"


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        (PROTOCOL, "usage:"),
        (PROTOCOL + 1, f"version {PROTOCOL} of the local protocol, and the peer version"),
    ],
)
def test_an_environment_of_another_release_is_told(
    equipped: Path, protocol: int, words: str
) -> None:
    command = [str(equipped), boot.__file__, str(protocol)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert words in ran.stderr


def test_agents_for_trio_are_told_where_there_is_none(tmp_path: Path, equipped: Path) -> None:
    file = tmp_path / "agent.py"
    file.write_text(AGENT.format(declared="'a', loop='trio'", skill="one"))
    command = [str(equipped), boot.__file__, str(PROTOCOL), "--socket", "none", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == boot.EXIT_BAD_AGENT
    assert f'{equipped} has no trio, which loop="trio" needs' in ran.stderr


def test_agents_that_ask_for_several_interpreters_or_none_plainly_are_told(tmp_path: Path) -> None:
    two = "Agent('a', python='x/python')\nAgent('b', python='y/python')\n"
    assert "share a process, and ask for" in refusal(tmp_path, two)
    computed = "import sys\nAgent('a', python=sys.executable + '3')\n"
    assert "must be a plain text" in refusal(tmp_path, computed)
    elsewhere = "made = Agent\na = made('a', python='x/python')\n"
    assert "but not in" in refusal(tmp_path, elsewhere)
    missing = "Agent('a', python='x/python')\n"
    assert f"cannot run {tmp_path}/x/python: No such file" in refusal(tmp_path, missing)


def refusal(folder: Path, text: str) -> str:
    file = folder / "agent.py"
    file.write_text("from mesh import Agent\n" + text)
    command = [sys.executable, "-m", "mesh.agent.worker", "--socket", "none", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == boot.EXIT_BAD_AGENT
    return ran.stderr
