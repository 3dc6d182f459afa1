"""The verb `sim experiment`: figures of the protocols, measured in virtual time."""

from typing import Annotated

import typer

from mesh.cli.options import JsonOption
from mesh.cli.output import USAGE, fail, print_json, print_table


def experiment(
    name: Annotated[str | None, typer.Argument(help="Which; without it, all are listed.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, in a minute.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="How many processes.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Measure what the protocols reach: detection, dissemination, makespan, Lifeguard's grid.

    Prints a row as soon as it is there. `docs/experiments.md` has the figures and how to read them.
    """
    from msgspec import to_builtins

    from simulations.experiments.catalogue import EXPERIMENTS, run

    if name is None:
        rows = [{"experiment": key, "about": each.about} for key, each in EXPERIMENTS.items()]
        if as_json:
            for row in rows:
                print_json(row)
        else:
            print_table(rows, ["experiment", "about"])
        return
    if name not in EXPERIMENTS:
        fail(f"there is no experiment {name}; there are {', '.join(EXPERIMENTS)}", USAGE)
    for measured in run(name, quick=quick, jobs=jobs):
        fields = to_builtins(measured)
        if as_json:
            print_json(fields)
        else:
            print("  ".join(f"{key}={_short(value)}" for key, value in fields.items()), flush=True)


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, dict):
        return "/".join(_short(each) for each in value.values())
    return str(value)
