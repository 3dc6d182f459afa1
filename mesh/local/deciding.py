"""How a decision is asked for, and what came of it, as callers see it."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from mesh.local.options import SkillLike, checked_seconds, milliseconds, skill_named

CLOSE_S = 60.0
"""How long voters may take where nothing else is said."""
AFTERWARDS_S = 30.0
"""How much longer than a ballot's own deadline a client waits for word of it."""


class Choices(TypedDict, total=False):
    """How a decision is made, by keyword; see `Client.decide`."""

    voters: int | None
    rule: str
    distinct: str | Iterable[str]
    options: Iterable[str]
    compare: str
    close: float | None
    deadline: float | None


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    """What one voter said.

    Attributes:
        peer: its name, or its id where the name is not known.
        id: its id.
        answer: what its agents returned, as it was compared; None where it abstained.
        confidence: its own, from 0 to 1; None where it stated none. It weighs nothing.
        abstains: it had no answer.
        contradicts: the two answers that it signed, which is a lie; it counts for nothing.
    """

    peer: str
    id: str = ""
    answer: Any = None
    confidence: float | None = None
    abstains: bool = False
    contradicts: list[Any] = []


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What an electorate settled.

    Attributes:
        outcome: what won, as it was compared; None where it is undecided.
        status: ``certified``, ``leaning`` or ``undecided``.
        margin: by how many votes the outcome leads its nearest rival; of a median, how
            many numbers there are.
        needed: what the margin must exceed to be beyond the reach of liars and of voters
            that were left out.
        votes: what each voter said that is in the certificate.
        dissent: those that said something else than the outcome.
        missing: the voters that are not in it.
        rule: the rule.
        tolerates: how many of the voters may lie.
        honest_majority: more than half of the honest voters chose the outcome, whoever lies.
        ballot: its id.
        certificate: the file that anybody can verify, with the mesh's ``root.pub`` alone.
    """

    outcome: Any
    status: str
    margin: int
    needed: int
    votes: list[Vote]
    dissent: list[Vote] = []
    missing: list[str] = []
    rule: str = ""
    tolerates: int = 0
    honest_majority: bool = False
    ballot: str = ""
    certificate: bytes = b""

    @property
    def is_certified(self) -> bool:
        """Whether liars cannot have bent it."""
        return self.status == "certified"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the certificate to a file for `mesh verify`."""
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.certificate)
        return file


def decision_of(answer: Any) -> Decision:
    """The decision in a peer's answer."""
    return msgspec.convert(answer, Decision)


def wanted(
    skill: SkillLike,
    inputs: Mapping[str, Any] | None,
    *,
    voters: int | None = None,
    rule: str = "majority",
    distinct: str | Iterable[str] = "peer",
    options: Iterable[str] = (),
    compare: str = "",
    close: float | None = None,
    deadline: float | None = None,
) -> tuple[dict[str, Any], float]:
    """The arguments of the verb ``decide``, and for how many seconds an answer is waited for.

    Raises:
        TypeError: neither a skill's name nor a decorated function.
        ValueError: a number of voters or a duration out of range.
    """
    if (voters or 0) < 0:
        raise ValueError("voters must not be below zero")
    checked_seconds("close", close or 0)
    checked_seconds("deadline", deadline or 0)
    name, version = skill_named(skill)
    close_s = close or CLOSE_S
    deadline_s = deadline or close_s + max(30.0, close_s / 2)
    arguments = {
        "skill": name,
        "version": version,
        "input": dict(inputs or {}),
        "rule": rule,
        "compare": compare,
        "options": list(options),
        "voters": voters or 0,
        "distinct": [distinct] if isinstance(distinct, str) else list(distinct),
        "close_ms": milliseconds(min(close_s, deadline_s)),
        "deadline_ms": milliseconds(deadline_s),
    }
    return arguments, deadline_s + AFTERWARDS_S
