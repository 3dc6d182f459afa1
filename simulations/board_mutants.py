"""Guards of the blackboard, taken out one at a time; see `mutants.py`."""

import contextlib
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from protocols.blackboard import intake, segments
from protocols.blackboard.exchange import Exchange
from protocols.blackboard.frontier import Frontiers
from protocols.blackboard.healing import Healing
from protocols.blackboard.holding import Holding
from protocols.blackboard.intake import Intake
from protocols.blackboard.vectors import Chain
from protocols.blackboard.writing import Writing
from protocols.machine import Now

Patch = contextlib.AbstractContextManager[Any]


class _Anything:
    """Equal to whatever it is compared with."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]  # equal to all, so in no table


def _nothing(*_: object, **__: object) -> None:
    """Instead of a guard that acts."""


class _Both:
    """Two patches as one."""

    def __init__(self, *patches: Patch) -> None:
        self._patches = patches
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> None:
        for each in self._patches:
            self._stack.enter_context(each)

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _old_copies_write() -> Patch:
    restored = Writing.restored

    def sure(self: Writing, generation: int, others: list[bytes], now: Now) -> None:
        restored(self, generation, others, now)
        self._sure()

    return _Both(
        patch.object(Writing, "restored", sure), patch.object(Writing, "begin_anew", _nothing)
    )


def _collects_at_once() -> Patch:
    def mine(self: Frontiers, now: Now) -> dict[Chain, int]:
        return self._store.chains.prefixes()

    return patch.object(Frontiers, "frontier", mine)


BOARD_MUTANTS: tuple[tuple[str, Callable[[], Patch], tuple[str, ...]], ...] = (
    (
        "an op of the blackboard needs no signature",
        lambda: patch.object(intake, "is_signed", lambda *_: True),
        ("byzantine-forger",),
    ),
    (
        "an op need not be the one that was signed",
        lambda: patch.object(segments, "root_from", lambda *_: _Anything()),
        ("byzantine-forger",),
    ),
    (
        "a fork is not noticed",
        lambda: patch.object(Intake, "_forked", _nothing),
        ("byzantine-forker",),
    ),
    (
        "live ops are never compared",
        lambda: patch.object(Healing, "_differs", _nothing),
        ("byzantine-forker",),
    ),
    (
        "a peer on an old copy of its disk writes on",
        _old_copies_write,
        ("restored-backup", "board"),
    ),
    ("tombstones are collected at once", _collects_at_once, ("board", "board-away")),
    (
        "nobody asks for what it lacks",
        lambda: patch.object(Exchange, "_ask", _nothing),
        ("board",),
    ),
    (
        "what is held back stays so",
        lambda: _Both(
            patch.object(Holding, "release", lambda *_: []),
            patch.object(Holding, "overdue", lambda *_: []),
        ),
        ("board",),
    ),
    (
        "a peer that was away for too long is not reset",
        lambda: patch.object(Healing, "consider", lambda *_: True),
        ("board-away",),
    ),
)
