import random

import pytest

from mesh.demo.audit import BATCH, batches
from mesh.demo.findings import Finding, Scan, Verdict
from mesh.demo.merging import highest, judge, merge
from tests.demo.trees import finding


def test_one_problem_seen_by_two_tools_is_one_finding() -> None:
    by_ruff = finding(rule="S602", tool="ruff", severity="low", confidence="medium", column=12)
    by_bandit = finding(rule="B602", severity="high", confidence="medium")
    merged = merge([by_ruff, by_bandit], top=5)
    (one,) = merged.findings
    assert (one.tool, one.severity, one.confidence) == ("bandit", "high", "high")
    assert one.seen_by == ("bandit:B602", "ruff:S602")
    assert merged.duplicates == 1


def test_other_kinds_and_other_lines_stay_apart() -> None:
    found = [finding(), finding(line=2), finding(rule="B603"), finding("b.py")]
    assert len(merge(found, top=5).findings) == 4


def test_merging_does_not_depend_on_the_order(seeded: random.Random) -> None:
    found = many(seeded)
    expected = merge(found, top=10)
    seeded.shuffle(found)
    assert merge(found, top=10) == expected


@pytest.fixture
def seeded() -> random.Random:
    return random.Random(7)


def many(rng: random.Random, count: int = 400) -> list[Finding]:
    return [
        finding(
            f"{rng.choice('abcdef')}.py",
            rng.randrange(1, 60),
            rule=rng.choice(["B101", "B602", "B324", "B105"]),
            tool=rng.choice(["bandit", "ruff"]),
            severity=rng.choice(["low", "medium", "high"]),
            confidence=rng.choice(["low", "medium", "high"]),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("top", [1, 7, 24, 500])
def test_the_highest_are_the_same_however_files_are_cut_into_batches(
    seeded: random.Random, top: int
) -> None:
    found = many(seeded)
    whole = highest(merge(found, top).candidates, top)
    assert whole == highest(merge(found, 10_000).findings, top)
    paths = sorted({each.path for each in found})
    cut = [merge([each for each in found if each.path == path], top) for path in paths]
    assert highest([each for part in cut for each in part.candidates], top) == whole


def test_the_worst_come_first_and_rules_take_turns() -> None:
    found = [finding(line=line) for line in (1, 2, 3)]
    found += [finding(line=9, rule="B324"), finding(line=10, rule="B101", severity="low")]
    ranked = highest(merge(found, 5).candidates, 5)
    assert [each.rule for each in ranked] == ["B602", "B324", "B602", "B602", "B101"]


def vote(reviewer: str, confirm: bool) -> Verdict:
    return Verdict(finding=finding().key, reviewer=reviewer, confirm=confirm, reason="because")


@pytest.mark.parametrize(
    ("votes", "confirmed", "tally"),
    [
        ([True, True, True], True, "3:0"),
        ([True, False, True], True, "2:1"),
        ([False, False, True], False, "1:2"),
        ([True, False], False, "1:1"),
        ([], False, "0:0"),
    ],
)
def test_the_majority_decides(votes: list[bool], confirmed: bool, tally: str) -> None:
    cast = [vote(f"reviewer-{n}", confirm) for n, confirm in enumerate(votes)]
    (judged,) = judge([finding()], cast)
    assert (judged.confirmed, judged.tally) == (confirmed, tally)


def test_a_reviewer_has_one_vote() -> None:
    (judged,) = judge([finding()], [vote("a", True), vote("a", True), vote("b", False)])
    assert judged.tally == "1:1"


def test_batches_hold_whole_files() -> None:
    crowd = [finding("a.py", line) for line in range(1, BATCH + 1)]
    scans = [
        Scan(path="b.py", analyser="lint", findings=[finding("b.py", 1, tool="ruff")]),
        Scan(path="a.py", analyser="security", findings=crowd),
        Scan(path="a.py", analyser="lint", findings=[finding("a.py", 1, tool="ruff")]),
        Scan(path="c.py", analyser="lint"),
    ]
    cut = batches(scans)
    assert [{each.path for each in batch} for batch in cut] == [{"a.py"}, {"b.py"}]
    assert len(cut[0]) == BATCH + 1
