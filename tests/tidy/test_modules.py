from pathlib import PurePosixPath

from tests.tidy.tree import PACKAGES, functions, modules

BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
MODULE_LINES_LIMIT = 400
TEST_MODULE_LINES_LIMIT = 700
FUNCTION_LINES_LIMIT = 60


def test_a_module_is_named_after_what_it_holds() -> None:
    found = [
        name
        for name, _ in modules(*PACKAGES, "tests")
        if BANNED_NAMES & {part.strip("_") for part in PurePosixPath(name).with_suffix("").parts}
    ]
    assert found == []


def test_a_module_holds_one_concept_and_so_is_short() -> None:
    found = {
        name: lines
        for name, text in modules(*PACKAGES)
        if (lines := len(text.splitlines())) > MODULE_LINES_LIMIT
    }
    assert found == {}


def test_a_test_module_is_short_enough_to_read() -> None:
    found = {
        name: lines
        for name, text in modules("tests")
        if (lines := len(text.splitlines())) > TEST_MODULE_LINES_LIMIT
    }
    assert found == {}


def test_a_function_fits_on_a_screen() -> None:
    found = {
        f"{name}:{line} {function}": length
        for name, text in modules(*PACKAGES)
        for function, line, length in functions(text)
        if length >= FUNCTION_LINES_LIMIT
    }
    assert found == {}


def test_the_tree_is_seen_at_all() -> None:
    names = {name for name, _ in modules(*PACKAGES)}
    assert {"mesh/__init__.py", "protocols/machine.py", "simulations/__init__.py"} <= names
