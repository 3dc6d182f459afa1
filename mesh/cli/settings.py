"""What `mesh up` and `mesh serve` write down of a peer and its workers, checked first."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mesh.cli.output import USAGE, fail


def peer_settings(
    memory: str | None, blobs: str | None, python: Path | None, secrets: Path | None
) -> dict[str, Any]:
    """The changes to every peer's entry; None leaves what is set."""
    return {
        "worker_memory": _amount(memory),
        "blob_quota": _quota(blobs),
        "python": _interpreter(python),
        "secrets": secrets and checked_secrets(secrets),
    }


def _amount(memory: str | None) -> int | None:
    from mesh.local.sizes import worker_limit

    if memory is None:
        return None
    try:
        return worker_limit(memory)
    except ValueError as error:
        fail(f"--memory: {error}", USAGE)


def _quota(blobs: str | None) -> int | None:
    from mesh.local.sizes import bytes_of

    try:
        return None if blobs is None else bytes_of(blobs)
    except ValueError as error:
        fail(f"--blobs: {error}", USAGE)


def _interpreter(python: Path | None) -> str | None:
    if python is None or str(python) in ("", "."):
        return None if python is None else ""
    if not os.access(python, os.X_OK) or python.is_dir():
        fail(f"--python: there is no interpreter {python}", USAGE)
    # Not what links lead to: the interpreter of a virtual environment is a link out of it.
    return os.path.abspath(python)


def checked_secrets(path: Path) -> str:
    """The absolute path of a file of secrets that can be used; else the verb ends here."""
    from mesh.agent.vault import BadSecrets, read_sources

    try:
        read_sources(path)
    except BadSecrets as error:
        fail(f"--secrets: {error}", USAGE)
    return str(path.absolute())


def settle(folder: Any, workers: dict[str, Any], given: Sequence[str]) -> None:
    """Enters the settings of workers, and labels: ``LABEL,LABEL``, or ``LABEL@NAME,NAME``.

    Raises:
        ConfigurationError: no such label, or no such peer.
    """
    from mesh.local.options import labels
    from protocols.errors import ConfigurationError

    folder.update_peers(**workers)
    names = [entry.name for entry in folder.peers()]
    placed: dict[str, list[str]] = {}
    for text in given:
        words, _, where = text.partition("@")
        try:
            found = labels([word for word in words.split(",") if word])
        except ValueError as error:
            raise ConfigurationError(f"--labels {text}: {error}") from None
        for name in where.split(",") if where else names:
            if name not in names:
                raise ConfigurationError(
                    f"--labels {text}: no peer is named {name!r}; there are {', '.join(names)}"
                )
            placed.setdefault(name, []).extend(found)
    for name, own in placed.items():
        folder.update_peer(name, labels=own)
