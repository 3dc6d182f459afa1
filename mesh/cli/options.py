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
PythonOption = Annotated[
    Path | None,
    typer.Option(
        "--python",
        metavar="PATH",
        help="The interpreter that runs the agent files, of another virtual environment; '' for "
        "the peer's own.",
    ),
]
