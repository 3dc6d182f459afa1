"""A run is data: it can be kept, shortened, and read from a file that somebody wrote."""

from pathlib import Path

import msgspec
import pytest

from simulations.plan import Plan, PlanError, draw, load, save
from simulations.run import Run
from simulations.scenario import LIES, SCENARIOS, Rates, Scenario, load_scenario, unmet
from simulations.schedule import KINDS, Crash, Pause, kind_of
from tests.simulation.schedules import SMALL

BUSY = Rates(
    loss=0.1, crashes=5, power=0.5, leaves=5, pauses=5, cuts=5, partitions=5, bad_links=5,
    disks=5, clocks=5, restores=5, slow=1.0,
)  # fmt: skip


def test_rates_draw_every_kind_of_fault_and_a_seed_always_the_same(run_seed: int) -> None:
    scenario = Scenario(name="busy", rates=BUSY)
    plan = draw(scenario, run_seed)
    assert {kind_of(fault) for fault in plan.faults} == set(KINDS)
    assert plan == draw(scenario, run_seed)
    assert plan != draw(scenario, run_seed + 1)
    assert all(fault.draw is not None for fault in plan.faults)


def test_a_plan_is_the_same_after_it_was_saved(tmp_path: Path, run_seed: int) -> None:
    plan = draw(Scenario(name="busy", rates=BUSY), run_seed)
    save(plan, tmp_path / "plan.json")
    assert load(tmp_path / "plan.json") == plan


def test_another_rate_leaves_the_faults_of_other_kinds_as_they_were() -> None:
    few = draw(Scenario(name="x", rates=Rates(pauses=1)), 1)
    many = draw(Scenario(name="x", rates=Rates(pauses=1, crashes=1)), 1)
    pauses = [
        [msgspec.structs.replace(f, draw=0) for f in plan.faults if isinstance(f, Pause)]
        for plan in (few, many)
    ]
    assert pauses[0] == pauses[1] != []


def test_deleting_a_fault_changes_nothing_before_it() -> None:
    faults = (Pause(at_ms=300, for_ms=200, draw=1), Crash(at_ms=900, draw=2))
    seen: list[list[object]] = []
    for kept in (faults, faults[:1]):
        entries: list[object] = []
        run = Run(Plan(SMALL, 1, kept), tracer=entries.append)
        run.execute()
        begin = 4_000_000_000 + 899_000_000
        seen.append([each for each in entries if getattr(each, "at_ns", 0) < begin])
    assert seen[0] == seen[1] != []


def test_one_entry_may_stand_for_several() -> None:
    entry = Crash(at_ms=10, times=3, every_ms=5)
    plan = draw(Scenario(name="x", faults=(entry,)), 1)
    assert [fault.at_ms for fault in plan.faults] == [10, 15, 20]
    assert len({fault.draw for fault in plan.faults}) == 3


def test_every_lie_is_told_by_some_seed() -> None:
    scenario = SCENARIOS["byzantine-each"]
    assert {draw(scenario, seed).scenario.liars[0] for seed in range(len(LIES))} == set(LIES)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('peers = "five"\nname = "x"', "`$.peers`"),
        ('name = "x"\n[rates]\ncrashs = 1', "unknown field `crashs` - at `$.rates`"),
        ('name = "x"\n[rates]\nloss = 1.5', "`$.rates.loss`"),
        ('name = "x"\n[[faults]]\nfault = "flood"\nat_ms = 1', "'flood' - at `$.faults[0].fault`"),
        ('name = "x"\n[[faults]]\nfault = "crash"\nat_ms = 1\nfor_ms = 2', "`for_ms`"),
        ('name = "x"\n[load]\nslots = "many"', "`$.load.slots`"),
        ('name = "x"\npeers = ?', "line 2, column 9"),
        ("peers = 3", "missing required field `name`"),
        ('name = "\\ud800"', "scenario.toml"),
    ],
)
def test_a_wrong_scenario_file_is_told_with_key_and_place(
    text: str, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(text)
    with pytest.raises(PlanError) as raised:
        load_scenario(path)
    assert str(path) in str(raised.value)
    assert complaint in str(raised.value)


def test_a_file_that_is_no_plan_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"scenario": {"name": "x"}, "seed": 1, "faults": [{"fault": "crash"}]}')
    with pytest.raises(PlanError, match=r"at_ms.*\$\.faults\[0\]"):
        load(path)


@pytest.mark.parametrize(
    ("scenario", "complaint"),
    [
        (Scenario(name="x", faults=(Crash(at_ms=5, peer="peer-9"),)), "at 5 ms names 'peer-9'"),
        (Scenario(name="x", liars=("politician",)), "no liar is called 'politician'"),
        (Scenario(name="x", peers=2, liars=("garbler", "garbler")), "leave nobody"),
    ],
)
def test_what_does_not_fit_together_is_refused(scenario: Scenario, complaint: str) -> None:
    with pytest.raises(PlanError, match=complaint):
        draw(scenario, 1)


def test_a_scenario_says_what_it_never_met() -> None:
    scenario = Scenario(name="x", must_meet=("crash", "pause"))
    assert unmet(scenario, {"crash": 3, "cut": 1}) == ("pause",)
    assert unmet(scenario, {"crash": 3, "pause": 1}) == ()


def test_named_scenarios_have_a_summary_and_keep_to_a_small_mesh() -> None:
    for name, scenario in SCENARIOS.items():
        assert scenario.name == name
        assert scenario.summary
        assert scenario.peers <= 7 or name == "lifeguard"
