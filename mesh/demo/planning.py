"""The planner's rules: one task per file and analyser, the longest first."""

from pathlib import Path

import msgspec

from mesh.demo.sources import SourceFile, find_sources

START_US = {"security": 3_000, "complexity": 1_000, "lint": 12_000}
"""What a task costs whatever the file: for lint, starting ruff."""
BYTE_NS = {"security": 5_000, "complexity": 1_500, "lint": 150}
"""What each byte of a file adds, measured over the standard library."""


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """One task of the audit. `weight_us` estimates how long it takes."""

    analyser: str
    path: str
    weight_us: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done. `found` counts the files before any limit."""

    found: int
    files: list[str]
    units: list[Unit]


def plan(root: Path, limit: int = 0) -> Plan:
    """Splits an audit into units.

    Args:
        root: the tree, or a single file.
        limit: audit only so many files, the largest; 0 for all.
    """
    sources = find_sources(root)
    chosen = sources
    if limit and limit < len(sources):
        largest = sorted(sources, key=lambda source: (-source.size, source.path))
        chosen = sorted(largest[:limit], key=lambda source: source.path)
    units = [
        Unit(analyser=name, path=source.path, weight_us=weight_us(name, source))
        for source in chosen
        for name in START_US
    ]
    units.sort(key=lambda unit: (-unit.weight_us, unit.analyser, unit.path))
    return Plan(found=len(sources), files=[source.path for source in chosen], units=units)


def weight_us(analyser: str, source: SourceFile) -> int:
    """How long one task is likely to take, in microseconds."""
    return START_US[analyser] + BYTE_NS[analyser] * source.size // 1_000
