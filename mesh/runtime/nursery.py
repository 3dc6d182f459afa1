"""Starts peers: one process that has imported everything forks one child per peer.

Importing costs a third of a second and 30 MB; forked peers pay it once between
them. The children detach (their own session, logs instead of a terminal), and
the nursery ends as soon as each holds its folder or has ended itself, so that
no process coordinates anything, and whoever started them sees who runs.

    python -P -m mesh.runtime.nursery

imports, reads ``{"folder": …, "names": […]}``, prints ``{"name": pid, …}`` and exits.
Whoever starts it may thus prepare the folder while it imports.
"""

import gc
import json
import os
import sys
import time
import traceback
from pathlib import Path

import msgspec
from cryptography.hazmat.backends.openssl import backend

from mesh.local.discovery import running_pid
from mesh.runtime.installed import installed_version
from mesh.runtime.peer_process import run_peer

BEGUN_S = 10.0
"""How long a peer may take to hold its folder."""
POLL_S = 0.01
COLLECT_AFTER = 20_000
"""Objects made and not freed before the collector looks for cycles among them. A peer makes few
cycles and many short-lived objects; at Python's 700 a third of its time on tasks was this."""
LOG_LIMIT = 16 * 1024 * 1024
"""Bytes in a peer's log above which it is set aside at the next start."""


class Order(msgspec.Struct):
    """Whom to start."""

    folder: str
    names: list[str]


def calm_collector() -> None:
    """Lets the collector pass over what is alive now, and look at the rest less often.

    Forked peers share what nobody touches, and a collection would touch everything.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def _detach(log: Path) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".1.log"))
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)


def start(folder: Path, names: list[str]) -> dict[str, int]:
    """Forks one peer per name; each child never returns. Gives the pids."""
    pids: dict[str, int] = {}
    # What each child would else load for itself, at its first key and its first word.
    backend.openssl_version_text()
    installed_version()
    calm_collector()
    sys.stdout.flush()
    for name in names:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                _detach(folder / "peers" / name / "peer.log")
                status = run_peer(folder, name)
            except BaseException:  # noqa: BLE001  # what ends here never reaches the interpreter
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        pids[name] = pid
    return pids


def wait_begun(folder: Path, pids: dict[str, int]) -> None:
    """Waits until each child holds its peer's folder, or has ended."""
    ends = time.monotonic() + BEGUN_S
    left = dict(pids)
    while left and time.monotonic() < ends:
        for name, pid in list(left.items()):
            ended, _ = os.waitpid(pid, os.WNOHANG)
            if ended or running_pid(folder / "peers" / name) == pid:
                del left[name]
        time.sleep(POLL_S)


def main() -> None:
    """See the module."""
    line = sys.stdin.readline()
    if not line:
        return  # nobody is to be started after all
    order = msgspec.json.decode(line, type=Order)
    folder = Path(order.folder)
    pids = start(folder, order.names)
    wait_begun(folder, pids)
    print(json.dumps(pids), flush=True)


if __name__ == "__main__":
    main()
