"""One echoing peer as a process of its own, for tests that kill and stop it.

    python -m tests.runtime.lone_peer SEED

The first line on stdout is JSON: its id, its door and its CURVE public key, in
hexadecimal digits. It lives until stdin is closed.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from protocols.gossip.commands import Contact
from tests.runtime.transport_rig import Authority, Neighbour

ROOT = Path(__file__).resolve().parent.parent.parent


async def serve(seed: int) -> None:
    """Echoes what it is told until stdin ends."""
    peer = Neighbour(Authority(), seed, {})
    peer.core.answer = lambda author, message: message
    async with peer.up():
        facts = {"id": peer.id.hex(), "door": peer.door, "curve": peer.keys.public.hex()}
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)


@contextmanager
def lone_peer(seed: int) -> Iterator[tuple[Contact, "subprocess.Popen[str]"]]:
    """Starts one; gives where it is met, and its process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.runtime.lone_peer", str(seed)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        facts = json.loads(process.stdout.readline())
        peer, curve = bytes.fromhex(facts["id"]), bytes.fromhex(facts["curve"])
        yield Contact(peer, facts["door"], curve), process
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGCONT)
            process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


if __name__ == "__main__":
    trio.run(serve, int(sys.argv[1]))
