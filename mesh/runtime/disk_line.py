"""Work for a disk, in a thread, one piece after the other in the order in which it came.

The loop never waits for it. What has gathered while the thread was busy goes to it
together, so that many small pieces cost one hand-over.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import trio

T = TypeVar("T")
BATCH_LIMIT = 64


class Work(NamedTuple):
    """Something to do in the thread, and who is told of its end on the loop.

    `label` names it for `drop`; None for what may not be dropped.
    """

    act: Callable[[], Any]
    ended: Callable[[Any, BaseException | None], None]
    label: object = None


class DiskLine:
    """A queue in front of one thread. `after` is called when ends of a batch were told."""

    def __init__(self, after: Callable[[], None]) -> None:
        self._after = after
        self._waiting: deque[Work] = deque()
        self._wanted = trio.Event()

    def add(self, work: Work) -> None:
        """Queues a piece of work."""
        self._waiting.append(work)
        self._wanted.set()

    def drop(self, label: object) -> None:
        """Takes back work that has not begun; nobody is told."""
        self._waiting = deque(each for each in self._waiting if each.label != label)

    async def do(self, act: Callable[[], T]) -> T:
        """Does something after all that was queued, and gives what it gave, or raises it."""
        over = trio.Event()
        end: list[Any] = []

        def ended(value: Any, error: BaseException | None) -> None:
            end.extend((value, error))
            over.set()

        self.add(Work(act, ended))
        await over.wait()
        value, error = end
        if error is not None:
            raise error
        done: T = value
        return done

    async def run(self) -> None:
        """Works until cancelled; what is in the thread then is waited for."""
        while True:
            await self._wanted.wait()
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_LIMIT))]
            if not self._waiting:
                self._wanted = trio.Event()
            for work, end in zip(batch, await trio.to_thread.run_sync(_done, batch), strict=True):
                work.ended(*end)
            self._after()


def _done(batch: list[Work]) -> list[tuple[Any, BaseException | None]]:
    ends: list[tuple[Any, BaseException | None]] = []
    for work in batch:
        try:
            ends.append((work.act(), None))
        except Exception as error:  # noqa: BLE001  # told to whoever waits for it
            ends.append((None, error))
    return ends
