"""What each step cost: it adds up, and follows the children that decided."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.spending import spent, told
from mesh.cli.trace import drawn, trace
from mesh.telemetry import costs, finding
from mesh.telemetry.reading import Entry
from mesh.telemetry.stories import AttemptStory, LotStory, Ran, Stories, TaskStory
from tests.telemetry import recorded

MS = 1000


def task(name: str, accepted: int, settled: int, *attempts: AttemptStory, **more: str) -> TaskStory:
    given = {"parent": "", **more}
    return TaskStory(
        name, "work", "t" * 32, "", given["parent"], "home", accepted * MS,
        settled_us=settled * MS, state="done",
        attempts={attempt.number: attempt for attempt in attempts},
    )  # fmt: skip


def attempt(sent: int, ended: int, ran: Ran | None = None, lot: str = "") -> AttemptStory:
    return AttemptStory(1, "away", lot, sent * MS, ended * MS, status="ok", ran=ran)


def ran(told_at: int, waited: int, held: int, elapsed: int) -> Ran:
    return Ran("away", "ok", told_at * MS, waited * MS, held * MS, elapsed * MS)


def shape(steps: list[costs.Step]) -> list[tuple[str, str, int, int]]:
    return [(step.task, step.step, step.at_us // MS, step.took_us // MS) for step in steps]


def test_each_stretch_of_a_task_has_its_name() -> None:
    story = task("a", 100, 200, attempt(130, 190, ran(185, 5, 40, 30), lot="lot"))
    story.asked_us = 98 * MS
    story.attempts[1].taken_us = 188 * MS
    lot = LotStory("lot", "work", 110 * MS, 125 * MS, 1, 1, 3, "")
    steps = costs.path(story, {"lot": lot}, {})
    assert shape(steps) == [
        ("a", "recording", 0, 2),
        ("a", "queueing", 2, 10),
        ("a", "auction", 12, 15),
        ("a", "recording", 27, 5),
        ("a", "sending", 32, 10),
        ("a", "waiting for a slot", 42, 5),
        ("a", "handing over", 47, 10),
        ("a", "running", 57, 30),
        ("a", "returning", 87, 3),
        ("a", "recording", 90, 2),
        ("a", "recording", 92, 10),
    ]
    assert sum(costs.sums(steps).values()) == costs.whole_us(story) == 102 * MS


def test_a_clock_that_is_wrong_elsewhere_moves_no_time() -> None:
    right = task("a", 100, 200, attempt(130, 200, ran(195, 5, 40, 30)))
    wrong = task("a", 100, 200, attempt(130, 200, ran(9_000_000, 5, 40, 30)))
    of_right, of_wrong = (costs.sums(costs.path(story, {}, {})) for story in (right, wrong))
    assert of_right["running"] == of_wrong["running"] == 30 * MS
    on_the_way = [each["sending"] + each["returning"] for each in (of_right, of_wrong)]
    assert on_the_way == [25 * MS, 25 * MS]
    assert of_wrong["sending"] == of_wrong["returning"] + 0


def test_a_slot_that_was_held_already_had_no_auction() -> None:
    story = task("a", 100, 200, attempt(101, 200, lot="lot"))
    lot = LotStory("lot", "work", 10 * MS, 20 * MS, 1, 1, 3, "")
    assert shape(costs.path(story, {"lot": lot}, {})) == [
        ("a", "queueing", 0, 1),
        ("a", "at its peer and on the way", 1, 99),
    ]


def test_the_path_goes_through_the_children_that_ended_last() -> None:
    parent = task("p", 0, 100, attempt(0, 100, ran(100, 0, 100, 100)))
    children = [
        task("short", 10, 30, parent="p"),
        task("long", 10, 60, parent="p"),
        task("next", 65, 90, parent="p"),
        task("left-behind", 10, 250, parent="p"),
    ]
    steps = costs.path(parent, {}, costs.children_of(children))
    assert [(step.task, step.at_us // MS, step.took_us // MS) for step in steps] == [
        ("p", 0, 10),
        ("long", 10, 50),
        ("p", 60, 5),
        ("next", 65, 25),
        ("p", 90, 10),
    ]


def test_a_handler_began_before_its_first_child_however_late_its_peer_heard_of_its_end() -> None:
    parent = task("p", 0, 100, attempt(0, 100, ran(100, 0, 100, 80)))
    child = task("c", 12, 60, parent="p")
    steps = costs.path(parent, {}, costs.children_of([child]))
    assert [(step.task, step.step, step.took_us // MS) for step in steps] == [
        ("p", "handing over", 20),
        ("c", "queueing", 48),
        ("p", "running", 32),
    ]


times = st.integers(0, 200)


@given(st.lists(times, min_size=12, max_size=12), st.lists(st.tuples(times, times), max_size=6))
def test_the_steps_add_up_whatever_the_clocks_say(
    at: list[int], children: list[tuple[int, int]]
) -> None:
    story = task("p", at[0], at[1] + 1, attempt(at[2], at[3], ran(at[4], at[5], at[6], at[7])))
    story.attempts[1].taken_us = at[8] * MS
    story.attempts[2] = AttemptStory(2, "away", "lot", at[9] * MS, at[10] * MS)
    story.asked_us = at[11] * MS
    lot = LotStory("lot", "work", at[8] * MS, at[10] * MS, 1, 1, 3, "")
    below = [task(f"c{n}", *pair, parent="p") for n, pair in enumerate(children)]
    steps = costs.path(story, {"lot": lot}, costs.children_of(below))
    assert sum(step.took_us for step in steps) == costs.whole_us(story)
    assert all(step.took_us > 0 for step in steps)
    assert [step.at_us for step in steps] == [
        sum(before.took_us for before in steps[:index]) for index in range(len(steps))
    ]


def test_a_trace_is_found_by_its_beginning_a_task_and_a_traceparent(tmp_path: Path) -> None:
    folder = recorded.folder(tmp_path)
    for text in (
        recorded.TRACE, recorded.TRACE[:6], recorded.REVIEW, recorded.REVIEW[:6],
        f"00-{recorded.TRACE}-00f067aa0ba902b7-01",
    ):  # fmt: skip
        found = finding.find(folder, text)
        assert (found.trace, found.roots, len(found.tasks)) == (
            recorded.TRACE,
            [recorded.REVIEW],
            6,
        )
    alone = finding.find(folder, recorded.LAST_CHILD)
    assert (alone.roots, list(alone.tasks)) == ([recorded.LAST_CHILD], [recorded.LAST_CHILD])


@pytest.mark.parametrize(("text", "why"), [("a4", "too short"), ("nowhere", "rotated away")])
def test_an_id_that_is_none_is_refused_with_a_reason(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(finding.NotFound, match=why):
        finding.find(recorded.folder(tmp_path), text)


def test_why_tells_where_the_time_of_a_recorded_review_went(tmp_path: Path) -> None:
    spending = spent(recorded.folder(tmp_path), recorded.view())
    assert spending["whole_ms"] == pytest.approx(414.564)
    assert sum(spending["costs"].values()) == pytest.approx(spending["whole_ms"])
    assert sum(step["ms"] for step in spending["path"]) == pytest.approx(spending["whole_ms"])
    inner = [step["task"] for step in spending["path"] if step["depth"]]
    assert inner[-1] == recorded.LAST_CHILD
    assert {step["peer"] for step in spending["path"]} == set(recorded.PEERS)
    assert max(map(len, told(spending))) <= 80


def test_without_events_why_still_adds_up(tmp_path: Path) -> None:
    folder = recorded.folder(tmp_path)
    for name in recorded.PEERS:
        recorded.events(folder, name).unlink()
    spending = spent(folder, recorded.view())
    view = recorded.view()
    assert spending["whole_ms"] == pytest.approx(1000 * (view["settled"] - view["accepted"]), abs=1)
    assert sum(spending["costs"].values()) == pytest.approx(spending["whole_ms"])
    assert "at its peer and on the way" in spending["costs"]


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_a_tree_fits_the_terminal(
    tmp_path: Path,
    columns: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    trace(recorded.TRACE, False, recorded.folder(tmp_path), False)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert sum("analyse" in line for line in lines) == 5


def test_many_children_that_are_alike_are_summed_up() -> None:
    row: dict[str, Any] = {
        "task": "p", "skill": "map", "parent": None, "depth": 0, "state": "done", "at_ms": 0.0,
        "ms": 9.0, "attempts": [], "steps": [],
    }  # fmt: skip
    rows = [row] + [
        {**row, "task": f"c{n}", "skill": "one", "parent": "p", "depth": 1, "ms": float(n)}
        for n in range(100)
    ]
    lines = drawn("t", rows, 80, full=False)
    assert lines[-1] == "and 88 more of one, 12.0 to 99.0 ms each (--full shows all)"
    assert len(drawn("t", rows, 80, full=True)) == 103


def test_who_claimed_an_offer_is_known_from_the_events(tmp_path: Path) -> None:
    folder = recorded.folder(tmp_path)
    place = recorded.events(folder, "peer-1")
    peer = recorded.PEERS["peer-2"]
    with place.open("a", encoding="utf-8") as file:
        for lot, claims in (("b-1", [[peer, 2, 5, 1]]), ("b-2", [[peer, 1, 0, 0]]), ("b-3", [7])):
            event = {"event": "tasks.claims-decided", "lot": lot, "claims": claims}
            file.write(json.dumps({"time": 9e9, "peer": "peer-1", **event}) + "\n")
    told = {"peer": "peer-2", "places": 2, "load_ms": 5, "given": 1}
    assert finding.claims(folder, ["b-1", "b-3", "b-9"]) == [{"lot": "b-1", "claims": [told]}]
    assert finding.claims(folder, []) == []


def test_a_dead_letter_that_was_redriven_ends_a_second_time() -> None:
    stories = Stories()
    first = {"event": "tasks.attempts-started", "lot": "", "peer": "p", "tasks": ["t"]}
    events: list[dict[str, Any]] = [
        {"event": "tasks.accepted", "skill": "s", "trace": "x", "tasks": ["t"]},
        {**first, "attempts": [1]},
        {"event": "tasks.settled", "tasks": [{"task": "t", "state": "dead", "error": "E"}]},
        {"event": "tasks.redriven", "tasks": ["t", "u"]},
        {**first, "attempts": [2]},
        {"event": "tasks.settled", "tasks": [{"task": "t", "state": "done"}]},
    ]
    for at, event in enumerate(events):
        stories.take(Entry(float(at), "peer-1", event, "info"))
    story = stories.tasks["t"]
    assert (story.state, story.settled_us, story.error) == ("done", 5_000_000, "")
    assert [attempt.status for attempt in story.attempts.values()] == ["dead", "ok"]
