"""The three analysers: security (bandit), complexity (radon) and lint (ruff).

Each is a plain function of (root, path) and never raises for what a file
holds: a file that cannot be read or parsed gives a note. The agents and
`--verify` call the very same functions. The libraries come with the extra
`demo` and are imported on first use: whoever only drives the audit pays for none.
"""

import ast
import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from mesh.demo.findings import Finding, Note, Scan, order
from mesh.demo.sources import Unreadable, read_text

COMPLEXITY_FLOOR = 20
"""Functions are reported above this cyclomatic complexity: radon's ranks D, E and F."""
MAINTAINABILITY_FLOOR = 9.0
"""Files are reported at or below this maintainability index: radon's rank C."""
LINT_RULES = "E9,E722,F,B,PLE,S,C901"
"""Errors, likely bugs, security and complexity: nothing about style."""
LINT_TIMEOUT_S = 60
NEWEST_LINT_TARGET = 14
"""The newest Python 3 minor version that every supported ruff knows."""

_LINT_SEVERITIES = {
    "invalid-syntax": "high", "F7": "high", "F63": "medium", "F50": "medium", "F52": "medium",
    "F821": "medium", "F811": "medium", "PLE": "medium", "B006": "medium",
    "B012": "medium", "B023": "medium", "E9": "high",
}  # fmt: skip
"""Severity by the longest prefix of a rule; everything else is low."""


class NotParsed(Exception):
    """A file is not valid Python; the message says where."""


def scan_security(root: Path, path: str) -> Scan:
    """Bandit's findings in one file. Lines marked ``# nosec`` are left out, as bandit does."""
    return _guarded(root, path, "security", _bandit)


def scan_complexity(root: Path, path: str) -> Scan:
    """Radon's: functions that branch too much, files that are hard to maintain."""
    return _guarded(root, path, "complexity", _radon)


def scan_lint(root: Path, path: str) -> Scan:
    """Ruff's: syntax errors, undefined names and likely bugs."""
    return _guarded(root, path, "lint", _ruff)


ANALYSERS: dict[str, Callable[[Path, str], Scan]] = {
    "security": scan_security,
    "complexity": scan_complexity,
    "lint": scan_lint,
}


def _guarded(
    root: Path, path: str, analyser: str, scan: Callable[[Path, str, str], list[Finding]]
) -> Scan:
    """Turns what a file may do wrong into a note."""
    try:
        findings = scan(root, path, read_text(root, path))
    except (Unreadable, NotParsed) as error:
        return Scan(path=path, analyser=analyser, notes=[_note(path, analyser, str(error))])
    except RecursionError:
        return Scan(path=path, analyser=analyser, notes=[_note(path, analyser, "nested too deep")])
    unique = {order(finding): finding for finding in findings}
    return Scan(path=path, analyser=analyser, findings=[unique[key] for key in sorted(unique)])


def _note(path: str, analyser: str, text: str) -> Note:
    return Note(path=path, analyser=analyser, text=text)


PARSER = threading.Lock()
"""CPython 3.11 keeps its parser's recursion depth in one place for all threads: two at
once fail with a SystemError now and then. Nor would they be any faster."""


def parse(text: str) -> ast.Module:
    """A syntax tree, without the warnings that compiling old code brings.

    Raises:
        NotParsed: the text is not Python.
    """
    try:
        with PARSER, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        raise NotParsed(f"syntax error at line {error.lineno or 0}: {error.msg}") from None
    except ValueError as error:  # NUL bytes, in Python 3.11
        raise NotParsed(f"not Python: {error}") from None


FIRST_USE = threading.Lock()
"""Held while an analyser's library is got ready: its handlers run in several threads, and what
`sysconfig` has half filled in is None to the second that asks."""


# Security.


@cache
def _bandit_config() -> Any:
    """Bandit's configuration; loading its plugins takes a third of a second, once."""
    logging.getLogger("bandit").setLevel(logging.CRITICAL)
    with FIRST_USE, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its plugin loader is behind its own deprecations
        return import_module("bandit.core.config").BanditConfig()


def _bandit(root: Path, path: str, text: str) -> list[Finding]:
    config = _bandit_config()
    parse(text)  # bandit skips what it cannot parse; this says why
    file = (root.parent if root.is_file() else root) / path
    manager = import_module("bandit.core.manager").BanditManager(config, "file", quiet=True)
    manager.files_list = [str(file)]
    with PARSER, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        manager.run_tests()
    if manager.skipped:
        raise Unreadable(str(manager.skipped[0][1]))
    return [
        Finding(
            path=path,
            line=max(1, issue.lineno),
            column=issue.col_offset + 1,
            tool="bandit",
            rule=issue.test_id,
            kind=f"security-{issue.test_id[1:]}",
            severity=_severity(issue.severity),
            confidence=_severity(issue.confidence),
            message=_one_line(issue.text).replace(str(file), path),
        )
        for issue in manager.get_issue_list()
    ]


def _severity(word: str) -> str:
    return {"HIGH": "high", "MEDIUM": "medium"}.get(word, "low")


def _one_line(text: str) -> str:
    return " ".join(text.split())


# Complexity.


def _radon(root: Path, path: str, text: str) -> list[Finding]:
    tree = parse(text)
    cc_rank = import_module("radon.complexity").cc_rank
    visitor = import_module("radon.visitors").ComplexityVisitor.from_ast(tree)
    findings = [
        Finding(
            path=path,
            line=function.lineno,
            column=function.col_offset + 1,
            tool="radon",
            rule=f"CC-{cc_rank(function.complexity)}",
            kind="complexity",
            severity={"D": "low", "E": "medium", "F": "high"}[cc_rank(function.complexity)],
            confidence="high",
            message=f"{function.fullname} has a cyclomatic complexity of {function.complexity}",
        )
        for function in _functions(visitor)
        if function.complexity > COMPLEXITY_FLOOR
    ]
    index = _maintainability(tree, text, visitor.total_complexity)
    if index <= MAINTAINABILITY_FLOOR:
        findings.append(
            Finding(
                path=path,
                line=1,
                column=1,
                tool="radon",
                rule="MI-C",
                kind="maintainability",
                severity="low",
                confidence="medium",
                message=f"the file's maintainability index is {index:.1f} of 100",
            )
        )
    return findings


def _functions(visitor: Any) -> Iterator[Any]:
    """Functions and methods, those of inner classes included."""
    yield from visitor.functions
    classes = list(visitor.classes)
    while classes:
        each = classes.pop()
        yield from each.methods
        classes.extend(each.inner_classes)


def _maintainability(tree: ast.Module, text: str, complexity: int) -> float:
    """Radon's index from its own Halstead volume and complexity.

    Statements and comment lines are counted here: radon's counter is quadratic in
    the length of a statement, and takes minutes over the tables of `html.entities`.
    """
    metrics = import_module("radon.metrics")
    statements = sum(isinstance(node, ast.stmt) for node in ast.walk(tree))
    lines = [line.strip() for line in text.splitlines()]
    comments = sum(line.startswith("#") for line in lines)
    code = sum(bool(line) for line in lines) - comments
    volume = metrics.h_visit_ast(tree).total.volume
    share = 100.0 * comments / code if code else 0.0
    return float(metrics.mi_compute(volume, complexity, statements, share))


# Lint.


@cache
def _ruff_command() -> list[str]:
    minor = min(sys.version_info.minor, NEWEST_LINT_TARGET)
    with FIRST_USE:
        ruff = import_module("ruff.__main__").find_ruff_bin()
    return [
        ruff, "check",
        "--isolated", "--no-cache", "--quiet", "--exit-zero",
        "--select", LINT_RULES, "--target-version", f"py3{minor}",
        "--config", f"lint.mccabe.max-complexity={COMPLEXITY_FLOOR}",
        "--output-format", "json",
    ]  # fmt: skip


def _ruff(root: Path, path: str, text: str) -> list[Finding]:
    command = [*_ruff_command(), "--stdin-filename", path, "-"]
    done = subprocess.run(
        command, input=text.encode(), capture_output=True, timeout=LINT_TIMEOUT_S, check=False
    )
    if done.returncode:
        raise Unreadable(f"ruff: {_one_line(done.stderr.decode(errors='replace'))[:200]}")
    return [_lint_finding(path, entry) for entry in json.loads(done.stdout)]


def _lint_finding(path: str, entry: dict[str, Any]) -> Finding:
    rule = entry["code"] or "invalid-syntax"
    return Finding(
        path=path,
        line=entry["location"]["row"],
        column=entry["location"]["column"],
        tool="ruff",
        rule=rule,
        kind=_lint_kind(rule),
        severity=_lint_severity(rule),
        confidence="high" if rule == "invalid-syntax" else "medium",
        message=_one_line(entry["message"]),
    )


def _lint_kind(rule: str) -> str:
    """Ruff's S rules carry bandit's numbers, and C901 measures what radon measures."""
    if rule == "C901":
        return "complexity"
    if rule[0] == "S" and rule[1:].isdigit():
        return f"security-{rule[1:]}"
    return f"lint-{rule}"


def _lint_severity(rule: str) -> str:
    for length in range(len(rule), 0, -1):
        if rule[:length] in _LINT_SEVERITIES:
            return _LINT_SEVERITIES[rule[:length]]
    return "low"
