"""The blackboard: writing, hearing, comparing, proving, starting, searching, watching.

Everything but the last line runs in this process, on machines, journals and indexes as they
are; figures are by processor time. What is encoded for a disk or a peer is encoded as there.
"""

import random
import tempfile
import threading
import time
from array import array
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mesh.client import Client
from mesh.core.records import StepRecord, encode_entries
from mesh.runtime.restoring import reading_back
from mesh.runtime.vector_index import VectorIndex
from mesh.storage.journal import Journal
from protocols.blackboard.commands import Edit, WriteBoard
from protocols.blackboard.messages import KINDS, AskSketch, Push, Sketch, WantHashes
from protocols.blackboard.reconciliation import FIRST_SYMBOLS, ITEM_BYTES, Symbols, grown
from protocols.blackboard.segments import Segment, write_segment
from protocols.effects import Effect, Persist, Send
from protocols.identity import Ed25519Keyring
from protocols.machine import MILLISECOND_NS, Now
from protocols.wire import Codec, encode
from tests.benchmarks.figures import Figure, local_mesh, median
from tests.protocols.blackboard import boards
from tests.protocols.blackboard.boards import MESH, Boards, Peer

PUTS = 50_000
BATCH = 500
ENTRIES = 100_000
DIFFERENCES = 100
COMPARISONS = 100
VECTORS, DIMENSIONS = 50_000, 384
SEARCHES = 20
WATCHED = 200
OP_BYTES = 120


class _Unsigned(Ed25519Keyring):
    """Signs nothing and believes everything: what signing costs is what it saves."""

    def sign(self, domain: str, body: bytes) -> bytes:
        return bytes(64)

    def verify(self, domain: str, author: bytes, body: bytes, signature: bytes) -> bool:
        return True


def run() -> list[Figure]:
    """All of them."""
    with tempfile.TemporaryDirectory(prefix="stigmesh-bench-") as scratch:
        signed = _Writing(Path(scratch) / "signed", Ed25519Keyring)
        plain = _Writing(Path(scratch) / "plain", _Unsigned)
        for _ in range(PUTS // BATCH):
            # In turns, so that both meet the same noise.
            signed.batch()
            plain.batch()
    ratio = signed.spent / plain.spent
    return [
        Figure("local puts, batched and journaled", PUTS / signed.local_s, "/s", ">= 50000"),
        Figure("remote ops applied and journaled", PUTS / signed.remote_s, "/s", ">= 30000"),
        Figure("signing and checking, over both off", ratio, "×", "<= 2"),
        *_compared(),
        *_proved(),
        _started(),
        *_searched(),
        _watched(),
    ]


class _Writing:
    """One peer writes, another hears; both journal. Processor seconds of each."""

    def __init__(self, folder: Path, keyring: type[Ed25519Keyring]) -> None:
        self.local_s = self.remote_s = 0.0
        self._boards = Boards(2)
        for number, peer in enumerate(self._boards.peers):
            # The same peer, with a keyring of the kind that is measured.
            peer.keyring = keyring(bytes([number + 1]) * 32, MESH)
            peer.restart(self._boards.now, [])
        self._boards.meet(*self._boards.peers)
        self._writer, self._hearer = self._boards.peers
        self._codec = Codec(KINDS)
        self._journals = []
        for peer in (self._writer, self._hearer):
            place = folder / peer.peer.hex()
            place.mkdir(parents=True)
            journal = Journal(place / "journal", MESH, peer.peer, "process")
            journal.next_boot()
            self._journals.append(journal)
        self._numbers = [0, 0]
        self._request = 0

    @property
    def spent(self) -> float:
        return self.local_s + self.remote_s

    def batch(self) -> None:
        """One request of `BATCH` puts, and all that it causes."""
        at = self._request * BATCH
        self._request += 1
        edits = tuple(
            Edit(f"bench/key-{at + each}", "put", encode({"n": each})) for each in range(BATCH)
        )
        now = self._now()
        begin = time.process_time()
        effects = self._writer.board.submit(WriteBoard(self._request, edits), now)
        sent = self._carry(0, effects)
        self.local_s += time.process_time() - begin
        while sent:
            data = sent.pop(0)
            message = self._codec.decode(data, 1 << 24)
            begin = time.process_time()
            author = self._writer.peer
            answer = self._carry(
                1, self._hearer.board.receive(author, author, message, self._now())
            )
            if isinstance(message, Push):
                self.remote_s += time.process_time() - begin
            for back in answer:
                author = self._hearer.peer
                reply = self._codec.decode(back, 1 << 24)
                begin = time.process_time()
                sent += self._carry(
                    0, self._writer.board.receive(author, author, reply, self._now())
                )
                self.local_s += time.process_time() - begin

    def _now(self) -> Now:
        self._boards.now = Now(
            self._boards.now.monotonic_ns + MILLISECOND_NS,
            self._boards.now.wall_ns + MILLISECOND_NS,
        )
        return self._boards.now

    def _carry(self, index: int, effects: tuple[Effect, ...]) -> list[bytes]:
        records = [("board", each.record) for each in effects if isinstance(each, Persist)]
        if records:
            self._numbers[index] += 1
            record = StepRecord(self._numbers[index], encode_entries(records), False)
            self._journals[index].append([record])
        return [encode(each.message) for each in effects if isinstance(each, Send)]


def _compared() -> list[Figure]:
    """What telling the differences of two large sets costs: all messages but the ops themselves.

    What both have cancels out in every symbol, so that one comparison with all of it and a
    hundred with the differences alone say the same of how many symbols it takes.
    """
    common = [random.Random(1).getrandbits(64) for _ in range(ENTRIES - DIFFERENCES)]
    told = [_comparison(seed, common if seed == 0 else []) for seed in range(COMPARISONS)]
    mean = sum(told) / len(told) / DIFFERENCES
    note = f"of {COMPARISONS}; the dearest {max(told) / DIFFERENCES:.1f}"
    return [Figure("comparison, bytes a difference", mean, "bytes", "<= 40", note)]


def _comparison(seed: int, common: list[int]) -> int:
    """The bytes of one comparison's questions, symbols, and of asking for what was found."""
    rng = random.Random(seed)
    mine = common + [rng.getrandbits(64) for _ in range(DIFFERENCES // 2)]
    theirs = common + [rng.getrandbits(64) for _ in range(DIFFERENCES // 2)]
    salt, first, count, told = bytes(16), 0, FIRST_SYMBOLS, 0
    while True:
        symbols = Symbols(count, theirs)
        told += len(encode(AskSketch(seed, salt, first, count - first)))
        told += len(encode(Sketch(seed, first, symbols.encoded(first))))
        found = Symbols(count, mine).difference(symbols.encoded(0))
        if found is not None:
            wanted = b"".join(item.to_bytes(ITEM_BYTES, "big") for item in found[0])
            return told + len(encode(WantHashes(seed, salt, wanted)))
        first, count = count, grown(count)


def _proved() -> list[Figure]:
    """What proofs add to ops that are relayed: all of a segment, a run, and one here and there."""
    keyring = Ed25519Keyring(b"k" * 32, MESH)
    rng = random.Random(2)
    count = 1024
    segment = write_segment(
        keyring, 1, 1, bytes(32), [rng.randbytes(OP_BYTES) for _ in range(count)]
    )
    return [
        Figure("proof of an op, in a run", _proof(segment, range(300, 700)), "bytes", "<= 10"),
        Figure(
            "proof of an op, scattered", _proof(segment, range(5, count, 64)), "bytes", "<= 400"
        ),
    ]


def _proof(segment: Segment, wanted: range) -> float:
    part = segment.part(dict.fromkeys(segment.header.first + each for each in wanted))
    ops = sum(memoryview(op).nbytes for op in part.ops)
    return (len(encode(part)) - ops) / len(part.ops)


def _started() -> Figure:
    """What a peer that starts again reads of its blackboard."""
    alone = Peer(1)
    now = Now(10**9, boards.WALL_S * 10**9)
    alone.board.restore([], now)
    for start in range(0, ENTRIES, BATCH):
        edits = tuple(
            Edit(f"bench/key-{start + each}", "put", encode({"n": each})) for each in range(BATCH)
        )
        now = Now(now.monotonic_ns + MILLISECOND_NS, now.wall_ns + MILLISECOND_NS)
        alone.absorb(alone.board.submit(WriteBoard(start, edits), now))
    begin = time.process_time()
    with reading_back():
        alone.restart(now)
    spent = time.process_time() - begin
    assert len(alone.board.replica) == ENTRIES, "all are there"
    return Figure(f"start with {ENTRIES} entries, the blackboard's part", spent, "s", "< 2")


def _searched() -> list[Figure]:
    """The nearest of many vectors, of all and of a tenth of them."""
    rng = random.Random(3)

    def vector() -> bytes:
        return array("f", (rng.random() - 0.5 for _ in range(DIMENSIONS))).tobytes()

    index = VectorIndex()
    index.take((f"notes/{each % 10}/{each}", vector()) for each in range(VECTORS))
    wanted = [vector() for _ in range(SEARCHES)]
    figures = []
    for name, prefix in (("", ""), (", a tenth of them", "notes/7/")):
        times = [_timed(partial(index.nearest, one, 10, prefix)) for one in wanted]
        figures.append(
            Figure(f"search of {VECTORS} × {DIMENSIONS}{name}", 1000 * median(times), "ms", "< 20")
        )
    return figures


def _timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _watched() -> Figure:
    """From a put at one peer until a client of another one sees it; this one by the clock."""
    seen: dict[str, float] = {}
    put: dict[str, float] = {}
    with local_mesh(2) as (_, up):
        folder = Path(up["dir"])
        sockets = _sockets(folder)
        with Client(address=sockets[0]) as writer, Client(address=sockets[1]) as watcher:
            writer.board.put("bench/first", 0)
            came, ready = threading.Semaphore(0), threading.Event()

            def watch() -> None:
                ready.set()
                for change in watcher.board.watch("bench/watched", since=""):
                    seen[change.key] = time.perf_counter()
                    came.release()
                    if len(seen) >= WATCHED:
                        return

            thread = threading.Thread(target=watch)
            thread.start()
            ready.wait()
            for number in range(WATCHED):
                key = f"bench/watched-{number}"
                put[key] = time.perf_counter()
                writer.board.put(key, number)
                came.acquire()
            thread.join()
    delays = [1000 * (seen[key] - begin) for key, begin in put.items()]
    return Figure("a put at another peer, seen by a watch: p50", median(delays), "ms", "<= 3")


def _sockets(folder: Path) -> list[Path]:
    from mesh.local.discovery import sockets

    return [path for _, path in sockets(folder)]
