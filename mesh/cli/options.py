"""Options that many verbs share."""

from pathlib import Path
from typing import Annotated

import typer

DirOption = Annotated[
    Path | None,
    typer.Option(
        "--dir", metavar="FOLDER", help="The mesh folder; else $MESH_DIR, then the nearest .mesh."
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
