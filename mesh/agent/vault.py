"""Where handlers get secrets from: an environment variable, a file, or a command.

Resolved in the process that runs the handler, when it is asked for, and kept for a while
in its memory only. A value is too short to be told from ordinary text below
`VALUE_LEAST` characters, and is refused: it could not be kept out of logs and errors.
"""

import os
import re
import subprocess
import threading
import time
import tomllib
from pathlib import Path

import msgspec

from mesh.agent.redaction import VALUE_LEAST, redactor
from mesh.local.errors import MeshError

SECRETS_FILE = "MESH_SECRETS_FILE"
PREFIX = "MESH_SECRET_"
VALUE_LIMIT = 64 * 1024
FILE_LIMIT = 1024 * 1024
COMMAND_S = 10.0
KEPT_S = 60.0
"""How long a value is used before its source is asked again."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class NoSecret(MeshError):
    """A secret cannot be had here; says which, why, and what to try. Never says a value."""


class BadSecrets(MeshError):
    """The file of secrets cannot be used."""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one secret comes from: exactly one of these."""

    env: str = ""
    file: str = ""
    command: list[str] = []


def read_sources(path: Path) -> dict[str, Source]:
    """The sources that a TOML file names.

    Raises:
        BadSecrets: with what is wrong.
    """
    try:
        with path.open("rb") as file:
            told = tomllib.loads(file.read(FILE_LIMIT).decode())
        sources = msgspec.convert(told, dict[str, Source])
    except OSError as error:
        raise BadSecrets(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSecrets(f"{path} is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise BadSecrets(
            f'{path}: {error}; a line is name = {{ env = "…" }}, {{ file = "…" }} or '
            '{ command = ["…"] }'
        ) from None
    for name, source in sources.items():
        if _NAME.fullmatch(name) is None:
            raise BadSecrets(f"{path}: {name!r} cannot name a secret")
        if sum(map(bool, (source.env, source.file, source.command))) != 1:
            raise BadSecrets(f"{path}: {name} has one of env, file and command")
    return sources


def name_sources(path: str) -> None:
    """Workers of this process take their secrets from this file; it is not opened here."""
    if path:
        os.environ[SECRETS_FILE] = path


class Vault:
    """The secrets of one process."""

    def __init__(self, environ: "os._Environ[str] | dict[str, str]" = os.environ) -> None:
        self._environ = environ
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[str, float]] = {}

    def secret(self, name: str) -> str:
        """The value of a secret; may wait for a command, at most `COMMAND_S`.

        Raises:
            NoSecret: it cannot be had here.
        """
        if _NAME.fullmatch(name) is None:
            raise NoSecret(f"{name!r} cannot name a secret")
        with self._lock:
            value, until = self._kept.get(name, ("", 0.0))
            if time.monotonic() < until:
                return value
            value = self._resolved(name)
            if not VALUE_LEAST <= len(value) <= VALUE_LIMIT:
                raise NoSecret(
                    f"secret {name} has {len(value)} characters: those of under {VALUE_LEAST} or "
                    f"over {VALUE_LIMIT} cannot be kept out of logs and errors"
                )
            redactor.keep_out(value, name)
            self._kept[name] = (value, time.monotonic() + KEPT_S)
            return value

    def _resolved(self, name: str) -> str:
        told = self._environ.get(SECRETS_FILE, "")
        source: Source | None = None
        if told:
            try:
                source = read_sources(Path(told)).get(name)
            except BadSecrets as error:
                raise NoSecret(f"secret {name}: {error}") from None
        variable = PREFIX + re.sub(r"[^A-Z0-9]", "_", name.upper())
        if source is None:
            return self._variable(name, variable, f" and {told} does not name it" if told else "")
        if source.env:
            return self._variable(name, source.env, f", where {told} says it is")
        if source.file:
            return _content(name, Path(told).parent / source.file)
        return _printed(name, source.command, Path(told).parent)

    def _variable(self, name: str, variable: str, where: str) -> str:
        value = self._environ.get(variable, "")
        if not value:
            raise NoSecret(
                f"there is no secret {name} here: {variable} is not set{where}. Set it where the "
                "peer is started, or name a source in the file of `mesh up --secrets`"
            )
        return value


def _content(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(VALUE_LIMIT + 1).decode().rstrip("\r\n")
    except OSError as error:
        raise NoSecret(f"secret {name}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise NoSecret(f"secret {name}: {path} is not text") from None


def _printed(name: str, command: list[str], folder: Path) -> str:
    # What it says on stderr is not passed on: it may say too much.
    what = f"secret {name}: {command[0]}"
    try:
        ended = subprocess.run(
            command, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL,
            timeout=COMMAND_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NoSecret(f"{what} did not end within {COMMAND_S:g} s") from None
    except OSError as error:
        raise NoSecret(f"{what} cannot be run: {error.strerror}") from None
    if ended.returncode:
        raise NoSecret(f"{what} ended with status {ended.returncode}")
    try:
        return ended.stdout.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise NoSecret(f"{what} did not print text") from None


vault = Vault()
"""That of this process."""
