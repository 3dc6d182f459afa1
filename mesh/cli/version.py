"""`mesh --version`."""

import typer

DISTRIBUTION = "stigmesh"


def print_version(wanted: bool) -> None:
    """Says which release this is, and ends."""
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        print(f"{DISTRIBUTION} {version(DISTRIBUTION)}")
    except PackageNotFoundError:
        print(f"{DISTRIBUTION}, not installed")
    raise typer.Exit
