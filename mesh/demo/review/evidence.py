"""The evidence reviewer: is what the rule names really there, and can it run?

It parses the file itself and believes no tool: the line must hold the
construct that the rule is about, in code that can be reached.
"""

import ast
from pathlib import Path

from mesh.demo.analysers import COMPLEXITY_FLOOR, NotParsed
from mesh.demo.findings import Finding, Verdict
from mesh.demo.review.place import (
    FunctionNode,
    Place,
    dotted,
    keyword,
    look,
    not_seen,
    verdict,
)
from mesh.demo.sources import Unreadable

NAME = "evidence"

_CONSTRUCTS: dict[str, tuple[str, tuple[type[ast.AST], ...]]] = {
    "security-101": ("an assert", (ast.Assert,)),
    "security-104": ("an address", (ast.Constant, ast.JoinedStr)),
    "security-105": ("a literal", (ast.Constant,)),
    "security-106": ("a call", (ast.Call,)),
    "security-107": ("a parameter", (ast.arg, ast.FunctionDef, ast.AsyncFunctionDef)),
    "security-108": ("a path literal", (ast.Constant, ast.JoinedStr)),
    "security-110": ("an exception handler", (ast.ExceptHandler,)),
    "security-112": ("an exception handler", (ast.ExceptHandler,)),
    "security-608": ("a string built into SQL", (ast.Constant, ast.JoinedStr, ast.BinOp)),
    "lint-E722": ("an exception handler", (ast.ExceptHandler,)),
    "lint-F401": ("an import", (ast.Import, ast.ImportFrom, ast.alias)),
    "lint-F811": ("a definition", (ast.stmt, ast.alias)),
    "lint-F821": ("a name", (ast.Name, ast.Constant)),
    "lint-B006": ("a mutable default", (ast.List, ast.Dict, ast.Set, ast.Call, ast.ListComp)),
    "lint-B904": ("a raise", (ast.Raise,)),
}
_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_BRANCHES = (
    ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler,
    ast.comprehension, ast.Assert, ast.match_case,
)  # fmt: skip


def review_evidence(root: Path, finding: Finding) -> Verdict:
    """Confirms where the construct is at its line and can run."""
    try:
        place = look(root, finding)
    except (Unreadable, NotParsed) as error:
        return not_seen(finding, NAME, error)
    if finding.kind == "maintainability":
        return _statements(finding, place)
    if not place.nodes:
        return verdict(finding, NAME, False, "no code begins on this line")
    if dead := _why_dead(place):
        return verdict(finding, NAME, False, dead)
    if finding.kind == "complexity":
        return _branches(finding, place)
    what, present = _construct(finding, place)
    seen = f"{what} is on this line, in code that can run"
    return verdict(finding, NAME, present, seen if present else f"{what} is not on this line")


def _construct(finding: Finding, place: Place) -> tuple[str, bool]:
    """What the rule is about, and whether the line holds it."""
    known = _CONSTRUCTS.get(finding.kind)
    if known:
        return known[0], bool(place.of_type(*known[1]))
    number = finding.kind.removeprefix("security-")
    if finding.kind == "security-602":
        shell = [keyword(call, "shell") for call in place.calls(finding)]
        is_set = any(each is not None and not _is_false(each) for each in shell)
        return "a call with shell set", is_set
    if number.startswith("4"):
        return "an import", bool(place.of_type(ast.Import, ast.ImportFrom, ast.Call))
    if number[:1] in "1356" and number.isdigit():
        calls = place.calls(finding)
        name = next((dotted(call.func) for call in calls if dotted(call.func)), "")
        return f"the call of {name}" if name else "a call", bool(calls)
    is_text = all(isinstance(node, ast.Expr | ast.Constant) for node in place.nodes)
    return "code that is not just text", not is_text


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and not node.value


def _why_dead(place: Place) -> str:
    """Why the line can never run, or ""."""
    inner: ast.AST | None = None
    for node in place.around():
        if isinstance(node, ast.If) and inner is not None and inner in node.body:
            test = dotted(node.test)
            if test in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
                return "it is under `if TYPE_CHECKING`, which never runs"
            if isinstance(node.test, ast.Constant) and not node.test.value:
                return f"it is under `if {node.test.value!r}`, which never runs"
        if inner is not None and _follows_a_leave(node, inner):
            return "it stands after a statement that leaves its block"
        inner = node
    return ""


def _follows_a_leave(holder: ast.AST, inner: ast.AST) -> bool:
    for block in ("body", "orelse", "finalbody"):
        statements = getattr(holder, block, None)
        if isinstance(statements, list) and inner in statements:
            before = statements[: statements.index(inner)]
            return any(isinstance(each, _LEAVES) for each in before)
    return False


def _branches(finding: Finding, place: Place) -> Verdict:
    """Counts decisions itself, without closures, which are functions of their own."""
    functions = [node for node in place.nodes if isinstance(node, FunctionNode)]
    if not functions:
        return verdict(finding, NAME, False, "no function begins on this line")
    decisions = _decisions(functions[0])
    reason = f"counted {decisions} decisions of its own; the line is drawn at {COMPLEXITY_FLOOR}"
    return verdict(finding, NAME, decisions >= COMPLEXITY_FLOOR, reason)


def _decisions(function: FunctionNode) -> int:
    count = 0
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, FunctionNode | ast.ClassDef | ast.Lambda):
            continue
        count += isinstance(node, _BRANCHES)
        if isinstance(node, ast.BoolOp):
            count += len(node.values) - 1
        waiting.extend(ast.iter_child_nodes(node))
    return count


def _statements(finding: Finding, place: Place) -> Verdict:
    statements = sum(isinstance(node, ast.stmt) for node in ast.walk(place.tree.module))
    reason = f"the file holds {statements} statements; 500 and more are hard to keep in mind"
    return verdict(finding, NAME, statements >= 500, reason)
