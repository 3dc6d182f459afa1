"""The code around a finding, as reviewers look at it: parents, scopes, the nodes of a line."""

import ast
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mesh.demo.analysers import NotParsed, parse
from mesh.demo.findings import Finding, Verdict
from mesh.demo.sources import Unreadable, folder_of, read_text

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
FILES_KEPT = 8
"""Parsed files that a reviewer keeps, as findings of one file come close together."""


class Tree(NamedTuple):
    """A parsed file, walked once.

    Attributes:
        module: its syntax tree.
        parents: leads from a node to the one that holds it.
        nodes: those that begin on a line, by its number, from the outside in.
        lines: its text.
    """

    module: ast.Module
    parents: dict[ast.AST, ast.AST]
    nodes: dict[int, list[ast.AST]]
    lines: list[str]


class Place(NamedTuple):
    """Where a finding is: its file, and the nodes that begin on its line."""

    tree: Tree
    line: int
    nodes: list[ast.AST]

    @property
    def source(self) -> str:
        """The text of the line."""
        lines = self.tree.lines
        return lines[self.line - 1] if 0 < self.line <= len(lines) else ""

    def chain(self, node: ast.AST) -> Iterator[ast.AST]:
        """What holds a node, from the inside out, the node itself first."""
        current: ast.AST | None = node
        while current is not None:
            yield current
            current = self.tree.parents.get(current)

    def around(self) -> Iterator[ast.AST]:
        """What holds the line, from the inside out."""
        if self.nodes:
            yield from self.chain(self.nodes[0])

    def function(self) -> FunctionNode | None:
        """The innermost function that holds the line, or begins on it."""
        for node in self.around():
            if isinstance(node, FunctionNode):
                return node
        return None

    def calls(self, finding: Finding) -> list[ast.Call]:
        """The calls on the line, the one that the finding is about first.

        Of ``hashlib.md5(x).hexdigest()`` that is the inner one. Where no call begins
        on the line, the one that the line is part of.
        """
        here = [node for node in self.nodes if isinstance(node, ast.Call)]
        if not here:
            return [node for node in self.around() if isinstance(node, ast.Call)][:1]
        column = finding.column - 1
        first = next((call for call in here if call.col_offset == column), here[0])
        while isinstance(first.func, ast.Attribute) and isinstance(first.func.value, ast.Call):
            first = first.func.value
        return [first, *(call for call in here if call is not first)]

    def of_type(self, *types: type[ast.AST]) -> list[ast.AST]:
        """The nodes of these types that begin on the line."""
        return [node for node in self.nodes if isinstance(node, types)]


@lru_cache(maxsize=FILES_KEPT)
def _tree(root: Path, path: str, stamp: tuple[int, int]) -> Tree:
    """A parsed file. `stamp` makes a changed file another one."""
    text = read_text(root, path)
    module = parse(text)
    parents: dict[ast.AST, ast.AST] = {}
    nodes: dict[int, list[ast.AST]] = {}
    waiting: deque[ast.AST] = deque([module])
    while waiting:  # in the order of ast.walk, which looks at the children of each node once more
        node = waiting.popleft()
        if isinstance(line := getattr(node, "lineno", None), int):
            nodes.setdefault(line, []).append(node)
        for child in ast.iter_child_nodes(node):
            parents[child] = node
            waiting.append(child)
    return Tree(module, parents, nodes, text.split("\n"))


def _stamp(root: Path, path: str) -> tuple[int, int]:
    try:
        status = (folder_of(root) / path).stat()
    except OSError as error:
        raise Unreadable(error.strerror or type(error).__name__) from None
    return status.st_mtime_ns, status.st_size


def look(root: Path, finding: Finding) -> Place:
    """The place of a finding.

    Raises:
        Unreadable: the file cannot be had as text.
        NotParsed: it is not Python.
    """
    tree = _tree(root, finding.path, _stamp(root, finding.path))
    return Place(tree, finding.line, tree.nodes.get(finding.line, []))


def dotted(node: ast.AST) -> str:
    """``a.b.c`` as it is written, "" for anything that is not a dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else node.attr
    return ""


def is_constant(node: ast.AST) -> bool:
    """Whether an expression is made of literals alone."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return all(is_constant(each) for each in node.elts)
    return False


def names_in(node: ast.AST) -> list[str]:
    """The plain names that an expression reads, in the order of the tree."""
    return [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """The value of a call's keyword argument."""
    return next((each.value for each in call.keywords if each.arg == name), None)


def verdict(finding: Finding, reviewer: str, confirm: bool, reason: str) -> Verdict:
    """One vote."""
    return Verdict(finding=finding.key, reviewer=reviewer, confirm=confirm, reason=reason)


def not_seen(finding: Finding, reviewer: str, error: Unreadable | NotParsed) -> Verdict:
    """The vote on a finding in a file that has no syntax tree."""
    is_about_syntax = finding.rule == "invalid-syntax" and isinstance(error, NotParsed)
    return verdict(finding, reviewer, is_about_syntax, f"the file has no syntax tree: {error}")
