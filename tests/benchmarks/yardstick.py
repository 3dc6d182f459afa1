"""What the machine gives at this moment: bare trio and ZeroMQ with CURVE, two processes.

The speed of a shared machine varies by three times within minutes, so figures
are shown beside a round trip, or a rate, measured just before and after them in the
same run. Nothing here is kept, checked, repeated or signed: it is the floor.
"""

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import trio
import zmq

ROUND_TRIPS = 1_000
FRAMES = 5_000
AHEAD = 128
PAYLOAD = b"x" * 100


class Yardstick(msgspec.Struct, frozen=True):
    """One measurement: median round trip in milliseconds, frames echoed a second."""

    echo_ms: float
    frames_per_s: float

    def times_echo(self, milliseconds: float) -> str:
        """A latency beside the round trip."""
        return f"{milliseconds / self.echo_ms:.1f} x a bare round trip of {self.echo_ms:.2f} ms"

    def times_rate(self, per_s: float) -> str:
        """A rate beside bare frames."""
        return f"{per_s / self.frames_per_s:.2f} x {self.frames_per_s:.0f} bare frames/s"


@contextlib.contextmanager
def beside() -> Iterator[Callable[[], Yardstick]]:
    """Measures before and after what is done inside; the function given then tells the means."""
    taken = [measured()]
    yield lambda: Yardstick(
        statistics.fmean(each.echo_ms for each in taken),
        statistics.fmean(each.frames_per_s for each in taken),
    )
    taken.append(measured())


def measured() -> Yardstick:
    """Starts an echoing process, and times it."""
    public, secret = zmq.curve_keypair()
    command = [sys.executable, "-m", "tests.benchmarks.yardstick", secret.decode()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            return trio.run(_measure, int(server.stdout.readline()), public)
        finally:
            server.kill()


async def _measure(port: int, server_key: bytes) -> Yardstick:
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
    socket.curve_serverkey = server_key
    socket.connect(f"tcp://127.0.0.1:{port}")
    took = []
    for _ in range(ROUND_TRIPS):
        begin = time.perf_counter()
        socket.send(PAYLOAD)
        await _received(socket)
        took.append((time.perf_counter() - begin) * 1000)
    begin = time.perf_counter()
    for number in range(FRAMES + AHEAD):
        if number < FRAMES:
            socket.send(PAYLOAD)
        if number >= AHEAD:
            await _received(socket)
    rate = FRAMES / (time.perf_counter() - begin)
    context.destroy(linger=0)
    return Yardstick(statistics.median(took), rate)


async def _received(socket: Any) -> list[bytes]:
    while True:
        try:
            parts: list[bytes] = socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            await trio.lowlevel.wait_readable(socket.getsockopt(zmq.FD))
        else:
            return parts


async def _serve(secret: bytes) -> None:
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.curve_server, socket.curve_secretkey = True, secret
    print(socket.bind_to_random_port("tcp://127.0.0.1"), flush=True)
    while True:
        parts = await _received(socket)
        socket.send_multipart(parts)
        # Sending may have swallowed the descriptor's edge.
        socket.getsockopt(zmq.EVENTS)


if __name__ == "__main__":
    trio.run(_serve, sys.argv[1].encode())
