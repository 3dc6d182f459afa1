"""The simulated disk of one peer: what was written, and what of it a crash leaves."""

from collections.abc import Iterator, Sequence

from mesh.core.records import StepRecord


class Disk:
    """Keeps records in order. A process crash keeps what was written; a torn write, a prefix."""

    def __init__(self) -> None:
        self._records: list[bytes] = []
        self.boot = 0

    def next_boot(self) -> int:
        """Counts starts; synced, as the real journal does."""
        self.boot += 1
        return self.boot

    def append(self, records: Sequence[StepRecord]) -> None:
        """Writes records, all of them."""
        self._records.extend(record.data for record in records)

    def checkpoint(self, records: Sequence[bytes]) -> None:
        """Replaces everything by a snapshot, at once."""
        self._records = list(records)

    def __iter__(self) -> Iterator[bytes]:
        """What a restart reads."""
        return iter(list(self._records))

    def __len__(self) -> int:
        """How many records a restart reads."""
        return len(self._records)
