"""The lock names every dependency with the hashes of its files, and no place to get them from."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions

import pytest

from tests.tidy.tree import PACKAGES, ROOT, modules, parsed

NEEDS = {
    "mesh/telemetry/otel.py": "telemetry",
    "mesh/telemetry/prometheus.py": "telemetry",
    "mesh/runtime/vector_index.py": "vectors",
}
"""Modules that import what an extra brings, only where it is asked for."""
ENTRY = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)( ;[^\\]*)? \\$")


def locked() -> dict[str, int]:
    """How many hashes each locked distribution has."""
    counts: dict[str, int] = {}
    current = ""
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if entry := ENTRY.match(line):
            current = canonical(entry[1])
            counts[current] = 0
        elif re.match(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$", line):
            counts[current] += 1
        else:
            assert re.match(r"^\s*(#.*)?$", line), f"neither pin, hash nor comment: {line}"
    return counts


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for extra in extras:
        wanted += extra
    return sorted({canonical(re.split(r"[<>=!~\[; ]", each)[0]) for each in wanted})


def imported(source: str) -> set[str]:
    """The top-level names that a module imports, wherever in it."""
    names: set[str] = set()
    for each in ast.walk(parsed(source)):
        if isinstance(each, ast.Import):
            names |= {alias.name.split(".")[0] for alias in each.names}
        elif isinstance(each, ast.ImportFrom) and each.module:
            names.add(each.module.split(".")[0])
    return names


def test_what_is_imported_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = names(project["dependencies"])
    extras = project["optional-dependencies"]
    owners = packages_distributions()
    found = sorted(
        f"{file}: {name}"
        for file, text in modules(*PACKAGES)
        for name in imported(text) - set(sys.stdlib_module_names) - set(PACKAGES)
        if not (wanted | names(extras[NEEDS[file]] if file in NEEDS else ()))
        & {canonical(owner) for owner in owners.get(name, [])}
    )
    assert found == []


def names(requirements: Iterable[str]) -> set[str]:
    return {canonical(re.split(r"[<>=!~\[; ]", each)[0]) for each in requirements}


def test_every_pin_has_hashes() -> None:
    counts = locked()
    assert counts
    assert [name for name, hashes in counts.items() if hashes == 0] == []


@pytest.mark.parametrize("name", declared())
def test_every_declared_dependency_is_locked(name: str) -> None:
    assert name in locked()
