"""The lock names every dependency with the hashes of its files, and no place to get them from."""

import re
import tomllib

import pytest

from tests.tidy.tree import ROOT

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


def test_every_pin_has_hashes() -> None:
    counts = locked()
    assert counts
    assert [name for name, hashes in counts.items() if hashes == 0] == []


@pytest.mark.parametrize("name", declared())
def test_every_declared_dependency_is_locked(name: str) -> None:
    assert name in locked()
