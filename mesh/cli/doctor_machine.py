"""What `mesh doctor` looks at on this machine: interpreter, libraries, clock, disk, descriptors."""

import ctypes
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mesh.cli.diagnosis import MIB, Finding, Level, size

FREE_LEAST, FREE_LITTLE = 256 * MIB, 2048 * MIB
FSYNC_SLOW_S, FSYNC_TOO_SLOW_S = 0.020, 0.5
FSYNC_TRIES, FSYNC_BYTES = 7, 4096
CLOCK_SAMPLES, CLOCK_STEP_S = 2000, 0.010
DESCRIPTORS_A_LINK = 4
DESCRIPTORS_OF_ITS_OWN = 128
CLIENTS = 256
"""Clients and workers of one peer that there should be descriptors for."""
NETWORKED = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs")
VOLATILE = ("tmpfs", "ramfs")
TIMEX_BYTES = 256
TIME_ERROR = 5
"""What adjtimex(2) answers where nothing keeps the clock right."""


def look(folder: Path, peers: int, is_alone: bool) -> Iterator[Finding]:
    """Looks at this machine.

    Args:
        folder: where the mesh is, or would be.
        peers: how many members the mesh has.
        is_alone: all of them are on this machine, and have one clock.
    """
    yield _python()
    yield from _libraries()
    yield _libzmq()
    yield _clock()
    synchronised = _synchronised(is_alone)
    if synchronised is not None:
        yield synchronised
    yield from _disk(folder)
    yield descriptors(peers, resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _python() -> Finding:
    from mesh.runtime.installed import python

    number, will_do, is_asserting = python()
    if not will_do:
        return Finding(
            "python", "interpreter", "problem", number, "3.11 is the oldest that will do",
            "install a newer Python, and stigmesh with it",
        )  # fmt: skip
    if not is_asserting:
        return Finding(
            "python", "interpreter", "problem", f"{number}, without assertions",
            "a peer does not start under python -O: its assertions guard it",
            "start it without -O and PYTHONOPTIMIZE",
        )  # fmt: skip
    return Finding("python", "interpreter", "ok", number)


def _libraries() -> Iterator[Finding]:
    from mesh.runtime.installed import requirements

    wanted = requirements()
    for each in wanted:
        if not each.is_met:
            yield Finding(
                "dependency", each.name, "problem", each.found or "missing",
                f"stigmesh needs {each.least} or newer", f"pip install '{each.name}>={each.least}'",
            )  # fmt: skip
    if wanted and all(each.is_met for each in wanted):
        yield Finding("dependency", "all", "ok", f"{len(wanted)} packages, all new enough")


def _libzmq() -> Finding:
    from mesh.runtime.installed import libzmq

    number, has_curve = libzmq()
    if has_curve:
        return Finding("libzmq", "libzmq", "ok", f"{number} with CURVE")
    return Finding(
        "libzmq", "libzmq", "problem", f"{number} without CURVE", "links between peers need it",
        "install pyzmq from its wheel, or build libzmq with libsodium",
    )  # fmt: skip


def _clock() -> Finding:
    """Does the monotonic clock never go back, and does the wall clock keep step with it?"""
    monotonic, wall = time.monotonic_ns(), time.time_ns()
    last, backwards = monotonic, 0
    for _ in range(CLOCK_SAMPLES):
        now = time.monotonic_ns()
        backwards += now < last
        last = now
    drift = abs((time.time_ns() - wall) - (time.monotonic_ns() - monotonic)) / 1e9
    if backwards:
        return Finding(
            "clock", "monotonic", "problem", f"went back {backwards} times",
            "every timer of a peer runs on it", "look for the hypervisor's clock source",
        )  # fmt: skip
    if drift > CLOCK_STEP_S:
        return Finding(
            "clock", "wall", "warning", f"moved {drift * 1000:.0f} ms while this looked at it",
            "credentials, deadlines and logs are read by it", "see what sets this machine's clock",
        )  # fmt: skip
    return Finding("clock", "here", "ok", "monotonic, and the wall clock keeps step")


def _synchronised(is_alone: bool) -> Finding | None:
    """Whether something keeps the wall clock right; None where the system does not say."""
    if sys.platform != "linux":
        return None
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    if state != TIME_ERROR:
        return Finding("clock", "synchronised", "ok", "the kernel holds it synchronised")
    if is_alone:
        return Finding(
            "clock", "synchronised", "ok", "nothing keeps it right, and nobody elsewhere"
        )
    return Finding(
        "clock", "synchronised", "warning", "nothing keeps it right",
        "a peer whose clock is off by more than credentials allow is not admitted elsewhere",
        "run chrony or systemd-timesyncd (in a container: on its host)",
    )  # fmt: skip


def _disk(folder: Path) -> Iterator[Finding]:
    place = folder if folder.exists() else folder.parent
    free = shutil.disk_usage(place).free
    level: Level = "problem" if free < FREE_LEAST else "warning" if free < FREE_LITTLE else "ok"
    yield Finding(
        "disk", "free", level, size(free),
        "" if level == "ok" else "a peer that cannot write its journal stops",
        "" if level == "ok" else "make room, or move the mesh folder",
    )  # fmt: skip
    yield _fsync(place)
    yield _file_system(place)


def _fsync(place: Path) -> Finding:
    taken = []
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            for _ in range(FSYNC_TRIES):
                file.write(b"\0" * FSYNC_BYTES)
                file.flush()
                begin = time.perf_counter()
                os.fsync(file.fileno())
                taken.append(time.perf_counter() - begin)
    except OSError as error:
        return Finding(
            "disk", "fsync", "problem", f"{place}: {error.strerror}",
            "a peer that cannot write its journal stops", "check its owner, mode and mount options",
        )  # fmt: skip
    median = statistics.median(taken)
    found = f"{median * 1000:.2f} ms, the slowest of {FSYNC_TRIES} {max(taken) * 1000:.2f} ms"
    if median <= FSYNC_SLOW_S:
        return Finding("disk", "fsync", "ok", found)
    return Finding(
        "disk", "fsync", "problem" if median > FSYNC_TOO_SLOW_S else "warning", found,
        "every task is written down before it is acknowledged",
        "put the mesh folder on a faster disk",
    )  # fmt: skip


def _file_system(place: Path) -> Finding:
    kind = file_system(os.path.realpath(place), _mounts())
    if kind in NETWORKED:
        return Finding(
            "disk", "file system", "problem", kind,
            "locks and the journal's shared memory do not hold across hosts there",
            "put the mesh folder on a local disk",
        )  # fmt: skip
    if kind in VOLATILE:
        return Finding(
            "disk", "file system", "warning", f"{kind}, in memory",
            "tasks, keys and incarnations are gone with the next boot",
            "put the mesh folder on a disk, unless this is a trial",
        )  # fmt: skip
    return Finding("disk", "file system", "ok", kind or "not told by this system")


def _mounts() -> str:
    try:
        return Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def file_system(path: str, mounts: str) -> str:
    """The kind of the file system that holds a path; "" where `mounts` does not tell."""
    best, kind = "", ""
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 3:
            continue
        point = words[1].replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, words[2]
    return kind


def descriptors(peers: int, limit: int) -> Finding:
    """Whether a peer may have the descriptors that a mesh of this size takes."""
    need = DESCRIPTORS_OF_ITS_OWN + CLIENTS + DESCRIPTORS_A_LINK * max(0, peers - 1)
    text = "no limit" if limit == resource.RLIM_INFINITY else str(limit)
    found = f"up to {text}, a peer of {peers} needs about {need}"
    if limit == resource.RLIM_INFINITY or limit >= need:
        return Finding("descriptors", "limit", "ok", found)
    return Finding(
        "descriptors", "limit", "problem", found,
        "without them a peer refuses links, clients and workers",
        "raise the hard limit (ulimit -Hn, LimitNOFILE= in a unit)",
    )  # fmt: skip
