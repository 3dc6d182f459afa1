"""One worker process of this peer: started, restarted with backoff, killed with its group."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import structlog
import trio

from mesh.agent import interpreter
from mesh.agent.loading import split_target
from mesh.agent.worker import EXIT_BAD_AGENT
from mesh.local.sizes import shown
from mesh.runtime.memory_watch import watch

EXIT_NO_PYTHON = 127
"""Its interpreter is not there; as shells have it."""
BACKOFF_FIRST_S = 0.1
BACKOFF_LIMIT_S = 10.0
STEADY_S = 30.0
"""A worker that lived this long has earned a quick restart."""
LOG_LIMIT = 16 * 1024 * 1024
"""Bytes in a worker's log above which its newest ones are set aside, and it begins again."""
LOG_LOOK_S = 2.0
_AFRESH = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
ERROR_TAIL = 2000

State = Literal["asleep", "starting", "ready", "waiting", "failed"]


class WorkerProcess:
    """Runs ``python -m mesh.agent.worker`` for one agent file, as long as it is wanted.

    Attributes:
        target: ``FILE`` or ``FILE:NAME``, absolute.
        state: asleep (not wanted yet), starting, ready, waiting (to be restarted), failed.
        pid: of the process, or 0.
        restarts: how many times in a row it was restarted without living long.
        error: what it said when it failed.
        is_trial: it is not restarted before it was ready once.
        is_retired: it is not restarted at all.
        memory: how many bytes it may hold; 0 for no limit.
        overfull: the pid of the process that was killed for holding more, and how much it held.
    """

    def __init__(
        self,
        target: str,
        *,
        socket: Path,
        logs: Path,
        python: str = "",
        lazy: bool = False,
        memory: int = 0,
    ) -> None:
        path, name = split_target(target)
        self.path = path.resolve()
        self.target = f"{self.path}:{name}" if name else str(self.path)
        self.state: State = "asleep"
        self.pid = 0
        self.restarts = 0
        self.error = ""
        self.is_trial = False
        self.is_retired = False
        self.is_lazy = lazy
        self.memory = self.memory_usual = memory
        self.overfull = (0, 0)
        self._log_begins = 0
        arguments = ["--socket", str(socket), "--parent", str(os.getpid()), self.target]
        self._python = python
        self._command = [sys.executable, "-P", "-m", "mesh.agent.worker", *arguments]
        if python:
            self._command = interpreter.command(python, arguments)
        self._log_path = logs / f"worker-{path.stem}{'-' + name if name else ''}.log"
        self._wanted = trio.Event()
        self._log = structlog.get_logger("mesh.workers")
        if not lazy:
            self._wanted.set()

    def want(self) -> None:
        """Has it started, if it is not."""
        self._wanted.set()

    def ready(self) -> None:
        """It has registered its skills."""
        self.state = "ready"
        self.is_trial = False

    def retire(self) -> None:
        """It is not wanted any more: not started again when it ends."""
        self.is_retired = True
        self._wanted.set()

    def kill(self) -> None:
        """Kills the process and all that it started in its group."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    async def run(self) -> None:
        """Keeps it running until cancelled, or until it says that it never can."""
        await self._wanted.wait()
        try:
            while not self.is_retired:
                began = trio.current_time()
                status = await self._run_once()
                if not self._may_go_on(status):
                    return
                if trio.current_time() - began > STEADY_S:
                    self.restarts = 0
                self.state = "waiting"
                pause = min(BACKOFF_LIMIT_S, BACKOFF_FIRST_S * 2 ** min(self.restarts, 10))
                self.restarts += 1
                self._log.warning(
                    "worker-ended", target=self.target, status=status, restart_after_s=pause
                )
                await trio.sleep(pause)
        finally:
            self.kill()

    def _may_go_on(self, status: int) -> bool:
        """Whether it is started again after it ended like this."""
        if status == EXIT_NO_PYTHON:
            self.state = "failed"
        elif status == EXIT_BAD_AGENT or self.is_trial:
            self._fail(status)
        return self.state != "failed" and not self.is_retired

    async def _run_once(self) -> int:
        self.state = "starting"
        try:
            process = self._start()
        except OSError as error:
            # Out of processes, memory, descriptors or disk: as passing as a crash.
            self.error = str(error)
            self._log.error("worker-not-started", target=self.target, error=self.error)
            if self._python and not os.access(self._python, os.X_OK):
                self.error = f"there is no interpreter {self._python}"
                return EXIT_NO_PYTHON
            return os.EX_OSERR
        self.pid = process.pid
        try:
            # A thread of its own: workers live long, and must not use up the shared ones.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._bound_log)
                nursery.start_soon(watch, process.pid, lambda: self.memory, self._exceeded)
                status = await trio.to_thread.run_sync(
                    process.wait, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1)
                )
                nursery.cancel_scope.cancel()
        finally:
            # Also what it started and left behind.
            self.kill()
            self.pid = 0
        return status

    def limit_memory(self, limits: list[int]) -> None:
        """Takes what its agents say of their limits: they add up, where each has one."""
        self.memory = sum(limits) if all(limits) else self.memory_usual

    def _exceeded(self, held: int) -> None:
        self.overfull = (self.pid, held)
        self._log.warning("worker-out-of-memory", target=self.target, held=held, limit=self.memory)
        self.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        log = os.open(self._log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._log_begins = os.fstat(log).st_size
        try:
            # Here and not in a thread: the kernel ends a worker with the thread that started it.
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=interpreter.environment() if self._python else None,
            )
        finally:
            os.close(log)

    async def _bound_log(self) -> None:
        while True:
            with contextlib.suppress(OSError):  # a disk that is full is told by the journal
                if self._log_path.stat().st_size > LOG_LIMIT:
                    await trio.to_thread.run_sync(self._set_log_aside)
            await trio.sleep(LOG_LOOK_S)

    def _set_log_aside(self) -> None:
        """Copies the newest of the log, and empties it.

        The worker holds the file itself, so that its last words never pass through another
        process; it appends, and goes on at the beginning. What it writes between the copy
        and the cut is lost.
        """
        aside = self._log_path.with_suffix(".1.log")
        with (
            self._log_path.open("r+b") as log,
            os.fdopen(os.open(aside, _AFRESH, 0o600), "wb") as kept,
        ):
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_LIMIT))
            kept.write(log.read(LOG_LIMIT))
            log.truncate(0)

    def _fail(self, status: int) -> None:
        with self._log_path.open("rb") as log:
            # What others wrote before is not about this one.
            log.seek(min(self._log_begins, log.seek(0, os.SEEK_END)))
            text = log.read().decode(errors="replace")
        if self.overfull[1]:
            text = f"it held {shown(self.overfull[1])}, over its limit of {shown(self.memory)}"
        self.error = text[-ERROR_TAIL:].strip() or f"it ended with status {status}"
        self.state = "failed"
        self._log.error("worker-failed", target=self.target, error=self.error)
