"""Guards of what agents say of themselves, and of who is convicted of poison, for `mutants`."""

import contextlib
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from protocols.auction.candidates import Candidates
from protocols.tasks import suspicion, worker

Patch = contextlib.AbstractContextManager[Any]


AGENT_MUTANTS: tuple[tuple[str, Callable[[], Patch], tuple[str, ...]], ...] = (
    (
        "labels are not asked for",
        lambda: patch.object(Candidates, "has", lambda self, peer, requires: True),
        ("everyday",),
    ),
    (
        "suspects of poison run beside each other",
        lambda: patch.object(worker, "holds_suspect", lambda held: False),
        ("everyday",),
    ),
    (
        "a poison task is stopped after three peers",
        lambda: patch.object(suspicion, "POISON_PEERS", 3),
        ("everyday",),
    ),
)
