"""The verb `demo`: five peers audit a source tree, and one of them is killed half-way."""

import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.options import JsonOption
from mesh.cli.output import FAILED, USAGE, fail, print_json, say

if TYPE_CHECKING:
    from mesh.storage.folder import MeshFolder

CONVERGE_S = 60.0


class RunningMesh:
    """The demo's mesh: a folder of its own whose peers run on this machine."""

    def __init__(self, folder: "MeshFolder") -> None:
        """Takes a folder whose peers are up."""
        self._folder = folder

    def connect(self) -> Any:
        """A client of its own."""
        from mesh.client import Client

        return Client(dir=self._folder.path)

    def kill(self, peer: str) -> None:
        """SIGKILL for a peer, by name."""
        from mesh.runtime import launcher

        launcher.send_signal(self._folder, peer, signal.SIGKILL)

    def root_public(self) -> bytes:
        """The file with the mesh's public root key."""
        return self._folder.root_public.read_bytes()


def demo(
    path: Annotated[
        Path | None,
        typer.Argument(help="A folder or file to audit; the standard library without it."),
    ] = None,
    chaos: Annotated[
        bool, typer.Option("--chaos/--no-chaos", help="Kill a working peer half-way.")
    ] = True,
    verify: Annotated[
        bool, typer.Option("--verify", help="Recompute the findings in one process and compare.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Audit only so many files, the largest.")
    ] = None,
    liar: Annotated[
        bool, typer.Option("--liar", help="Two more peers, and a juror among them that lies.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="Where the report goes.")] = Path("mesh-demo"),
    as_json: JsonOption = False,
) -> None:
    """Audit a source tree with specialist agents, lose a peer to SIGKILL, finish all the same.

    Exit status 1 where a task was lost or failed, or --verify found a difference.
    """
    _need_extra()
    from mesh.demo.crew import TaskWentWrong
    from mesh.demo.run import DemoOptions, NothingToAudit, check

    options = DemoOptions(path=path, out=out, limit=limit or 0, chaos=chaos)
    try:
        check(options)
        outcome = _run(options, verify, liar)
    except NothingToAudit as error:
        fail(str(error), USAGE)
    except TaskWentWrong as error:
        fail(str(error), FAILED)
    if as_json:
        print_json(outcome.to_json())
    else:
        for line in outcome.lines():
            print(line)
    if not outcome.is_good:
        raise SystemExit(FAILED)


def _run(options: Any, verified: bool, liar: bool) -> Any:
    from mesh.demo import face
    from mesh.demo.narration import narrator_for
    from mesh.demo.run import run_demo, verify
    from mesh.runtime import launcher

    scratch = Path(tempfile.mkdtemp(prefix="mesh-demo-"))
    folder = None
    kept = False
    try:
        begin = time.monotonic()
        agents = face.placed(liar)
        placed = [f"{file}@{peer}" for peer, files in agents.items() for file in files]
        folder = launcher.prepare(scratch / ".mesh", len(agents), placed, name="demo")
        launcher.start(folder, [entry.name for entry in folder.peers()])
        convergence = launcher.wait_converged(folder, CONVERGE_S)
        if not convergence.converged:
            kept = True
            fail(
                f"the peers did not find each other: waiting for {convergence.waiting_for}; "
                f"their logs are in {folder.path}/peers"
            )
        say(f"{len(convergence.statuses)} peers are up after {time.monotonic() - begin:.1f} s")
        with closing(narrator_for(sys.stderr)) as narrator:
            outcome = run_demo(options, RunningMesh(folder), narrator)
        launcher.stop(folder, list(launcher.running(folder)))
        if verified:
            with closing(narrator_for(sys.stderr)) as narrator:
                outcome = verify(options, outcome, narrator)
        return outcome
    finally:
        if folder is not None:
            launcher.stop(folder, list(launcher.running(folder)))
        if not kept:
            shutil.rmtree(scratch, ignore_errors=True)


def _need_extra() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("bandit", "radon") if find_spec(name) is None]
    if missing or not shutil.which("ruff", path=_tool_path()):
        fail(
            "the demo needs its extra: `make demo` brings it, or `pip install '.[demo]'`",
            USAGE,
        )


def _tool_path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
