"""How a skill is called, apart from its inputs; and which skill is meant."""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

import msgspec

LABEL_LIMIT = 64
EXCLUSIVE_LIMIT = 200
SECONDS_LIMIT = 1_000_000_000
"""The longest duration, about 31 years."""
NUMBER_LIMIT = 1_000_000_000
"""The most retries, and the highest priority."""


class Changes(TypedDict, total=False):
    """What may be given as an option, by keyword; None leaves it as it is. See `Options`."""

    timeout: float | None
    deadline: float | None
    to: str | None
    strategy: str | None
    key: str | None
    retries: int | None
    weight: float | None
    priority: int | None
    version: str | None
    traceparent: str | None
    requires: str | Iterable[str] | None
    exclusive: bool | str | None


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Options of calls. Durations in seconds; 0 means none.

    Attributes:
        timeout: the longest that one attempt may run.
        deadline: the longest that the whole task may take, from submission.
        to: a peer's name or id; implies the strategy ``direct``.
        strategy: ``auction``, ``board``, ``direct`` or ``least_loaded``; "" for the usual one.
        key: idempotency key; the same key is the same task.
        retries: attempts after the first; -1 takes the skill's own.
        weight: an estimate of the duration, so that the longest start first.
        priority: higher goes first.
        version: of the skill; "" for what the call names, or else the highest.
        traceparent: the W3C trace context that the work belongs to; "" for a new one, or, in a
            handler, for that of its own task.
        requires: labels that the peer that runs it must have, such as ``("gpu", "region:eu")``.
        exclusive: a key under which no two attempts have a valid lease at any time; "" for the
            task's own, None for no such thing. As an option True stands for "", False for None.
    """

    timeout: float = 0
    deadline: float = 0
    to: str = ""
    strategy: str = ""
    key: str = ""
    retries: int = -1
    weight: float = 0
    priority: int = 0
    version: str = ""
    traceparent: str = ""
    requires: tuple[str, ...] = ()
    exclusive: str | None = None

    def changed(self, changes: Mapping[str, Any]) -> "Options":
        """These options with some of them changed; None leaves one as it is.

        Raises:
            TypeError: there is no such option.
            ValueError: a value that is out of range.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        unknown = [name for name in given if name not in self.__struct_fields__]
        if unknown:
            raise TypeError(f"there is no option {unknown[0]!r}")
        if "requires" in given:
            given["requires"] = labels(given["requires"])
        if "exclusive" in given:
            given["exclusive"] = exclusive_key(given["exclusive"])
        for name in ("timeout", "deadline", "weight"):
            checked_seconds(name, given.get(name, 0.0))
        for name in ("retries", "priority"):
            if abs(given.get(name, 0)) > NUMBER_LIMIT:
                raise ValueError(f"{name} is beyond {NUMBER_LIMIT}")
        return msgspec.structs.replace(self, **given)

    def meant(self, skill: "SkillLike") -> tuple[str, str]:
        """The name and the version ("" for the highest) of the skill that is to be called.

        Raises:
            TypeError: as `skill_named`.
            ValueError: the call names one version, and these options another.
        """
        name, version = skill_named(skill)
        if version and self.version and version != self.version:
            raise ValueError(
                f"{name}@{version} is called with version={self.version!r}: name one of them"
            )
        return name, version or self.version

    def fields(self) -> dict[str, Any]:
        """The fields of `Submit` that follow from these options, `deadline_ms` and keys aside."""
        fields: dict[str, Any] = {
            "strategy": self.strategy or ("direct" if self.to else "auction"),
            "to": self.to,
            "timeout_ms": milliseconds(self.timeout),
            "retries": self.retries,
            "priority": self.priority,
            "requires": list(self.requires),
        }
        if self.exclusive is not None:
            fields["exclusive"] = self.exclusive
        return fields


def exclusive_key(given: bool | str) -> str | None:
    """The key of exclusive tasks as it travels.

    Raises:
        ValueError: an empty text, or one that is too long.
    """
    if isinstance(given, bool):
        return "" if given else None
    if not 0 < len(given) <= EXCLUSIVE_LIMIT:
        raise ValueError(
            f"exclusive={given!r}: a key of 1 to {EXCLUSIVE_LIMIT} characters, or True for the "
            "task's own"
        )
    return given


def labels(given: str | Iterable[str]) -> tuple[str, ...]:
    """Labels as they travel: sorted, each once. A text is one label.

    Raises:
        ValueError: one is empty, too long, or holds blanks or commas.
    """
    found = sorted({given} if isinstance(given, str) else {*given})
    for label in found:
        if not 0 < len(label) <= LABEL_LIMIT or re.search(r"[\s,]", label):
            raise ValueError(
                f"{label!r} is no label: 1 to {LABEL_LIMIT} characters, without blanks and commas"
            )
    return tuple(found)


def checked_seconds(name: str, seconds: float) -> float:
    """A duration that can travel.

    Raises:
        ValueError: it is below zero, no number, or far too long.
    """
    if seconds < 0:
        raise ValueError(f"{name} must not be below zero")
    if not seconds <= SECONDS_LIMIT:  # no number is neither
        raise ValueError(f"{name}={seconds}: a number of seconds, {SECONDS_LIMIT} at most")
    return seconds


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, rounded up so that a wish for a short time is not a wish for none."""
    return -int(-seconds * 1000 // 1)


def remaining_ms(deadline: float | None, clock: Callable[[], float] = time.monotonic) -> int:
    """Milliseconds until an instant of a clock; 0 for None, and at least 1 otherwise."""
    if deadline is None:
        return 0
    return max(1, milliseconds(deadline - clock()))


ReadValue = Callable[[Any], Any]
"""From a plain value to what a handler's return annotation says."""

SkillLike = str | Callable[..., Any]
"""A skill's name, perhaps as ``name@version``, or the decorated function itself."""


def skill_named(skill: SkillLike) -> tuple[str, str]:
    """The name and the version ("" for the highest) of what a caller gave as a skill.

    Raises:
        TypeError: neither text nor a function decorated with ``@agent.skill``.
    """
    if isinstance(skill, str):
        name, _, version = skill.partition("@")
        return name, version
    declared = getattr(skill, "__mesh_skill__", None)
    if declared is None:
        raise TypeError(f"{skill!r} is not a skill: give its name, or a function with @agent.skill")
    return declared.name, declared.version


def reader_of(skill: SkillLike) -> ReadValue | None:
    """What makes of a plain value what the function returns; None for a skill's name.

    It raises `msgspec.ValidationError` where the value does not fit.
    """
    if isinstance(skill, str):
        return None
    declared = getattr(skill, "__mesh_skill__", None)
    return None if declared is None else lambda plain: declared.signature.read_output(plain)
