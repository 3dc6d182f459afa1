"""Guards of exclusive tasks, for `mutants`."""

import contextlib
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from protocols.machine import Now
from protocols.tasks import hosting, worker
from protocols.tasks.attempts import Attempts
from protocols.tasks.commands import LeaseTold
from protocols.tasks.gate import Gate
from protocols.tasks.leases import CONFIRMING, RENEW
from protocols.tasks.messages import Results
from protocols.tasks.parameters import NEVER
from protocols.tasks.task import Attempt, Task

Patch = contextlib.AbstractContextManager[Any]


def _believed_at_once() -> Patch:
    results = Attempts.results

    def believing(self: Attempts, link: bytes, message: Results, now: Now) -> None:
        results(self, link, message, now)
        for outcome in message.outcomes:
            task = self._ledger.tasks.get(outcome.task)  # as `results` does
            lease = None if task is None else task.lease
            if lease is not None and lease.state == CONFIRMING and lease.request:
                yes = (True, "", "", lease.token, lease.ends_ms)
                self.lease_told(LeaseTold(lease.request, RENEW, lease.name, *yes), now)

    return patch.object(Attempts, "results", believing)


def _given_back_by_anybody() -> Patch:
    ended = Gate.ended

    def hasty(self: Gate, task: Task, attempt: Attempt) -> None:
        attempt.is_over = True
        ended(self, task, attempt)

    return patch.object(Gate, "ended", hasty)


class _RunsOn(contextlib.ExitStack):
    """Workers that know of no lease's end."""

    def __enter__(self) -> "_RunsOn":
        for module in (hosting, worker):
            self.enter_context(patch.object(module, "lease_until", lambda *_: NEVER - 1))
        return self


EXCLUSIVE_MUTANTS: tuple[tuple[str, Callable[[], Patch], tuple[str, ...]], ...] = (
    ("an exclusive result counts before the log has said so", _believed_at_once, ("exclusive",)),
    (
        "an exclusive attempt whose end nobody knows gives its lease back",
        _given_back_by_anybody,
        ("exclusive",),
    ),
    ("a worker runs on when the lease of an attempt is over", _RunsOn, ("exclusive",)),
)
