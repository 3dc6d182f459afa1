from pathlib import Path

import pytest

from mesh.demo.analysers import ANALYSERS
from mesh.demo.findings import Finding, Verdict
from mesh.demo.review import REVIEWERS
from mesh.demo.review.evidence import review_evidence
from mesh.demo.review.exposure import review_exposure
from mesh.demo.review.idiom import review_idiom
from tests.demo.trees import BRANCHY, finding, sample


def about(rule: str, line: int, path: str = "a.py", message: str = "") -> Finding:
    kind = "complexity" if rule.startswith("CC") else ""
    if rule[0] == "F" or rule == "E722":
        kind = f"lint-{rule}"
    return finding(path, line, rule=rule, kind=kind, message=message or "it is bad")


def test_each_vote_names_its_finding_and_its_reviewer(tmp_path: Path) -> None:
    root = sample(tmp_path, "assert x\n")
    for name, review in REVIEWERS.items():
        verdict = review(root, about("B101", 1))
        assert (verdict.reviewer, verdict.finding) == (name, about("B101", 1).key)
        assert verdict.reason


# Evidence.


@pytest.mark.parametrize(
    ("rule", "line", "code"),
    [
        ("B101", 2, "def f(x):\n    assert x\n"),
        ("B602", 1, "call(c, shell=True)\n"),
        ("B602", 2, "call(\n    c, shell=True)\n"),
        ("B110", 3, "try:\n    f()\nexcept Exception:\n    pass\n"),
        ("B324", 1, "hashlib.md5(x).hexdigest()\n"),
        ("B404", 1, "import subprocess\n"),
        ("B105", 1, "password = 'x'\n"),
        ("F401", 1, "import os\n"),
        ("CC-F", 1, BRANCHY),
    ],
)
def test_evidence_confirms_what_is_there(tmp_path: Path, rule: str, line: int, code: str) -> None:
    assert review_evidence(sample(tmp_path, code), about(rule, line)).confirm


@pytest.mark.parametrize(
    ("rule", "line", "code", "reason"),
    [
        ("B101", 1, "x = 1\n", "not on this line"),
        ("B101", 9, "assert x\n", "no code begins"),
        ("B602", 1, "call(c, shell=False)\n", "shell set"),
        ("B602", 1, "'''call(c, shell=True)'''\n", "not on this line"),
        ("B324", 1, "x = md5\n", "not on this line"),
        ("B404", 3, "if TYPE_CHECKING:\n    pass\n    import subprocess\n", "TYPE_CHECKING"),
        ("B101", 2, "if 0:\n    assert x\n", "never runs"),
        ("B101", 3, "def f():\n    return 1\n    assert x\n", "leaves its block"),
        ("CC-F", 1, "def f(): pass\n", "0 decisions"),
        ("CC-F", 1, "x = 1\n", "no function"),
    ],
)
def test_evidence_rejects_what_is_not(
    tmp_path: Path, rule: str, line: int, code: str, reason: str
) -> None:
    verdict = review_evidence(sample(tmp_path, code), about(rule, line))
    assert not verdict.confirm
    assert reason in verdict.reason


def test_the_other_branch_of_type_checking_runs(tmp_path: Path) -> None:
    code = "if TYPE_CHECKING:\n    pass\nelse:\n    import subprocess\n"
    assert review_evidence(sample(tmp_path, code), about("B404", 4)).confirm


# Exposure.


@pytest.mark.parametrize(
    ("line", "code", "reason"),
    [
        (2, "def run(command):\n    call(command, shell=True)\n", "parameter command"),
        (3, "def run(c):\n    full = 'ls ' + c\n    call(full, shell=True)\n", "parameter c"),
        (3, "def run(cs):\n    for c in cs:\n        call(c, shell=True)\n", "parameter cs"),
        (3, "class A:\n    def run(self):\n        call(self.c, shell=True)\n", "state of self"),
        (1, "call(sys.argv[1], shell=True)\n", "sys.argv"),
        (2, "def run(*cs):\n    call(cs[0], shell=True)\n", "parameter cs"),
    ],
)
def test_exposure_confirms_where_outside_values_flow_in(
    tmp_path: Path, line: int, code: str, reason: str
) -> None:
    verdict = review_exposure(sample(tmp_path, code), about("B602", line))
    assert verdict.confirm
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("path", "line", "code", "reason"),
    [
        ("a.py", 2, "def run(c):\n    call('ls', shell=True)\n", "nothing that callers"),
        ("a.py", 2, "def _run(c):\n    call(c, shell=True)\n", "_run is private"),
        ("a.py", 3, "class _A:\n    def run(self):\n        call(self.c)\n", "_A is private"),
        ("_a.py", 2, "def run(c):\n    call(c, shell=True)\n", "module _a is private"),
        ("demo/a.py", 2, "def run(c):\n    call(c, shell=True)\n", "folder demo"),
        ("a.py", 2, "if __name__ == '__main__':\n    call(sys.argv[1])\n", "__main__"),
        ("a.py", 1, "call('ls', shell=True)\n", "nothing from outside"),
    ],
)
def test_exposure_rejects_where_they_do_not(
    tmp_path: Path, path: str, line: int, code: str, reason: str
) -> None:
    verdict = review_exposure(sample(tmp_path, code, path), about("B602", line, path))
    assert not verdict.confirm
    assert reason in verdict.reason


def test_an_import_is_exposed_by_its_use_in_a_public_function(tmp_path: Path) -> None:
    used = sample(tmp_path, "import pickle\ndef load(x):\n    return pickle.loads(x)\n", "u.py")
    assert review_exposure(used, about("B403", 1, "u.py")).confirm
    hidden = sample(tmp_path, "import pickle\ndef _load(x):\n    return pickle.loads(x)\n", "h.py")
    assert not review_exposure(hidden, about("B403", 1, "h.py")).confirm


def test_complex_public_functions_are_exposed(tmp_path: Path) -> None:
    assert review_exposure(sample(tmp_path, BRANCHY), about("CC-F", 1)).confirm
    private = sample(tmp_path, BRANCHY.replace("choose", "_choose"), "p.py")
    assert not review_exposure(private, about("CC-F", 1, "p.py")).confirm


# Idiom.


@pytest.mark.parametrize(
    ("rule", "line", "code", "reason"),
    [
        ("B324", 1, "md5(x, usedforsecurity=False)\n", "checksum"),
        ("B602", 1, "call('ls', shell=True)\n", "constant"),
        ("B603", 1, "call(['ls', name])\n", "no shell"),
        ("B603", 1, "call(['ls', '-l'])\n", "constant"),
        ("B101", 1, "assert x is not None\n", "not None"),
        ("B101", 1, "assert isinstance(x, int)\n", "a type"),
        ("B101", 1, "assert False\n", "cannot be reached"),
        ("B110", 3, "try:\n    f()\nexcept (KeyError, os.error):\n    pass\n", "forgiveness"),
        ("E722", 3, "try:\n    f()\nexcept:\n    raise\n", "raises again"),
        ("B404", 1, "import subprocess\n", "importing is not using"),
        ("B108", 1, "tries = ['/tmp', '/var/tmp']\n", "several folders"),
        ("B108", 1, "d = os.environ.get('T', '/tmp')\n", "environment"),
        ("B310", 1, "urlopen('https://example.org')\n", "address is constant"),
        ("B311", 1, "delay = random.random()\n", "secrets"),
        ("F401", 2, "try:\n    import a\nexcept ImportError:\n    pass\n", "the test whether"),
        ("F821", 2, "from a import *\nb()\n", "import *"),
        ("F821", 2, "try:\n    unicode\nexcept NameError:\n    pass\n", "expects a NameError"),
        ("CC-F", 1, BRANCHY, "flat"),
        ("B602", 1, "call(x, shell=True)  # noqa: S602\n", "waived"),
    ],
)
def test_idiom_rejects_what_is_known_to_be_harmless(
    tmp_path: Path, rule: str, line: int, code: str, reason: str
) -> None:
    verdict = review_idiom(sample(tmp_path, code), about(rule, line))
    assert not verdict.confirm
    assert reason in verdict.reason


NESTED = "def f(x):\n" + "".join(f"{'    ' * n}if x > {n}:\n" for n in range(1, 6))
NESTED += "    " * 6 + "return x\n"


@pytest.mark.parametrize(
    ("rule", "line", "code"),
    [
        ("B324", 1, "md5(x)\n"),
        ("B602", 1, "call(x, shell=True)\n"),
        ("B603", 1, "call(x)\n"),
        ("B101", 1, "assert x > 1\n"),
        ("B110", 3, "try:\n    f()\nexcept Exception:\n    pass\n"),
        ("E722", 3, "try:\n    f()\nexcept:\n    pass\n"),
        ("B108", 1, "d = '/tmp/x'\n"),
        ("B310", 1, "urlopen(address)\n"),
        ("B311", 1, "token = random.random()\n"),
        ("F401", 1, "import os\n"),
        ("F821", 1, "b()\n"),
        ("CC-F", 1, NESTED),
        ("B301", 1, "pickle.loads(x)\n"),
    ],
)
def test_idiom_confirms_the_rest(tmp_path: Path, rule: str, line: int, code: str) -> None:
    assert review_idiom(sample(tmp_path, code), about(rule, line)).confirm


@pytest.mark.parametrize(
    ("text", "confirm"),
    [("", False), ("password", False), ("Password: ", False), ("%s:%s", False), ("Hunter2!", True)],
)
def test_idiom_knows_prompts_from_passwords(tmp_path: Path, text: str, confirm: bool) -> None:
    root = sample(tmp_path, f"password = {text!r}\n")
    message = f"Possible hardcoded password: '{text}'"
    assert review_idiom(root, about("B105", 1, message=message)).confirm is confirm


# All of them.


@pytest.mark.parametrize("review", REVIEWERS.values())
def test_a_syntax_error_is_confirmed_and_any_other_finding_in_such_a_file_is_not(
    tmp_path: Path, review: object
) -> None:
    assert callable(review)
    root = sample(tmp_path, "def broken(:\n")
    syntax = finding(rule="invalid-syntax", kind="lint-invalid-syntax", tool="ruff")
    confirmed: Verdict = review(root, syntax)
    assert confirmed.confirm
    other: Verdict = review(root, finding())
    assert not other.confirm
    gone: Verdict = review(root, finding("gone.py", rule="invalid-syntax"))
    assert not gone.confirm


def test_a_changed_file_is_looked_at_again(tmp_path: Path) -> None:
    root = sample(tmp_path, "assert x\n")
    assert review_evidence(root, about("B101", 1)).confirm
    sample(tmp_path, "x = 1  # and longer\n")
    assert not review_evidence(root, about("B101", 1)).confirm


def test_the_reviewers_can_judge_whatever_the_analysers_find(tmp_path: Path) -> None:
    root = sample(tmp_path, (Path(__file__).parents[2] / "mesh/demo/analysers.py").read_text())
    found = [each for scan in ANALYSERS.values() for each in scan(root, "a.py").findings]
    assert found
    for each in found:
        for review in REVIEWERS.values():
            assert review(root, each).reason
