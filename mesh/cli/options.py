"""Options that many verbs share."""

import re
from pathlib import Path
from typing import Annotated

import typer

DirOption = Annotated[
    Path | None,
    typer.Option(
        "--dir", metavar="FOLDER", help="The mesh folder; else $MESH_DIR, then the nearest .mesh."
    ),
]
LARGEST = 1_000_000_000
"""Of seconds, and of what is counted in fractions; about 31 years."""


def finite(number: float | None) -> float | None:
    """A number that can travel, of an option that has fractions.

    Raises:
        typer.BadParameter: it is none, or beyond all bounds.
    """
    if number is not None and not abs(number) <= LARGEST:
        raise typer.BadParameter(f"{number} is not a number up to {LARGEST}")
    return number


def _checked_roles(roles: list[str] | None) -> list[str] | None:
    from protocols.credentials import ROLE_PATTERN

    for role in roles or ():
        if not re.fullmatch(ROLE_PATTERN, role):
            raise typer.BadParameter(
                f"{role!r} can be no role: use up to 64 small letters, digits, dots, dashes and "
                "underscores, a letter or digit first"
            )
    return roles


RoleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--role",
        metavar="ROLE",
        help="A role beside that of a peer, such as policies; may repeat.",
        callback=_checked_roles,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON, one object per line, for scripts.")
]
RecordingOption = Annotated[
    int | None,
    typer.Option(
        "--recording",
        metavar="MIB",
        min=0,
        help="How much disk each peer's flight recording may take; 0 records nothing.",
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="AMOUNT",
        help="What each worker process may hold whose agents do not say, such as 512MB; 0 for no "
        "limit.",
    ),
]
BlobsOption = Annotated[
    str | None,
    typer.Option(
        "--blobs",
        metavar="AMOUNT",
        help="How much disk each peer's blobs may take, such as 4GiB, from its next start on.",
    ),
]
PythonOption = Annotated[
    Path | None,
    typer.Option(
        "--python",
        metavar="PATH",
        help="The interpreter that runs the agent files, of another virtual environment; '' for "
        "the peer's own.",
    ),
]
LabelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--labels",
        metavar="LABEL,…[@PEER,…]",
        help="What work may ask for, such as gpu,region:eu, of all peers or the named ones; may "
        "repeat. A peer keeps its labels; '' takes them away.",
    ),
]
SecretsOption = Annotated[
    Path | None,
    typer.Option(
        "--secrets",
        metavar="FILE",
        help="A TOML file that says where `ctx.secret` finds each secret: an environment "
        "variable, a file or a command.",
    ),
]


MetricsOption = Annotated[
    int | None,
    typer.Option(
        "--metrics",
        metavar="PORT",
        min=1,
        max=65535,
        help="Serve metrics for Prometheus on this port, as long as peers run.",
    ),
]
