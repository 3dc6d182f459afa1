"""Starts peers: one process that has imported everything forks one child per peer.

Importing costs a third of a second and 30 MB; forked peers pay it once between
them. The children detach (their own session, logs instead of a terminal) and
the nursery ends, so that no process coordinates anything.

    python -P -m mesh.runtime.nursery FOLDER NAME...

prints ``{"name": pid, …}`` and exits.
"""

import gc
import json
import os
import sys
from pathlib import Path

from mesh.runtime.peer_process import run_peer


def _detach(log: Path) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)


def start(folder: Path, names: list[str]) -> dict[str, int]:
    """Forks one peer per name; each child never returns. Gives the pids."""
    pids: dict[str, int] = {}
    # What is alive now is shared by all children as long as nobody touches it,
    # and a collection would touch everything.
    gc.collect()
    gc.freeze()
    sys.stdout.flush()
    for name in names:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                _detach(folder / "peers" / name / "peer.log")
                status = run_peer(folder, name)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        pids[name] = pid
    return pids


def main() -> None:
    """See the module."""
    if len(sys.argv) < len(("program", "folder", "name")):
        sys.exit("usage: python -P -m mesh.runtime.nursery FOLDER NAME...")
    print(json.dumps(start(Path(sys.argv[1]), sys.argv[2:])), flush=True)


if __name__ == "__main__":
    main()
