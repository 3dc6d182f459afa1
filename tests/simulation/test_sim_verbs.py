"""The verbs `mesh sim …`, in this process: what they print, save and exit with."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from mesh.cli import main
from simulations import run as runs
from simulations.observations import PeerStopped
from simulations.peer import SimulatedPeer
from simulations.plan import Plan, load
from simulations.scenario import SCENARIOS
from simulations.schedule import Crash, Pause
from simulations.world import Checker, Violation, World

QUIET = """
name = "quiet"
peers = 2
duration_s = 1.0
load = { submissions = 5 }
"""


class Ended(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def last(self) -> Any:
        """The JSON object on the last line."""
        return json.loads(self.out.splitlines()[-1])


Mesh = Callable[..., Ended]


@pytest.fixture
def mesh(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Mesh:
    """Runs a command line in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["mesh", "sim", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run


class NoRestartOfThree:
    """A made-up invariant: peer-3 never stops."""

    hears = (PeerStopped,)

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        if peer.name == "peer-3":
            raise Violation("three-never-stops: peer-3 stopped")

    def finish(self, world: World) -> None:
        """Nothing is left to say."""


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run in which peer-3 stops violates an invariant."""
    of = runs.checkers_of

    def with_one_more(plan: Plan) -> tuple[Checker, ...]:
        return (*of(plan), NoRestartOfThree())

    monkeypatch.setattr(runs, "checkers_of", with_one_more)


FAULTS = """
name = "mine"
peers = 4
duration_s = 2.0
load = { submissions = 5 }

[[faults]]
fault = "pause"
at_ms = 100
peer = "peer-1"
for_ms = 50

[[faults]]
fault = "crash"
at_ms = 300
peer = "peer-3"
down_ms = 20

[[faults]]
fault = "pause"
at_ms = 500
peer = "peer-2"
for_ms = 50
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.toml").write_text(FAULTS, encoding="utf-8")
    return "mine.toml"


@pytest.fixture
def quiet(tmp_path: Path) -> str:
    (tmp_path / "quiet.toml").write_text(QUIET, encoding="utf-8")
    return "./quiet.toml"


def test_every_scenario_is_listed(mesh: Mesh) -> None:
    lines = mesh("list", "--json").out.splitlines()
    assert [json.loads(line)["scenario"] for line in lines] == list(SCENARIOS)
    assert "everything" in mesh("list").out


def test_a_run_tells_what_scripts_rely_on_and_the_same_each_time(mesh: Mesh, quiet: str) -> None:
    ended = mesh("run", quiet, "--seed", "5", "--peers", "3", "--json")
    assert ended.status == 0
    told = ended.last
    assert (told["scenario"], told["seed"], told["violations"]) == ("quiet", 5, [])
    assert told["virtual_seconds"] > 1
    assert told["events"] > 100
    again = mesh("run", quiet, "--seed", "5", "--peers", "3", "--json").last
    other = mesh("run", quiet, "--seed", "6", "--peers", "3", "--json").last
    assert again["digest"] == told["digest"] != other["digest"]


def test_a_run_that_holds_says_so(mesh: Mesh) -> None:
    ended = mesh("run", "calm", "--duration", "1", "--peers", "2")
    assert ended.status == 0
    assert "calm, seed 0: every invariant held" in ended.out
    assert not Path("mesh-sim").exists()


@pytest.mark.usefixtures("broken")
def test_a_failing_run_names_the_invariant_and_saves_what_replays_it(mesh: Mesh, mine: str) -> None:
    ended = mesh("run", mine, "--seed", "3")
    assert ended.status == 1
    assert "mine, seed 3: VIOLATED three-never-stops" in ended.out
    assert "mesh sim replay mesh-sim/mine-3.json" in ended.out
    replayed = mesh("replay", "mesh-sim/mine-3.json", "--kind", "fault", "--until", "4.31")
    assert replayed.status == 1
    assert "VIOLATED three-never-stops" in replayed.out
    assert [line.split()[:3] for line in replayed.out.splitlines()[:2]] == [
        ["4.100000", "peer-1", "fault"],
        ["4.300000", "peer-3", "fault"],
    ]


@pytest.mark.usefixtures("broken")
def test_a_failing_run_is_told_to_scripts(mesh: Mesh, mine: str) -> None:
    ended = mesh("run", mine, "--json", "--save", "kept.json")
    assert ended.status == 1
    [violation] = ended.last["violations"]
    assert violation["invariant"] == "three-never-stops"
    assert ended.last["replay"] == "mesh sim replay kept.json"


@pytest.mark.usefixtures("broken")
def test_shrinking_keeps_the_one_fault_that_matters(mesh: Mesh, mine: str) -> None:
    mesh("run", mine)
    ended = mesh("shrink", "mesh-sim/mine-0.json", "--json")
    assert ended.status == 0
    assert ended.last["plan"] == "mesh-sim/mine-0.min.json"
    plan = load(Path("mesh-sim/mine-0.min.json"))
    assert [type(fault) for fault in plan.faults] == [Crash]
    assert plan.scenario.peers == 3
    assert plan.scenario.duration_s < 2
    assert mesh("replay", "mesh-sim/mine-0.min.json", "--kind", "accuse").status == 1


def test_a_plan_that_violates_nothing_cannot_be_shrunk(mesh: Mesh, mine: str) -> None:
    mesh("run", mine, "--save", "fine.json")
    ended = mesh("shrink", "fine.json")
    assert ended.status == 2
    assert "breaks no invariant" in ended.err


def test_a_replay_is_filtered(mesh: Mesh, mine: str) -> None:
    saved = mesh("run", mine, "--save", "plan.json", "--json").last
    lines = mesh("replay", "plan.json", "--kind", "event", "--peer", "peer-2", "--json")
    *entries, last = map(json.loads, lines.out.splitlines())
    assert {(entry["kind"], entry["peer"]) for entry in entries} == {("event", "peer-2")}
    assert last["entries"] == len(entries) > 3
    assert last["digest"] == saved["digest"]
    accepted = next(entry for entry in entries if entry["what"] == "TasksAccepted")
    task = accepted["text"].split("tasks=['")[1].split("'")[0]
    told = mesh("replay", "plan.json", "--task", task, "--json").out.splitlines()
    kinds = [json.loads(line)["what"] for line in told[:-1]]
    assert kinds[0] == "TasksAccepted"
    assert {"JobHanded", "JobFinished", "TasksSettled"} < set(kinds)
    assert "wake" not in kinds


@pytest.mark.usefixtures("broken")
def test_a_sweep_counts_what_met_what_and_names_failed_seeds(mesh: Mesh, mine: str) -> None:
    ended = mesh("sweep", mine, "--seeds", "2", "--seed-base", "7", "--jobs", "1", "--json")
    assert ended.status == 1
    told = ended.last
    assert (told["scenario"], told["seeds"], told["failed"]) == ("mine", 2, [7, 8])
    assert told["coverage"]["crash"] == 2
    assert told["violations"] == {"7": "three-never-stops", "8": "three-never-stops"}
    assert "seed 7: VIOLATED three-never-stops" in ended.err
    assert sorted(path.name for path in Path("mesh-sim").iterdir()) == [
        "mine-7.json",
        "mine-8.json",
    ]


def test_a_sweep_in_processes_gives_what_one_process_gives(mesh: Mesh, quiet: str) -> None:
    words = ("sweep", quiet, "--seeds", "3", "--json", "--jobs")
    alone, spread = mesh(*words, "1").last, mesh(*words, "2").last
    for told in (alone, spread):
        del told["events_per_second"]
    assert alone == spread


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_sweep_with_what_it_has(
    mesh: Mesh, quiet: str, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    from simulations import sweep

    run_seed = sweep.run_seed

    def interrupted(scenario: Any, seed: int) -> Any:
        if seed == 2:
            os.kill(os.getpid(), number)
        return run_seed(scenario, seed)

    monkeypatch.setattr(sweep, "run_seed", interrupted)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a shell's background
    try:
        ended = mesh("sweep", quiet, "--seeds", "9", "--jobs", "1", "--json")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.status == 130
    assert ended.last["seeds"] == 2
    assert ended.last["interrupted"] is True


def test_a_fault_that_never_met_anything_fails_the_scenario(
    mesh: Mesh, quiet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simulations import sweep

    Path(quiet).write_text('must_meet = ["a comet"]\n' + QUIET, encoding="utf-8")
    words = ("sweep", quiet, "--seeds", "2", "--jobs", "1")
    few = mesh(*words)
    assert few.status == 0
    assert "judged from 100 seeds on" in few.out
    monkeypatch.setattr(sweep, "JUDGED_FROM", 2)
    enough = mesh(*words)
    assert enough.status == 1
    assert "a failure of the scenario: a comet" in enough.out


def test_a_report_is_one_page_that_needs_nothing_else(mesh: Mesh, mine: str) -> None:
    mesh("run", mine, "--save", "plan.json")
    ended = mesh("report", "plan.json", "--json")
    assert ended.status == 0
    page = Path("plan.html").read_text(encoding="utf-8")
    assert ended.last["report"] == "plan.html"
    assert page.startswith("<!doctype html>")
    for needed in ("Who saw whom how", "Which attempts ran where", "Kilobytes sent", "peer-4"):
        assert needed in page
    for needless in ("http:", "https:", "<script", "<link", "<img", "@import", "url("):
        assert needless not in page


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run", "everything-at-onc"), "did you mean everything-at-once"),
        (("run", "nothing-like-it-at-all"), "mesh sim list"),
        (("run", "missing.toml"), "missing.toml: No such file"),
        (("run", "calm", "--seed", "x"), "seed"),
        (("run", "calm", "--seed", "-1"), "seed"),
        (("run", "calm", "--peers", "1"), "needs 2 to"),
        (("run", "liars", "--peers", "2"), "needs 3 to"),
        (("run", "calm", "--duration", "0"), "duration"),
        (("sweep", "calm", "--jobs", "0"), "jobs"),
        (("sweep", "calm", "--seeds", "0"), "seeds"),
        (("replay", "missing.json"), "missing.json: No such file"),
        (("replay", "."), "holds no recording"),
        (("replay", "damaged.json"), "damaged.json: "),
        (("replay", "bytes.json"), "bytes.json: "),
        (("shrink", "damaged.json"), "damaged.json: "),
        (("report", "other.json"), "other.json: "),
        (("report", "absent.json"), "names 'peer-9'"),
        (("replay", "plan.json", "--peer", "peer-7"), "peer-1 to peer-5"),
        (("replay", "plan.json", "--kind", "magic"), "of the kind 'magic'"),
        (("replay", "plan.json", "--from", "2", "--until", "1"), "--until 1 is before"),
        (("report", "plan.json", "--out", "no/such/folder.html"), "cannot write"),
    ],
)
def test_what_cannot_work_is_told_and_exits_2(
    mesh: Mesh, words: tuple[str, ...], told: str
) -> None:
    plan = Plan(msgspec.structs.replace(SCENARIOS["calm"], peers=5, duration_s=0.1), 1)
    absent = msgspec.structs.replace(plan, faults=(Pause(at_ms=1, peer="peer-9"),))
    text = msgspec.json.encode(plan)
    Path("plan.json").write_bytes(text)
    Path("damaged.json").write_bytes(text[: len(text) // 2])
    Path("bytes.json").write_bytes(b"\xff\x00\x13")
    Path("other.json").write_bytes(b'{"something": "else"}')
    Path("absent.json").write_bytes(msgspec.json.encode(absent))
    ended = mesh(*words)
    assert ended.status == 2, ended
    assert told in ended.err + ended.out


def test_experiments_are_listed_and_found_where_scenarios_are_looked_for(mesh: Mesh) -> None:
    listed = mesh("experiment")
    assert listed.status == 0
    assert "lifeguard" in listed.out
    astray = mesh("run", "lifeguard")
    assert astray.status == 2
    assert "mesh sim experiment lifeguard" in astray.err
    unknown = mesh("experiment", "lifegard")
    assert unknown.status == 2
    assert "detection" in unknown.err


def test_other_verbs_do_not_load_the_simulator() -> None:
    code = (
        "import sys; from mesh.cli.app import app; "
        "print([name for name in sys.modules if name.startswith('simulations')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_scenario_of_the_how_to_page_holds(mesh: Mesh) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "simulate.md"
    [toml] = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    Path("two-of-five.toml").write_text(toml, encoding="utf-8")
    ended = mesh("run", "two-of-five.toml", "--duration", "9", "--json")
    assert ended.status == 0
    assert ended.last["coverage"]["crash"] == 2
