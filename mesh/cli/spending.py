"""Where a task's time went, for `mesh why`: its critical path and what each step cost."""

from pathlib import Path
from typing import Any

TASKS_NAMED = 6


def spent(folder: Path, story: dict[str, Any]) -> dict[str, Any]:
    """What `mesh why --json` has beside the story.

    Args:
        folder: the mesh folder, whose events tell what the custodian does not know.
        story: as the custodian tells it.
    """
    from mesh.local.discovery import read_mesh
    from mesh.telemetry import costs, finding, stories
    from mesh.telemetry.telling import Names

    found = finding.below(folder, story["task"])
    whole = stories.from_view(story, found.tasks.get(story["task"]))
    lots = {**found.lots, **stories.lots_from_view(story)}
    children = costs.children_of(found.tasks.values())
    steps = costs.path(whole, lots, children)
    names = Names({entry.id: entry.name for entry in read_mesh(folder).peers})
    return {
        "whole_ms": costs.whole_us(whole) / 1000,
        "costs": {name: took / 1000 for name, took in costs.sums(steps).items()},
        "path": [
            {
                "step": step.step,
                "at_ms": step.at_us / 1000,
                "ms": step.took_us / 1000,
                "task": step.task,
                "skill": step.skill,
                "peer": names.of(step.peer),
                "attempt": step.attempt or None,
                "depth": step.depth,
            }
            for step in steps
        ],
    }


def told(spending: dict[str, Any]) -> list[str]:
    """The same for people: the critical path step by step, and the sums."""
    if not spending["path"]:
        return []
    lines = ["  critical path:"]
    task = spending["path"][0]["task"]
    for step in spending["path"]:
        indent = "  " * step["depth"]
        if step["task"] != task:
            task = step["task"]
            lines.append(f"  {'':26}{indent}{step['skill']} {task}")
        where = f" at {step['peer']}" if step["peer"] else ""
        lines.append(
            f"  {step['at_ms']:+9.1f} ms {step['ms']:9.1f} ms  {indent}{step['step']}{where}"
        )
    whole = spending["whole_ms"] or 1.0
    lines.append("  what it cost:")
    for name, took in sorted(spending["costs"].items(), key=lambda each: -each[1]):
        lines.append(f"  {took:12.1f} ms {100 * took / whole:5.1f} %  {name}")
    lines.append(f"  {spending['whole_ms']:12.1f} ms 100.0 %  in all")
    return lines
