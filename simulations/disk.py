"""The simulated disk of one peer: what was written, and what of it a crash leaves."""

from collections.abc import Iterator, Sequence

from mesh.core.records import StepRecord


class Disk:
    """Keeps records in order. A process crash keeps what was written; a torn group, a prefix."""

    def __init__(self) -> None:
        self._records: list[bytes] = []
        self.boot = 0
        self.room: int | None = None
        """How many more records fit; None for enough."""

    def next_boot(self) -> int:
        """Counts starts; synced, as the real journal does."""
        self.boot += 1
        return self.boot

    def append(self, records: Sequence[StepRecord]) -> bool:
        """Writes a group; False where the disk filled up, and only a prefix is there."""
        kept = records if self.room is None else records[: self.room]
        self._records.extend(record.data for record in kept)
        if self.room is not None:
            self.room -= len(kept)
        return len(kept) == len(records)

    def checkpoint(self, records: Sequence[bytes]) -> None:
        """Replaces everything by a snapshot, at once."""
        self._records = list(records)

    def __iter__(self) -> Iterator[bytes]:
        """What a restart reads."""
        return iter(list(self._records))

    def __len__(self) -> int:
        """How many records a restart reads."""
        return len(self._records)
