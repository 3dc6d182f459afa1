"""What a worker has to tell its peer, sent by whichever thread has it.

A thread that ends a job sends at once, without waking another thread; what the
socket does not take is left to a writer thread. Ends that are likely to be
followed by more within a millisecond wait for them (`linger`).
"""

import socket
import threading
import time

from mesh.local.codec import ProtocolError, pack
from mesh.local.messages import Ended, JobEnd, LocalMessage, Log, Progress

ENDS_LIMIT = 128
"""Ends in one message."""
LINGER_SECONDS = 0.001
"""How long an end waits for others."""
DRAIN_SECONDS = 2.0
CHATTER_LIMIT = 4 * 1024 * 1024
"""Unsent bytes above which progress and log lines are dropped."""


class Outbox:
    """Outgoing messages of a worker, callable from any thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._ends: list[JobEnd] = []
        self._backlog = bytearray()
        self._wanted = threading.Event()
        threading.Thread(target=self._write, name="mesh-writer", daemon=True).start()

    def send(self, message: LocalMessage) -> None:
        """Sends a message now."""
        data = pack(message)
        with self._lock:
            if len(self._backlog) > CHATTER_LIMIT and isinstance(message, Progress | Log):
                return
            self._send(data)

    def add(self, end: JobEnd) -> None:
        """Takes the end of a job; the caller sees to it that `flush` or `linger` follows."""
        with self._lock:
            self._ends.append(end)
            if len(self._ends) >= ENDS_LIMIT:
                self._send_ends()

    def linger(self) -> None:
        """Has the ends sent soon, in case no other thread does."""
        if not self._wanted.is_set():
            self._wanted.set()

    def flush(self) -> None:
        """Sends the ends that wait for others."""
        with self._lock:
            self._send_ends()

    def drain(self) -> None:
        """Sends what is left, and waits until the socket has it, within `DRAIN_SECONDS`."""
        self.flush()
        until = time.monotonic() + DRAIN_SECONDS
        while self._backlog and time.monotonic() < until:
            time.sleep(LINGER_SECONDS)

    def _send_ends(self) -> None:
        if not self._ends:
            return
        ends, self._ends = self._ends, []
        try:
            self._send(pack(Ended(ends=ends)))
        except ProtocolError:
            # Together over the limit of a message; none is by itself.
            for end in ends:
                self._send(pack(Ended(ends=[end])))

    def _send(self, data: bytes) -> None:
        """Hands bytes to the socket, or to the writer thread. The lock is held."""
        if not self._backlog:
            try:
                sent = self._sock.send(data, socket.MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
            except OSError:
                return  # the reader sees the same, and ends the process
            if sent == len(data):
                return
            data = data[sent:]
        self._backlog += data
        self._wanted.set()

    def _write(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            time.sleep(LINGER_SECONDS)
            self.flush()
            while self._backlog:
                # `_send` only appends while there is a backlog, so order is kept.
                chunk = bytes(self._backlog[: 1 << 18])
                try:
                    sent = self._sock.send(chunk)
                except OSError:
                    return
                with self._lock:
                    del self._backlog[:sent]
