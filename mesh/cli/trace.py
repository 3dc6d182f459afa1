"""The verb trace: a task and all that it asked for, as a tree with times."""

import shutil
from typing import Annotated, Any

import typer

from mesh.cli.options import DirOption, JsonOption
from mesh.cli.output import fail, line_of, print_json

SIBLINGS_SHOWN = 12
LABEL_LIMIT = 52
BAR_FROM = 100
"""Columns of a terminal that leave room for bars."""
FIGURES = 26


def trace(
    text: Annotated[
        str, typer.Argument(metavar="ID", help="A task's or a trace's id, or its beginning.")
    ],
    full: Annotated[
        bool, typer.Option("--full", help="Every task, however many are alike.")
    ] = False,
    folder: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a task and all that it asked for, with what each step took.

    From the events of the local peers; works without a running mesh.
    """
    from mesh.local.discovery import find_folder, read_mesh
    from mesh.telemetry.finding import NotFound, find
    from mesh.telemetry.telling import Names

    place = find_folder(folder)
    try:
        found = find(place, text)
    except NotFound as error:
        fail(str(error))
    names = Names({entry.id: entry.name for entry in read_mesh(place).peers})
    rows = _rows(found, names)
    if as_json:
        for row in rows:
            print_json(row)
        return
    for line in drawn(found.trace, rows, shutil.get_terminal_size().columns, full):
        print(line_of(line))


def _rows(found: Any, names: Any) -> list[dict[str, Any]]:
    """A row for each task, parents before their children."""
    from mesh.telemetry import costs

    children = costs.children_of(found.tasks.values())
    begin = min((story.begin_us for story in found.tasks.values()), default=0)
    rows: list[dict[str, Any]] = []
    waiting = [(found.tasks[task], 0) for task in sorted(found.roots, reverse=True)]
    waiting.sort(key=lambda each: each[0].begin_us, reverse=True)
    while waiting:
        story, depth = waiting.pop()
        rows.append(_row(story, depth, begin, found.lots, names))
        waiting += [(child, depth + 1) for child in reversed(children.get(story.task, []))]
    return rows


def _row(story: Any, depth: int, begin: int, lots: Any, names: Any) -> dict[str, Any]:
    from mesh.telemetry import costs

    steps = costs.path(story, lots, {})
    return {
        "task": story.task,
        "skill": story.skill,
        "trace": story.trace,
        "parent": story.parent or None,
        "depth": depth,
        "custodian": story.custodian,
        "state": story.state,
        "at_ms": (story.begin_us - begin) / 1000,
        "ms": costs.whole_us(story) / 1000,
        "attempts": [
            {
                "attempt": attempt.number,
                "peer": names.of(attempt.peer),
                "lot": attempt.lot or None,
                "bids": lots[attempt.lot].bids if attempt.lot in lots else None,
                "status": attempt.status or "running",
                "message": attempt.message.partition("\n")[0],
            }
            for attempt in story.attempts.values()
        ],
        "steps": [
            {
                "step": step.step,
                "at_ms": (story.begin_us - begin + step.at_us) / 1000,
                "ms": step.took_us / 1000,
                "peer": names.of(step.peer),
                "attempt": step.attempt or None,
            }
            for step in steps
        ],
    }


def drawn(trace_id: str, rows: list[dict[str, Any]], columns: int, full: bool) -> list[str]:
    """The tree in lines no longer than the terminal is wide.

    Args:
        trace_id: what the tasks have in common.
        rows: as ``--json`` has them.
        columns: of the terminal.
        full: show every one of many siblings that are alike.
    """
    end = max((row["at_ms"] + row["ms"] for row in rows), default=0.0)
    skills = len({row["skill"] for row in rows})
    plural = "" if len(rows) == 1 else "s"
    lines = [f"trace {trace_id}: {len(rows)} task{plural}, {skills} skill{'s'[: skills > 1]}"]
    width = min(LABEL_LIMIT, columns - FIGURES)
    bar = columns - width - FIGURES - 1 if columns >= BAR_FROM else 0
    lines.append(f"{'':{width}} {'at':>11} {'took':>11}")
    hidden: dict[tuple[str | None, str], list[dict[str, Any]]] = {}
    unseen: set[str] = set()
    shown: dict[tuple[str | None, str], int] = {}
    for row in rows:
        group = (row["parent"], row["skill"])
        shown[group] = shown.get(group, 0) + 1
        if not full and (row["parent"] in unseen or shown[group] > SIBLINGS_SHOWN):
            unseen.add(row["task"])
            hidden.setdefault(group, []).append(row)
            continue
        indent = "  " * row["depth"]
        lines.append(_line(f"{indent}{row['skill']} {row['task']} {row['state']}", row, width, 0.0))
        lines += [_line(_label(indent, row, step), step, width, end, bar) for step in row["steps"]]
    for (_, skill), rest in hidden.items():
        least, most = min(row["ms"] for row in rest), max(row["ms"] for row in rest)
        lines.append(
            f"and {len(rest)} more of {skill}, {least:.1f} to {most:.1f} ms each (--full shows all)"
        )
    return lines


def _label(indent: str, row: dict[str, Any], step: dict[str, Any]) -> str:
    where = f" at {step['peer']}" if step["peer"] else ""
    label = f"{indent}  {step['step']}{where}"
    attempt = next((each for each in row["attempts"] if each["attempt"] == step["attempt"]), None)
    if attempt is not None and step["step"] == "running":
        told = "" if attempt["status"] == "ok" else f" {attempt['status']}: {attempt['message']}"
        return label + told
    return label


def _line(label: str, row: dict[str, Any], width: int, end: float, bar: int = 0) -> str:
    label = label if len(label) <= width else f"{label[: width - 1]}…"
    text = f"{label:{width}} {row['at_ms']:8.1f} ms {row['ms']:8.1f} ms"
    if not bar or not end:
        return text
    first = min(bar - 1, int(bar * row["at_ms"] / end))
    length = max(1, min(bar - first, round(bar * row["ms"] / end)))
    return f"{text} {' ' * first}{'█' * length}"
