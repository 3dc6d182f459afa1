import json
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.demo import sources
from mesh.demo.analysers import ANALYSERS, scan_complexity, scan_lint, scan_security
from mesh.demo.findings import canonical, digest
from mesh.demo.planning import plan
from mesh.demo.sources import find_sources, standard_library
from tests.demo.trees import make_tree, sample


def test_bandit_finds_a_shell(tmp_path: Path) -> None:
    scan = scan_security(make_tree(tmp_path), "pkg/shell.py")
    assert [(f.rule, f.line, f.severity) for f in scan.findings] == [
        ("B404", 1, "low"),
        ("B602", 5, "high"),
    ]
    assert scan.notes == []


def test_radon_finds_a_function_with_too_many_branches(tmp_path: Path) -> None:
    (found,) = scan_complexity(make_tree(tmp_path), "pkg/branchy.py").findings
    assert (found.rule, found.line, found.severity) == ("CC-F", 1, "high")
    assert found.message == "choose has a cyclomatic complexity of 46"


def test_methods_are_reported_under_their_class(tmp_path: Path) -> None:
    body = "".join(f"            if x == {n}: pass\n" for n in range(25))
    code = f"class A:\n    class B:\n        def m(self, x):\n{body}"
    (tmp_path / "a.py").write_text(code)
    (found,) = scan_complexity(tmp_path, "a.py").findings
    assert (found.line, found.rule) == (3, "CC-D")


def test_ruff_finds_what_bandit_and_radon_find_too_under_the_same_kind(tmp_path: Path) -> None:
    root = make_tree(tmp_path)
    (shell,) = [f for f in scan_lint(root, "pkg/shell.py").findings if f.rule == "S602"]
    assert (shell.kind, shell.line) == ("security-602", 5)
    (branchy,) = [f for f in scan_lint(root, "pkg/branchy.py").findings if f.rule == "C901"]
    assert (branchy.kind, branchy.line) == ("complexity", 1)


FIRST_USE_BY_MANY = """
import threading
from pathlib import Path
from mesh.demo.analysers import ANALYSERS
ready = threading.Barrier(8)
notes = []
def scan(analyser):
    ready.wait()
    notes.extend(ANALYSERS[analyser](Path("."), "one.py").notes)
threads = [threading.Thread(target=scan, args=(name,)) for name in ("security", "lint") * 4]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(notes)
"""


def test_many_threads_may_be_the_first_to_use_an_analyser(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("import os\n")
    command = [sys.executable, "-c", FIRST_USE_BY_MANY]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_syntax_error_is_one_finding_and_two_notes(tmp_path: Path) -> None:
    root = make_tree(tmp_path)
    lint = scan_lint(root, "broken.py")
    assert {f.rule for f in lint.findings} == {"invalid-syntax"}
    assert lint.findings[0].severity == "high"
    for scan in (scan_security(root, "broken.py"), scan_complexity(root, "broken.py")):
        assert scan.findings == []
        assert scan.notes[0].text == "syntax error at line 1: invalid syntax"


@pytest.mark.parametrize("analyser", sorted(ANALYSERS))
def test_a_file_in_its_declared_encoding_is_read(tmp_path: Path, analyser: str) -> None:
    assert ANALYSERS[analyser](make_tree(tmp_path), "latin.py").notes == []


@pytest.mark.parametrize("analyser", sorted(ANALYSERS))
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("undeclared.py", "encoding"),
        ("absent.py", "No such file"),
        ("../outside.py", "outside the audited tree"),
        ("pkg", "directory"),
        ("unknown.py", "unknown encoding"),
        ("nul.py", ""),
    ],
)
def test_what_cannot_be_read_is_noted(
    tmp_path: Path, analyser: str, name: str, reason: str
) -> None:
    root = make_tree(tmp_path)
    (root / "unknown.py").write_text("# coding: klingon\n")
    (root / "nul.py").write_bytes(b"x = 1\n\0\n")
    scan = ANALYSERS[analyser](root, name)
    texts = [note.text for note in scan.notes] or [f.message for f in scan.findings]
    assert texts
    assert reason.lower() in texts[0].lower()
    assert str(tmp_path) not in texts[0]


def test_a_file_over_the_limit_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "FILE_BYTES_LIMIT", 10)
    scan = scan_lint(make_tree(tmp_path), "pkg/shell.py")
    assert scan.notes[0].text.startswith("longer than")


@pytest.mark.parametrize("analyser", sorted(ANALYSERS))
def test_code_nested_too_deep_is_noted(tmp_path: Path, analyser: str) -> None:
    (tmp_path / "deep.py").write_text("x = " + "-" * 3_000 + "1\n")
    scan = ANALYSERS[analyser](tmp_path, "deep.py")
    assert scan.notes or scan.findings or analyser == "lint"


def test_a_waived_line_is_left_out(tmp_path: Path) -> None:
    root = sample(tmp_path, "import subprocess  # nosec\n")
    assert scan_security(root, "a.py").findings == []


def test_findings_name_no_absolute_path_and_do_not_depend_on_the_place(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        root = make_tree(tmp_path / name)
        found = [
            finding
            for source in find_sources(root)
            for scan in ANALYSERS.values()
            for finding in scan(root, source.path).findings
        ]
        assert str(tmp_path) not in canonical(found).decode()
        assert digest(found) == digest(reversed(found))
        digests.append(digest(found))
    assert digests[0] == digests[1]


def test_canonical_json_is_one_sorted_line_a_finding(tmp_path: Path) -> None:
    found = scan_security(make_tree(tmp_path), "pkg/shell.py").findings
    lines = canonical(reversed(found)).decode().split("\n")
    assert [json.loads(line)["line"] for line in lines] == [1, 5]
    assert list(json.loads(lines[0])) == sorted(json.loads(lines[0]))


def test_tests_caches_and_hidden_folders_are_not_audited(tmp_path: Path) -> None:
    root = make_tree(tmp_path)
    for folder in (".venv", "__pycache__", "env"):
        (root / folder).mkdir()
        (root / folder / "x.py").write_text("x = 1\n")
    (root / "env" / "pyvenv.cfg").write_text("")
    (root / "link.py").symlink_to(root / "latin.py")
    assert [source.path for source in find_sources(root)] == [
        "broken.py",
        "latin.py",
        "pkg/__init__.py",
        "pkg/branchy.py",
        "pkg/shell.py",
        "undeclared.py",
    ]


def test_a_single_file_is_a_tree(tmp_path: Path) -> None:
    root = make_tree(tmp_path) / "pkg" / "shell.py"
    assert [source.path for source in find_sources(root)] == ["shell.py"]
    assert scan_security(root, "shell.py").findings[0].path == "shell.py"


def test_the_standard_library_is_found_without_its_tests() -> None:
    paths = [source.path for source in find_sources(standard_library())]
    assert "tarfile.py" in paths
    assert not [path for path in paths if {"test", "tests"} & set(path.split("/"))]


def test_a_plan_holds_a_unit_per_file_and_analyser_the_longest_first(tmp_path: Path) -> None:
    made = plan(make_tree(tmp_path))
    assert made.found == len(made.files) == 6
    assert len(made.units) == 18
    weights = [unit.weight_us for unit in made.units]
    assert weights == sorted(weights, reverse=True)


def test_a_limit_keeps_the_largest_files(tmp_path: Path) -> None:
    made = plan(make_tree(tmp_path), limit=2)
    assert (made.found, made.files) == (6, ["pkg/branchy.py", "pkg/shell.py"])
