"""Memory and disk of a blackboard while few keys are overwritten without end.

    python -m tests.benchmarks.overwrites [WRITES] [KEYS]

Two peers write in turn, each keeps a journal as a real peer does, and time passes as they
write. What they hold is looked at ten times: it has to follow what is live, not what was
written.
"""

import random
import sys
import tempfile
from collections import deque
from pathlib import Path

import msgspec
import psutil

from mesh.core.records import StepRecord, encode_entries
from mesh.storage.journal import Journal
from protocols.blackboard.commands import Edit, WriteBoard
from protocols.effects import Effect, Persist, Send
from protocols.machine import MILLISECOND_NS, Now
from protocols.wire import encode
from tests.protocols.blackboard.boards import MESH, Boards, Peer

BATCH = 100
LOOKS = 10
PAUSE_NS = 10 * MILLISECOND_NS
"""Between two requests."""


class Held(msgspec.Struct, frozen=True):
    """What one peer holds after so many writes."""

    writes: int
    live: int
    segments: int
    hashes: int
    """Of pruned subtrees, in all segments."""
    snapshot_bytes: int
    journal_bytes: int
    resident_mb: float


class Overwriting:
    """Two peers that overwrite the same keys."""

    def __init__(self, folder: Path, keys: int) -> None:
        self._rng = random.Random(1)
        self._keys = keys
        self._boards = Boards(2)
        self._places = [folder / str(number) for number in range(2)]
        self._journals = []
        for place, peer in zip(self._places, self._boards.peers, strict=True):
            place.mkdir(parents=True)
            journal = Journal(place / "journal.db", MESH, peer.peer, "process")
            journal.next_boot()
            self._journals.append(journal)
        self._numbers = [0, 0]
        self.writes = 0
        self.values: dict[str, int] = {}

    def batch(self) -> None:
        """One request, and all that it causes; then time passes."""
        index = (self.writes // BATCH) % 2
        edits = []
        for _ in range(BATCH):
            self.writes += 1
            key = f"bench/key-{self._rng.randrange(self._keys)}"
            self.values[key] = self.writes
            edits.append(Edit(key, "put", encode(self.writes)))
        board = self._boards.peers[index].board
        self._carry(index, board.submit(WriteBoard(self.writes, tuple(edits)), self._boards.now))
        now = self._boards.now
        self._boards.now = Now(now.monotonic_ns + PAUSE_NS, now.wall_ns + PAUSE_NS)
        for number, peer in enumerate(self._boards.peers):
            due = peer.board.deadline()
            if due is not None and due <= self._boards.now.monotonic_ns:
                self._carry(number, peer.board.wake(self._boards.now))
            self._tend(number, peer)

    def _carry(self, index: int, effects: tuple[Effect, ...]) -> None:
        queue = deque(self._kept(index, effects))
        while queue:
            source, target, message = queue.popleft()
            peers = self._boards.peers
            author = peers[source].peer
            told = msgspec.msgpack.decode(encode(message), type=type(message))
            answer = peers[target].board.receive(author, author, told, self._boards.now)
            queue.extend(self._kept(target, answer))

    def _kept(
        self, index: int, effects: tuple[Effect, ...]
    ) -> list[tuple[int, int, msgspec.Struct]]:
        records = [("board", each.record) for each in effects if isinstance(each, Persist)]
        if records:
            self._numbers[index] += 1
            record = StepRecord(self._numbers[index], encode_entries(records), False)
            self._journals[index].append([record])
        return [(index, 1 - index, each.message) for each in effects if isinstance(each, Send)]

    def _tend(self, index: int, peer: Peer) -> None:
        if self._journals[index].should_checkpoint():
            self._journals[index].checkpoint(self._snapshot(peer))

    def _snapshot(self, peer: Peer) -> list[bytes]:
        return [encode_entries((("board", record),)) for record in peer.board.snapshot()]

    def held(self) -> list[Held]:
        """What each peer holds now."""
        found = []
        for place, peer in zip(self._places, self._boards.peers, strict=True):
            segments = list(peer.board.segments())
            found.append(
                Held(
                    self.writes,
                    sum(1 for _ in peer.board.replica.live()),
                    len(segments),
                    sum(segment.hashes for segment in segments),
                    sum(map(len, self._snapshot(peer))),
                    sum(file.stat().st_size for file in place.iterdir()),
                    psutil.Process().memory_info().rss / 1e6,
                )
            )
        return found

    def read(self, index: int) -> dict[str, object]:
        """What a peer says that the keys hold."""
        wall_ms = self._boards.now.wall_ns // MILLISECOND_NS
        board = self._boards.peers[index].board
        return {
            entry.key: msgspec.msgpack.decode(entry.value)
            for entry in board.scan("bench/", wall_ms, limit=self._keys)
        }

    def close(self) -> None:
        """The journals are closed."""
        for journal in self._journals:
            journal.close()


def main() -> None:
    """Prints what is held, ten times."""
    writes, keys = (
        int(word) for word in (sys.argv[1:3] + ["1000000", "1000"][len(sys.argv[1:3]) :])
    )
    with tempfile.TemporaryDirectory() as folder:
        run = Overwriting(Path(folder), keys)
        print("   writes   live  segments  hashes  snapshot kB  journal MB  both in memory MB")
        for _ in range(LOOKS):
            for _ in range(writes // LOOKS // BATCH):
                run.batch()
            one, two = run.held()
            for each in (one, two):
                print(
                    f"{each.writes:9}  {each.live:5}  {each.segments:8}  {each.hashes:6}  "
                    f"{each.snapshot_bytes / 1e3:11.0f}  {each.journal_bytes / 1e6:10.1f}  "
                    f"{each.resident_mb:17.1f}",
                    flush=True,
                )
        assert run.read(0) == run.read(1) == run.values, "both hold what was written last"
        run.close()


if __name__ == "__main__":
    main()
