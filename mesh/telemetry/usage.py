"""Memory and processor time of processes and all that they started."""

import os
import subprocess
from pathlib import Path

import msgspec

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PPID, UTIME, STIME, RSS = 1, 11, 12, 21
"""Fields of /proc/PID/stat after the command's name, counted from 0 (proc(5))."""


class Usage(msgspec.Struct, frozen=True):
    """One process, or several together."""

    parent: int
    memory: int
    cpu_s: float


def processes() -> dict[int, Usage]:
    """Every process that can be seen, by its id."""
    return _by_proc() if (PROC / "self" / "stat").exists() else _by_ps()


def of_tree(root: int, seen: dict[int, Usage]) -> Usage:
    """A process and its descendants together."""
    children: dict[int, list[int]] = {}
    for pid, usage in seen.items():
        children.setdefault(usage.parent, []).append(pid)
    memory, cpu_s = 0, 0.0
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        if pid in seen:
            memory += seen[pid].memory
            cpu_s += seen[pid].cpu_s
            waiting += children.get(pid, ())
    return Usage(0, memory, cpu_s)


def _by_proc() -> dict[int, Usage]:
    found: dict[int, Usage] = {}
    for name in os.listdir(PROC):
        if name.isdigit():
            try:
                text = (PROC / name / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                # It has ended meanwhile.
                continue
            found[int(name)] = of_stat(text)
    return found


def of_stat(text: str) -> Usage:
    """What /proc/PID/stat says. A command's name may hold spaces and parentheses."""
    fields = text[text.rindex(")") + 2 :].split()
    cpu_s = (int(fields[UTIME]) + int(fields[STIME])) / TICKS
    return Usage(int(fields[PPID]), int(fields[RSS]) * PAGE, cpu_s)


def _by_ps() -> dict[int, Usage]:
    command = ["ps", "-A", "-o", "pid=,ppid=,rss=,time="]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[int, Usage] = {}
    for line in ended.stdout.splitlines():
        words = line.split()
        if len(words) == 4:
            found[int(words[0])] = Usage(int(words[1]), int(words[2]) * 1024, _seconds(words[3]))
    return found


def _seconds(text: str) -> float:
    """``[[DD-]HH:]MM:SS[.CC]`` as seconds."""
    days, _, rest = text.rpartition("-")
    total = 0.0
    for part in rest.split(":"):
        total = total * 60 + float(part)
    return total + 86_400 * int(days or 0)
