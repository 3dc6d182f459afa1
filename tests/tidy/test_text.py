"""What no tracked file may hold. The patterns are written so as not to match themselves."""

import re

import pytest

from tests.tidy.tree import texts

ADDRESSES = [
    r"py" r"pi\.(org|python\.org)",
    r"python" r"hosted\.org",
    r"npm" r"js\.(org|com)",
    r"proxy\.golang" r"\.org",
    r"https?://[^\s\"'<>)]+/simp" r"le\b",
    r"-{1,2}(extra-)?index" r"-url",
    r"-{2}find" r"-links",
    r"-{2}trusted" r"-host",
    r"\bregistry" r"\s*=",
]
MACHINE_PATHS = [
    r"(?<![\w.~-])/ro" r"ot/",
    r"(?<![\w.~-])/wo" r"rk/",
    r"(?<![\w.~-])/home/" r"\w+/",
    r"(?<![\w.~-])/Users/" r"\w+/",
    r"[A-Z]:\\Us" r"ers\\",
]
UNFINISHED = [
    r"\bTO" r"DO\b",
    r"\bFIX" r"ME\b",
    r"\bXX" r"X\b",
    r"raise NotImplemented" r"Error",
    r"pytest\.mark\.xf" r"ail",
    r"pytest\.mark\.sk" r"ip\b",
    r"pragma: no" r" cover",
]


def found(patterns: list[str], only: str = "") -> list[str]:
    pattern = re.compile("|".join(f"(?:{each})" for each in patterns))
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts()
        if name.endswith(only)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_registry_is_named() -> None:
    assert found(ADDRESSES) == []


def test_no_path_of_one_machine_is_named() -> None:
    assert found(MACHINE_PATHS) == []


def test_nothing_is_left_unfinished() -> None:
    assert found(UNFINISHED, only=".py") == []


def test_no_file_carries_a_conflict_or_stray_carriage_returns() -> None:
    assert found([r"^<{7} ", r"^>{7} ", r"\r$"]) == []


@pytest.mark.parametrize(
    "line",
    [
        "https://py" + "pi.org/project/x",
        "-" + "-index" + "-url http://here",
        "-" + "-find" + "-links w",
    ],
)
def test_the_patterns_know_a_registry_when_they_see_one(line: str) -> None:
    assert any(re.search(pattern, line) for pattern in ADDRESSES)


@pytest.mark.parametrize("line", ["/ro" + "ot/x", "see /wo" + "rk/x", "/home/" + "me/x"])
def test_the_patterns_know_a_machine_path_when_they_see_one(line: str) -> None:
    assert any(re.search(pattern, line) for pattern in MACHINE_PATHS)
