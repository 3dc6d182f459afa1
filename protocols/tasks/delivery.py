"""Results until their custodian has them, and what was acknowledged lately.

Nothing here is on disk: what is lost with this process, the custodian runs
again. Kept results are bounded; the oldest go first.
"""

from collections import OrderedDict

from protocols.machine import Now
from protocols.tasks.messages import BATCH_LIMIT, Outcome, Results
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import (
    MESSAGE_BYTES,
    NEVER,
    RECENT_LIMIT,
    RECENT_VALUE_LIMIT,
    TaskParameters,
)

OUTCOME_BYTES = 96


class _Batch:
    """Results sent together, not acknowledged yet."""

    __slots__ = ("born", "custodian", "next_at", "number", "outcomes", "pause", "size")

    def __init__(
        self,
        number: int,
        custodian: bytes,
        outcomes: tuple[Outcome, ...],
        size: int,
        now: int,
        pause: int,
    ) -> None:
        self.number = number
        self.custodian = custodian
        self.outcomes = outcomes
        self.size = size
        self.born = now
        self.pause = pause
        self.next_at = now + pause


class Delivery:
    """Sends results, again and again until they are acknowledged."""

    def __init__(self, boot: int, parameters: TaskParameters, outbox: Outbox) -> None:
        self._parameters = parameters
        self._outbox = outbox
        # Numbers grow over restarts, so that a late acknowledgement of an
        # earlier process cannot be taken for one of ours.
        self._counter = boot << 32
        self._batches: dict[int, _Batch] = {}
        self._count = 0
        self._bytes = 0
        self._again_at = NEVER
        self._undeliverable: list[tuple[bytes, Outcome]] = []
        self._recent: OrderedDict[tuple[bytes, str, int], Outcome] = OrderedDict()

    @property
    def is_empty(self) -> bool:
        """Whether every result is acknowledged."""
        return not self._batches

    def send(self, custodian: bytes, outcomes: list[Outcome], now: Now) -> None:
        """Sends how attempts ended, in batches of a size that travels whole."""
        if custodian in self._outbox.forsaken:
            self._undeliverable += [(custodian, outcome) for outcome in outcomes]
            return
        batch: list[Outcome] = []
        size = 0
        for outcome in outcomes:
            outcome_size = len(outcome.value) + len(outcome.error_message) + OUTCOME_BYTES
            if batch and (size + outcome_size > MESSAGE_BYTES or len(batch) >= BATCH_LIMIT):
                self._send_batch(custodian, tuple(batch), size, now.monotonic_ns)
                batch, size = [], 0
            batch.append(outcome)
            size += outcome_size
        if batch:
            self._send_batch(custodian, tuple(batch), size, now.monotonic_ns)

    def _send_batch(
        self, custodian: bytes, outcomes: tuple[Outcome, ...], size: int, now: int
    ) -> None:
        self._counter += 1
        batch = _Batch(
            self._counter, custodian, outcomes, size, now, self._parameters.resend_first_ns
        )
        self._batches[batch.number] = batch
        self._count += len(outcomes)
        self._bytes += size
        if batch.next_at < self._again_at:
            self._again_at = batch.next_at
        self._transmit(batch)

    def _transmit(self, batch: _Batch) -> None:
        self._outbox.send(batch.custodian, Results(batch.number, batch.outcomes))

    def drop_beyond_limits(self, now: int) -> list[tuple[bytes, Outcome]]:
        """Drops the oldest results beyond count, bytes and age, and names them."""
        dropped, self._undeliverable = self._undeliverable, []
        oldest = now - self._parameters.results_age_ns
        while self._batches:
            batch = next(iter(self._batches.values()))
            if (
                self._count <= self._parameters.results_kept
                and self._bytes <= self._parameters.results_bytes
                and batch.born > oldest
            ) or len(self._batches) == 1:
                break
            dropped.extend((batch.custodian, outcome) for outcome in batch.outcomes)
            self._remove(batch)
        return dropped

    def _remove(self, batch: _Batch) -> None:
        del self._batches[batch.number]
        self._count -= len(batch.outcomes)
        self._bytes -= batch.size

    def forsake(self, custodian: bytes) -> list[Outcome]:
        """Nobody may be told how these ended; returns what was in them."""
        batches = [batch for batch in self._batches.values() if batch.custodian == custodian]
        for batch in batches:
            self._remove(batch)
        return [outcome for batch in batches for outcome in batch.outcomes]

    def acknowledged(self, custodian: bytes, numbers: tuple[int, ...]) -> list[Outcome]:
        """The custodian has these; returns what was in them, which may be let go."""
        done: list[Outcome] = []
        recent = self._recent
        for number in numbers:
            batch = self._batches.get(number)
            if batch is None or batch.custodian != custodian:
                continue
            self._remove(batch)
            done.extend(batch.outcomes)
            for outcome in batch.outcomes:
                if len(outcome.value) <= RECENT_VALUE_LIMIT:
                    recent[(custodian, outcome.task, outcome.attempt)] = outcome
        while len(self._recent) > RECENT_LIMIT:
            self._recent.popitem(last=False)
        return done

    def recent(self, custodian: bytes, task: str, attempt: int) -> Outcome | None:
        """How an attempt ended whose result was acknowledged lately."""
        return self._recent.get((custodian, task, attempt))

    def hurry(self, custodian: bytes, now: int) -> None:
        """The custodian is back, or asks: what it has not acknowledged goes out again."""
        for batch in self._batches.values():
            if batch.custodian == custodian:
                batch.pause = self._parameters.resend_first_ns
                batch.next_at = now
                self._again_at = min(self._again_at, now)

    def wake(self, now: int) -> None:
        """Sends again what is due."""
        if self._again_at > now:
            return
        least = NEVER
        for batch in self._batches.values():
            if batch.next_at <= now:
                batch.pause = min(batch.pause * 2, self._parameters.resend_most_ns)
                batch.next_at = now + batch.pause
                self._transmit(batch)
            least = min(least, batch.next_at)
        self._again_at = least

    def deadline(self) -> int:
        """When `wake` is wanted."""
        return self._again_at if self._batches else NEVER

    def check(self) -> None:
        """Asserts that counts are counts."""
        assert self._count == sum(len(b.outcomes) for b in self._batches.values()), (
            "results-until-acknowledged: the count is wrong"
        )
        assert self._bytes == sum(b.size for b in self._batches.values()), (
            "results-until-acknowledged: the bytes are wrong"
        )
