"""The idiom reviewer: is it one of the known ways in which such a finding is harmless?

It knows habits of good Python that tools trip over, and rejects what is one of
them. Everything else it confirms.
"""

import ast
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from mesh.demo.analysers import NotParsed
from mesh.demo.findings import Finding, Verdict
from mesh.demo.review.place import (
    FunctionNode,
    Place,
    dotted,
    is_constant,
    keyword,
    look,
    names_in,
    not_seen,
    verdict,
)
from mesh.demo.sources import Unreadable

NAME = "idiom"
FLAT = 3
"""Branches nested no deeper than this read well, however many there are."""

_WAIVER = re.compile(r"#\s*(nosec|noqa|nosemgrep)\b", re.IGNORECASE)
_SECRET = re.compile(r"token|secret|passw|nonce|salt|session|credential|\bkey", re.IGNORECASE)
_NARROW = frozenset({
    "AttributeError", "FileNotFoundError", "ImportError", "IndexError", "KeyError",
    "KeyboardInterrupt", "ModuleNotFoundError", "NotImplementedError", "OSError",
    "PermissionError", "StopIteration", "TypeError", "UnicodeError", "ValueError", "error",
})  # fmt: skip


def review_idiom(root: Path, finding: Finding) -> Verdict:
    """Rejects what is a known harmless idiom."""
    try:
        place = look(root, finding)
    except (Unreadable, NotParsed) as error:
        return not_seen(finding, NAME, error)
    if waiver := _WAIVER.search(place.source):
        return verdict(finding, NAME, False, f"its author waived it: {waiver.group()}")
    harmless = _known(finding)(finding, place)
    return verdict(finding, NAME, not harmless, harmless or "no idiom makes this harmless")


Idiom = Callable[[Finding, Place], str]
"""Why a finding is harmless, or ""."""


def _known(finding: Finding) -> Idiom:
    number = finding.kind.removeprefix("security-")
    if number.startswith("4"):
        return _import
    return _IDIOMS.get(finding.kind, lambda _finding, _place: "")


def _import(finding: Finding, place: Place) -> str:
    """An import does nothing by itself; the use has a finding of its own."""
    if place.of_type(ast.Import, ast.ImportFrom):
        return "importing is not using; each use has a finding of its own"
    return ""


def _assertion(finding: Finding, place: Place) -> str:
    for node in place.of_type(ast.Assert):
        test = node.test if isinstance(node, ast.Assert) else node
        if isinstance(test, ast.Compare) and any(isinstance(op, ast.IsNot) for op in test.ops):
            return "it tells the type checker that a value is not None"
        if isinstance(test, ast.Call) and dotted(test.func) in ("isinstance", "callable"):
            return "it tells the type checker a type"
        if isinstance(test, ast.Constant) and not test.value:
            return "it marks a branch that cannot be reached"
    return ""


def _handler(finding: Finding, place: Place) -> str:
    for node in place.of_type(ast.ExceptHandler):
        if not isinstance(node, ast.ExceptHandler):
            continue
        if any(isinstance(each, ast.Raise) for each in ast.walk(node)):
            return "the handler raises again"
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        words = [dotted(each).rpartition(".")[2] for each in caught if each is not None]
        if words and all(word in _NARROW for word in words):
            return f"it asks forgiveness for {', '.join(words)} only"
    return ""


def _digest(finding: Finding, place: Place) -> str:
    for call in place.calls(finding):
        used = keyword(call, "usedforsecurity")
        if isinstance(used, ast.Constant) and used.value is False:
            return "usedforsecurity=False says that it is a checksum"
    return ""


def _process(finding: Finding, place: Place) -> str:
    for call in place.calls(finding):
        if call.args and is_constant(call.args[0]):
            return "the command is constant"
        shell = keyword(call, "shell")
        is_list = bool(call.args) and isinstance(call.args[0], ast.List | ast.Tuple)
        if is_list and shell is None:
            return "a list of arguments goes to no shell"
    return ""


def _random(finding: Finding, place: Place) -> str:
    function = place.function()
    name = function.name if function else ""
    if _SECRET.search(name) or _SECRET.search(place.source):
        return ""
    return "nothing nearby speaks of secrets, so it need not be unpredictable"


def _literal(finding: Finding, place: Place) -> str:
    quoted = re.search(r"'(.*)'", finding.message)
    text = quoted.group(1) if quoted else ""
    if not text.strip():
        return "the text is empty"
    if text[-1] in ":? " or " " in text or "{" in text or "%" in text:
        return "the text is a prompt or a template, not a password"
    if text.lower() == text and text.replace("_", "").replace("-", "").isalpha() and len(text) < 16:
        return "the text is a word, such as the name of a field"
    return ""


def _temporary(finding: Finding, place: Place) -> str:
    paths = [
        node
        for node in place.of_type(ast.Constant)
        if isinstance(node, ast.Constant) and str(node.value).startswith("/")
    ]
    for node in (holder for path in paths for holder in place.chain(path)):
        if isinstance(node, ast.List | ast.Tuple) and len(node.elts) > 1:
            return "one of several folders to try"
        if isinstance(node, ast.Call) and dotted(node.func).endswith((".get", "getenv")):
            return "only a default, which the environment overrides"
        if isinstance(node, ast.Compare):
            return "it is compared with, not opened"
        if isinstance(node, ast.stmt):
            break
    return ""


def _url(finding: Finding, place: Place) -> str:
    for call in place.calls(finding):
        if call.args and isinstance(call.args[0], ast.Constant):
            value = call.args[0].value
            if isinstance(value, str) and value.startswith(("https://", "http://")):
                return "the address is constant, and not a file's"
    return ""


def _unused_import(finding: Finding, place: Place) -> str:
    if PurePosixPath(finding.path).name == "__init__.py":
        return "a package re-exports what it imports"
    for node in place.around():
        if isinstance(node, ast.Try):
            return "importing it is the test whether it is there"
    return ""


def _unknown_name(finding: Finding, place: Place) -> str:
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
           for node in ast.walk(place.tree.module)):  # fmt: skip
        return "the name may come from an `import *`"
    for node in place.around():
        if isinstance(node, ast.Try) and any(
            handler.type is not None and "NameError" in names_in(handler.type)
            for handler in node.handlers
        ):
            return "the code expects a NameError"
    return ""


def _complexity(finding: Finding, place: Place) -> str:
    functions = [node for node in place.nodes if isinstance(node, FunctionNode)]
    if not functions:
        return ""
    deepest = _depth(functions[0])
    if deepest <= FLAT:
        return f"its branches are nested {deepest} deep: long, but flat"
    return ""


def _depth(node: ast.AST) -> int:
    """How deep blocks are nested; an `elif` is as deep as its `if`."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        below = _depth(child)
        is_elif = isinstance(node, ast.If) and node.orelse == [child]
        nests = isinstance(child, ast.If | ast.For | ast.While | ast.Try | ast.With | ast.Match)
        deepest = max(deepest, below + (nests and not (is_elif and isinstance(child, ast.If))))
    return deepest


_IDIOMS: dict[str, Idiom] = {
    "security-101": _assertion,
    "security-105": _literal, "security-106": _literal, "security-107": _literal,
    "security-108": _temporary,
    "security-110": _handler, "security-112": _handler, "lint-E722": _handler,
    "security-303": _digest, "security-324": _digest,
    "security-602": _process, "security-603": _process, "security-604": _process,
    "security-605": _process, "security-606": _process, "security-607": _process,
    "security-310": _url,
    "security-311": _random,
    "lint-F401": _unused_import,
    "lint-F821": _unknown_name,
    "complexity": _complexity,
}  # fmt: skip
