"""The simulated disk of one peer, with the failures of the real journal (`mesh/storage`).

Groups of records are kept in order. The newest are in a log, from which they move
into the main file together: rot there is found by the journal's checksums, and the
peer does not start; rot in the log ends the log, as a torn tail does. What was
written survives its process; only what was synced survives a power cut for sure.
"""

import random
from collections.abc import Iterator, Sequence

from mesh.core.records import StepRecord
from protocols.errors import StorageCorrupt
from protocols.machine import Instant

LOG_GROUPS = 120
"""Groups in the log before it moves into the main file. The real one counts pages."""


class Group:
    """What one commit wrote."""

    __slots__ = ("at", "records", "rotten", "synced")

    def __init__(
        self, at: Instant, records: tuple[bytes, ...], synced: bool, rotten: bool = False
    ) -> None:
        self.at = at
        self.records = records
        self.synced = synced
        self.rotten = rotten


class DiskImage:
    """A copy of a disk, as a backup holds it. `taken_at` is when it was made."""

    __slots__ = ("boot", "groups", "moved", "taken_at")

    def __init__(self, taken_at: Instant, boot: int, groups: tuple[Group, ...], moved: int) -> None:
        self.taken_at = taken_at
        self.boot = boot
        self.groups = groups
        self.moved = moved


class Disk:
    """Keeps groups of records, and gives back what a failure left of them.

    Attributes:
        boot: how often the peer was started; always synced.
        room: how many more records fit; None for enough.
        always_sync: every group is synced: durability ``disk``.
        slow_ns: what a commit takes beyond what it should.
        stuck_for_ns: where set, the next commit takes so long, and its process with it.
    """

    def __init__(self) -> None:
        self._groups: list[Group] = []
        self._moved = 0
        """So many groups are in the main file."""
        self._records = 0
        self.boot = 0
        self.room: int | None = None
        self.always_sync = False
        self.slow_ns = 0
        self.stuck_for_ns = 0

    def mend(self) -> None:
        """It works again; what it has lost stays lost."""
        self.room = None
        self.slow_ns = self.stuck_for_ns = 0

    def next_boot(self) -> int:
        """Counts starts; synced, as the real journal does."""
        self.boot += 1
        return self.boot

    # Writing.

    def append(self, records: Sequence[StepRecord], now: Instant) -> bool:
        """Writes a group; False where the disk filled up, and only a prefix is there."""
        kept = records if self.room is None else records[: self.room]
        if self.room is not None:
            self.room -= len(kept)
        if kept:
            synced = self.always_sync or any(record.sync for record in kept)
            self._groups.append(Group(now, tuple(record.data for record in kept), synced))
            self._records += len(kept)
            if synced:
                self._sync()
            if len(self._groups) - self._moved >= LOG_GROUPS:
                self._moved = len(self._groups)
                self._sync()
        return len(kept) == len(records)

    def _sync(self) -> None:
        """Everything written so far is on the disk: a sync is of a whole file."""
        for group in reversed(self._groups[:-1]):
            if group.synced:
                break
            group.synced = True
        if self._groups:
            self._groups[-1].synced = True

    def checkpoint(self, records: Sequence[bytes], now: Instant) -> None:
        """Replaces everything by a snapshot, at once, synced."""
        # Facts keep their age: what a later failure takes away is told by its instant.
        at = self._groups[-1].at if self._groups else now
        self._groups = [Group(at, tuple(records), True)]
        self._records = len(records)
        self._moved = 1

    # Reading.

    def __iter__(self) -> Iterator[bytes]:
        """What a restart reads.

        Raises:
            StorageCorrupt: a row of the main file is damaged.
        """
        for number, group in enumerate(self._groups, 1):
            if group.rotten:
                raise StorageCorrupt(f"row {number} is damaged")
            yield from group.records

    def __len__(self) -> int:
        """How many records a restart reads."""
        return self._records

    # What befalls it. Each returns since when the disk has forgotten, or None.

    def recover(self) -> Instant | None:
        """Opens it at a start: a log with rot ends there, as the real journal's does."""
        for index in range(self._moved, len(self._groups)):
            if self._groups[index].rotten:
                return self._cut(index)
        return None

    def lose_power(self, rng: random.Random) -> Instant | None:
        """What was synced is kept, and of the rest a prefix of whole groups."""
        synced = 0
        for index, group in enumerate(self._groups):
            if group.synced:
                synced = index + 1
        return self._cut(rng.randint(synced, len(self._groups)))

    def rot(self, in_log: bool, rng: random.Random) -> bool:
        """Damages a group of the log, or of the main file; False where there is none."""
        begin, end = (self._moved, len(self._groups)) if in_log else (0, self._moved)
        if begin == end:
            return False
        index = rng.randrange(max(begin, end - 8), end)
        sound = self._groups[index]
        # Backups hold the same groups, and are sound.
        self._groups[index] = Group(sound.at, sound.records, sound.synced, rotten=True)
        return True

    def _cut(self, at: int) -> Instant | None:
        if at >= len(self._groups):
            return None
        since = self._groups[at].at
        del self._groups[at:]
        self._moved = min(self._moved, at)
        self._records = sum(len(group.records) for group in self._groups)
        return since

    # Backups.

    def copy(self, now: Instant) -> DiskImage:
        """A copy of what is there now."""
        return DiskImage(now, self.boot, tuple(self._groups), self._moved)

    def restore(self, image: DiskImage) -> Instant:
        """Puts a copy in its place; everything since it was made is forgotten."""
        self.boot = image.boot
        self._groups = list(image.groups)
        self._moved = image.moved
        self._records = sum(len(group.records) for group in self._groups)
        return image.taken_at
