"""The exposure reviewer: may strangers reach it?

A problem matters more where callers that the author does not know come by: in
the public interface, with their values flowing in. The flow is followed within
one function: from parameters, attributes of `self` and the outside world, over
assignments, into the arguments of the call.
"""

import ast
from pathlib import Path, PurePosixPath

from mesh.demo.analysers import NotParsed
from mesh.demo.findings import Finding, Verdict
from mesh.demo.review.place import (
    FunctionNode,
    Place,
    dotted,
    look,
    names_in,
    not_seen,
    verdict,
)
from mesh.demo.sources import Unreadable

NAME = "exposure"
OUTSIDE = ("sys.argv", "os.environ", "os.getenv", "input", "sys.stdin")
"""Where values come in that the program did not make."""
_OWN_TOOLS = frozenset({"demo", "demos", "example", "examples", "scripts", "tools", "turtledemo"})


def review_exposure(root: Path, finding: Finding) -> Verdict:
    """Confirms where public code is touched and, for a call, where outside values flow in."""
    try:
        place = look(root, finding)
    except (Unreadable, NotParsed) as error:
        return not_seen(finding, NAME, error)
    if private := _why_private(finding, place):
        return verdict(finding, NAME, False, private)
    if finding.kind.startswith("security-4") and place.of_type(ast.Import, ast.ImportFrom):
        return _import(finding, place)
    if finding.kind.startswith("security-") and place.calls(finding):
        return _flow(finding, place)
    function = place.function()
    where = f"{function.name}() is public" if function else "module code runs for all who import it"
    return verdict(finding, NAME, True, where)


def _why_private(finding: Finding, place: Place) -> str:
    """Why only the author's own code gets here, or ""."""
    path = PurePosixPath(finding.path)
    for part in path.with_suffix("").parts:
        if part.startswith("_") and not part.startswith("__"):
            return f"the module {part} is private"
        if part in _OWN_TOOLS:
            return f"the folder {part} is for people who try things, not for callers"
    inner: ast.AST | None = None
    for node in place.around():
        if isinstance(node, FunctionNode | ast.ClassDef) and _is_private(node.name):
            return f"{node.name} is private"
        if isinstance(node, ast.If) and inner in node.body and "__name__" in names_in(node.test):
            return 'it is under `if __name__ == "__main__"`, where only its owner runs it'
        inner = node
    return ""


def _is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def _flow(finding: Finding, place: Place) -> Verdict:
    """Whether a value from outside reaches an argument of the call."""
    call = place.calls(finding)[0]
    arguments: list[ast.AST] = [*call.args, *(each.value for each in call.keywords)]
    if isinstance(call.func, ast.Attribute):
        arguments.append(call.func.value)
    for argument in arguments:
        for node in ast.walk(argument):
            if dotted(node) in OUTSIDE:
                return verdict(finding, NAME, True, f"{dotted(node)} flows into the call")
    function = place.function()
    if function is None:
        return verdict(finding, NAME, False, "module code, and nothing from outside flows in")
    tainted = _tainted(function)
    for argument in arguments:
        for name in names_in(argument):
            if name in tainted:
                how = tainted[name]
                return verdict(
                    finding, NAME, True, f"{how} of public {function.name}() flows into the call"
                )
    return verdict(
        finding, NAME, False, f"nothing that callers of {function.name}() give flows into the call"
    )


def _tainted(function: FunctionNode) -> dict[str, str]:
    """Names that hold callers' values, with a word on how."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    tainted = {each.arg: f"parameter {each.arg}" for each in named}
    for extra in (arguments.vararg, arguments.kwarg):
        if extra is not None:
            tainted[extra.arg] = f"parameter {extra.arg}"
    if named and named[0].arg in ("self", "cls"):
        tainted[named[0].arg] = f"state of {named[0].arg}"
    assignments = sorted(
        (node for node in ast.walk(function) if isinstance(node, ast.Assign | ast.For)),
        key=lambda node: node.lineno,
    )
    for node in assignments:
        value = node.iter if isinstance(node, ast.For) else node.value
        source = next((tainted[name] for name in names_in(value) if name in tainted), None)
        if source is None:
            continue
        targets = [node.target] if isinstance(node, ast.For) else node.targets
        for target in targets:
            for name in names_in(target):
                tainted.setdefault(name, source)
    return tainted


def _import(finding: Finding, place: Place) -> Verdict:
    """Whether what was imported is used in a public function."""
    imported = [
        (alias.asname or alias.name).partition(".")[0]
        for node in place.of_type(ast.Import, ast.ImportFrom)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    for function in ast.walk(place.tree.module):
        if not isinstance(function, FunctionNode) or _is_private(function.name):
            continue
        used = next((name for name in names_in(function) if name in imported), None)
        if used is not None:
            return verdict(finding, NAME, True, f"public {function.name}() uses {used}")
    return verdict(finding, NAME, False, "no public function uses what is imported here")
