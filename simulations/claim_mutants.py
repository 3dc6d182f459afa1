"""Guards of work that is claimed from the blackboard, for `mutants`."""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any
from unittest.mock import patch

from mesh.core import marks
from protocols.tasks import offering
from protocols.tasks.claims import Claim
from protocols.tasks.offering import OfferedDesk
from protocols.tasks.parameters import NEVER

Patch = contextlib.AbstractContextManager[Any]


def _offered_once() -> Patch:
    begin = OfferedDesk._begin  # noqa: SLF001  # the guard that is taken out

    def once(self: OfferedDesk, units: int, now: int) -> None:
        if self.number:
            self._repost_at = NEVER
        else:
            begin(self, units, now)

    return patch.object(OfferedDesk, "_begin", once)


def _first_come(offer: str, claims: Iterable[Claim], units: int) -> dict[bytes, int]:
    given: dict[bytes, int] = {}
    for claim in sorted(claims, key=lambda each: each.peer):
        if units > 0 and claim.places:
            given[claim.peer] = min(units, claim.places)
            units -= given[claim.peer]
    return given


def _all_to_one(offer: str, claims: Iterable[Claim], units: int) -> dict[bytes, int]:
    for claim in claims:
        return {claim.peer: units} if units else {}
    return {}


CLAIM_MUTANTS: tuple[tuple[str, Callable[[], Patch], tuple[str, ...]], ...] = (
    ("an offer is made once", _offered_once, ("stigmergy",)),
    (
        "a claimed place is used again and again",
        lambda: patch.object(OfferedDesk, "spend", lambda self: None),
        ("stigmergy",),
    ),
    (
        "whoever comes first wins",
        lambda: patch.object(offering, "winners", _first_come),
        ("stigmergy",),
    ),
    (
        "one claimer is given more than it claimed",
        lambda: patch.object(offering, "winners", _all_to_one),
        ("stigmergy",),
    ),
    (
        "marks are gone before they are read",
        lambda: patch.object(marks, "BEFORE_ALL_TIME", 1 << 60),
        ("stigmergy",),
    ),
)
