"""The run's seed, and what every test relies on.

The seed is `MESH_SEED` where that is set (a number), otherwise the first eight
hexadecimal digits of the commit, so that each commit tries something new and can
be tried again.
"""

import gc
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler.loadscope import LoadScopeScheduling

ROOT = Path(__file__).resolve().parent.parent
SEED_LIMIT = 2**32
ONE_BY_ONE = ("tests/simulation/", "tests/properties/")
"""Their tests share nothing, and some are long: they fill the workers to the end."""
TOGETHER = "tests/tidy/"
"""Its tests read and parse the same tree."""

if not __debug__:
    raise pytest.UsageError("the tests rest on assertions: run them without -O")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job; what tests start would inherit deafness to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "mesh",
    deadline=None,  # a busy machine is not a bug
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("mesh")


def _commit() -> str:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def _seed() -> int:
    given = os.environ.get("MESH_SEED", "")
    if given:
        return int(given) % SEED_LIMIT
    return int(_commit()[:8] or "0", 16)


RUN_SEED = _seed()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Hypothesis follows the run's seed unless it was given one of its own."""
    if getattr(config.option, "hypothesis_seed", None) is None:
        config.option.hypothesis_seed = str(RUN_SEED)


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """A module's tests share a mesh, or what else is costly, and so a worker."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(TOGETHER):
            return TOGETHER
        return nodeid if nodeid.startswith(ONE_BY_ONE) else nodeid.split("::", 1)[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Instead of xdist's own groups, which pytest 9.2 ignores (pytest-xdist's issue 1386)."""
    return _Scheduling(config, log)


def pytest_collection_finish() -> None:
    """What was imported and collected is never garbage: no collection looks at it again."""
    gc.collect()
    gc.freeze()


def pytest_report_header() -> str:
    """Shows how to run the same again."""
    return f"seed: {RUN_SEED} (again with MESH_SEED={RUN_SEED})"


@pytest.fixture(scope="session")
def run_seed() -> int:
    """The seed of this run."""
    return RUN_SEED


@pytest.fixture
def rng(run_seed: int, request: pytest.FixtureRequest) -> random.Random:
    """A generator of the test's own, the same in every run with this seed."""
    return random.Random(f"{run_seed}/{request.node.nodeid}")
