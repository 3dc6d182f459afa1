"""Commands that see a file system of their own: a full one, or one that may only be read."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.processes.rig import ROOT

APART = ("unshare", "--user", "--map-root-user", "--mount")
HINT = (
    "this machine lets a test mount nothing ({why}), so a full or read-only disk is not tested. "
    "Run as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, and on "
    "Ubuntu kernel.apparmor_restrict_unprivileged_userns=0), or leave these tests out by name: "
    "PYTEST_ARGS='-m \"not mounts\"'"
)


def require_mounts(folder: Path) -> None:
    """Fails, with what to try, where nothing can be mounted."""
    ran = _run_apart(f"mount -t tmpfs tmpfs {shlex.quote(str(folder))}")
    if ran.returncode != 0:
        pytest.fail(HINT.format(why=ran.stderr.strip() or f"status {ran.returncode}"))


def start_on_small_disk(folder: Path, size: str, command: Sequence[str]) -> "subprocess.Popen[str]":
    """Starts a command for which `folder` is a disk of so much space; it is copied there and back.

    Nobody else sees that disk: what it holds when the command has ended is what `folder` holds.
    """
    place, words = shlex.quote(str(folder)), shlex.join(command)
    script = (
        f"cp -a {place} {place}.before && mkdir {place}.real && mount --bind {place} {place}.real"
        f" && mount -t tmpfs -o size={size},mode=700 tmpfs {place}"
        f" && cp -a {place}.before/. {place}/ || exit 99\n"
        f"{words}\nstatus=$?\n"
        f"cp -a {place}/. {place}.real/ || exit 99\nexit $status"
    )
    return subprocess.Popen(
        [*APART, "sh", "-c", script],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_read_only(folder: Path, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Runs a command for which `folder`, with what it holds, may only be read."""
    place = shlex.quote(str(folder))
    return _run_apart(
        f"cp -a {place} {place}.before && mount -t tmpfs -o mode=700 tmpfs {place}"
        f" && cp -a {place}.before/. {place}/ && mount -o remount,ro {place} || exit 99\n"
        f"exec {shlex.join(command)}"
    )


def python(*words: str) -> list[str]:
    """This interpreter, with arguments."""
    return [sys.executable, *words]


def _run_apart(script: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            [*APART, "sh", "-c", script],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    except FileNotFoundError:
        pytest.fail(HINT.format(why="there is no unshare"))
