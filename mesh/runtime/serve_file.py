"""The file of `mesh serve --config`: TOML, checked key by key, so a mistake names its place."""

import difflib
import os
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from mesh.local.discovery import SeedEntry
from mesh.local.options import labels
from mesh.local.sizes import bytes_of, worker_limit
from protocols.errors import ConfigurationError

ANY_HOSTS = ("*", "0.0.0.0", "::")  # noqa: S104  compared with, never bound to
FILE_LIMIT = 1024 * 1024
DRAIN_S = 5.0
"""How long running work may take to end when the peer is asked to stop."""

_NO_HOST = re.compile(r"[\s/;@\[\]]")

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=3600)]
Durability = Literal["process", "disk"]


class Serving(msgspec.Struct, frozen=True, omit_defaults=True):
    """One peer's ways; the defaults are those of `mesh up`.

    Attributes:
        host: the address to listen on; "" for that of the last door, or loopback.
        door: the door's port; 0 for that of the last door, or any free one.
        data: the house's port, or 0.
        shown_host, shown_door, shown_data: how others reach them, where that differs.
        durability: ``process``, or ``disk``: every acknowledgement waits for the disk.
        drain_s: how long running work may take to end.
        seeds: members to meet, besides those that the folder knows.
        in_foreground: whether somebody waits to be told that it is up.
    """

    host: str = ""
    door: int = 0
    data: int = 0
    shown_host: str = ""
    shown_door: int = 0
    shown_data: int = 0
    durability: Durability = "process"
    drain_s: float = DRAIN_S
    seeds: list[SeedEntry] = []
    in_foreground: bool = False


AS_UP = Serving()
"""The ways of `mesh up`."""


class Listen(msgspec.Struct, frozen=True):
    """``[listen]``: this machine's address and ports."""

    host: str = ""
    door: Port = 0
    data: Port = 0


class Advertise(msgspec.Struct, frozen=True):
    """``[advertise]``: what others dial, where it differs."""

    host: str = ""
    door: Port = 0
    data: Port = 0


class ServeFile(msgspec.Struct, frozen=True):
    """The whole file. Paths are relative to the file's folder."""

    dir: str
    name: str = ""
    agents: list[str] | None = None
    python: str | None = None
    memory: str | int | None = None
    blobs: str | int | None = None
    recording: Annotated[int, msgspec.Meta(ge=0)] | None = None
    labels: list[str] | None = None
    secrets: str | None = None
    durability: Durability = "process"
    drain: Seconds = DRAIN_S
    listen: Listen = Listen()
    advertise: Advertise = Advertise()
    seeds: list[SeedEntry] = []

    def serving(self) -> Serving:
        """What a peer process needs of it."""
        return Serving(
            host=self.listen.host,
            door=self.listen.door,
            data=self.listen.data,
            shown_host=self.advertise.host,
            shown_door=self.advertise.door,
            shown_data=self.advertise.data,
            durability=self.durability,
            drain_s=self.drain,
            seeds=self.seeds,
            in_foreground=True,
        )


def read_serve_file(path: Path) -> ServeFile:
    """Reads and checks a file; paths in it become absolute.

    Raises:
        ConfigurationError: with the place, what is wrong there, and what would be right.
    """
    try:
        with path.open("rb") as file:
            text = file.read(FILE_LIMIT)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    try:
        told = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None
    _refuse_unknown(path, told)
    try:
        found = msgspec.convert(told, ServeFile)
        _refuse_unfit(found)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigurationError(f"{path}: {_placed(str(error))}") from None
    base = path.absolute().parent
    return msgspec.structs.replace(
        found,
        dir=str(base / found.dir),
        agents=None if found.agents is None else [str(base / agent) for agent in found.agents],
        # Not resolved: the interpreter of a virtual environment is a link, and known by its place.
        python=found.python and os.path.abspath(base / found.python),
        secrets=found.secrets and str(base / found.secrets),
    )


def with_hosts(found: ServeFile, host: str, advertised: str) -> ServeFile:
    """The same with other hosts to listen on and to be reached by; "" leaves as it is.

    Raises:
        ConfigurationError: nobody could know which address to dial.
    """
    listen = msgspec.structs.replace(found.listen, host=host or found.listen.host)
    advertise = msgspec.structs.replace(found.advertise, host=advertised or found.advertise.host)
    for told in (listen.host, advertise.host):
        if told not in ANY_HOSTS and (told.count(":") == 1 or _NO_HOST.search(told)):
            raise ConfigurationError(
                f"{told!r} is no host: a name or an address, without a scheme; ports are keys of "
                "their own"
            )
    if listen.host in ANY_HOSTS and not advertise.host:
        raise ConfigurationError(
            f"{listen.host} is every address of this machine, and others must know which one to "
            "dial: set advertise.host, or --advertise"
        )
    return msgspec.structs.replace(found, listen=listen, advertise=advertise)


class Order(msgspec.Struct):
    """Which peer a process is to become, and how."""

    folder: str
    name: str
    serving: Serving


def command(folder: Path, name: str, serving: Serving) -> list[str]:
    """What to execute so that a process becomes this peer."""
    order = msgspec.json.encode(Order(str(folder), name, serving)).decode()
    return [sys.executable, "-P", "-m", "mesh.runtime.foreground", order]


def _refuse_unfit(found: ServeFile) -> None:
    if found.labels is not None:
        try:
            labels(found.labels)
        except ValueError as error:
            raise ValueError(f"{error} - at `$.labels`") from None
    if found.memory is not None:
        try:
            worker_limit(found.memory)
        except ValueError as error:
            raise ValueError(f"{error} - at `$.memory`") from None
    if found.blobs is not None:
        try:
            bytes_of(found.blobs)
        except ValueError as error:
            raise ValueError(f"{error} - at `$.blobs`") from None
    for index, seed in enumerate(found.seeds):
        if not seed.door.startswith("tcp://") or len(seed.curve) != 64:
            raise ValueError(
                "a seed has `id`, `door` (tcp://host:port) and `curve` (64 hexadecimal digits), as "
                f"`mesh.json` of a folder that joined shows them - at `$.seeds[{index}]`"
            )


def _refuse_unknown(path: Path, told: Mapping[str, Any]) -> None:
    tables: Sequence[tuple[str, Any, type[msgspec.Struct]]] = (
        ("", told, ServeFile),
        ("listen.", told.get("listen"), Listen),
        ("advertise.", told.get("advertise"), Advertise),
        *((f"seeds[{n}].", seed, SeedEntry) for n, seed in enumerate(_listed(told.get("seeds")))),
    )
    for place, table, kind in tables:
        if not isinstance(table, dict):
            continue
        known = kind.__struct_fields__
        for key in table:
            if key in known:
                continue
            close = difflib.get_close_matches(key, known, 1)
            meant = f"did you mean {close[0]!r}? " if close else ""
            raise ConfigurationError(
                f"{path}: there is no key {place}{key}: {meant}there are {', '.join(known)}"
            )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _placed(message: str) -> str:
    """`message - at $.listen.door` as ``listen.door: message``."""
    text, at, place = message.rpartition(" - at `$")
    return f"{place.rstrip('`').lstrip('.')}: {text}" if at else message
