"""What this installation is made of, as `mesh doctor` asks."""

import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, requires, version
from re import match

import msgspec
import zmq

DISTRIBUTION = "stigmesh"


class Requirement(msgspec.Struct, frozen=True):
    """One dependency: the least version that will do, and what there is ("" for none)."""

    name: str
    least: str
    found: str

    @property
    def is_met(self) -> bool:
        """Whether it is there, and new enough."""
        return bool(self.found) and _numbers(self.found) >= _numbers(self.least)


@lru_cache(maxsize=1)
def installed_version() -> str:
    """The version of the distribution; "0" where it is not installed."""
    return _version(DISTRIBUTION) or "0"


def libzmq() -> tuple[str, bool]:
    """The version of libzmq, and whether it was built with CURVE."""
    return zmq.zmq_version(), bool(zmq.has("curve"))


def requirements() -> list[Requirement]:
    """What the distribution asks for, extras aside; empty where it is not installed."""
    try:
        wanted = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return []
    found = []
    for text in wanted:
        parts = match(r"([A-Za-z0-9_.-]+)\s*>=\s*([0-9.]+)\s*(;.*)?$", text)
        if parts is not None and "extra" not in (parts[3] or ""):
            found.append(Requirement(parts[1], parts[2], _version(parts[1])))
    return found


def python() -> tuple[str, bool, bool]:
    """The interpreter's version, whether it will do, and whether its assertions are on."""
    number = ".".join(str(part) for part in sys.version_info[:3])
    return number, sys.version_info >= (3, 11), __debug__


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _numbers(text: str) -> tuple[int, ...]:
    parts = match(r"[0-9]+(\.[0-9]+)*", text)
    return tuple(int(part) for part in parts[0].split(".")) if parts is not None else ()
