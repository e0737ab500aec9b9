"""Tests stand alone: none imports another test, none reaches into a module of the wizard past its public names.

What several tests share lies in a helper module beside them. A private name may go with any change of its module, and
with it the test that is to say whether the change was right.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRIVATE = re.compile(r"_(?!_)\w+")
PATCHERS = {"setattr", "delattr", "getattr", "hasattr"}


@cache
def trees(top: str) -> dict[str, ast.Module]:
    files = sorted((ROOT / top).rglob("*.py"))
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def private(name: str) -> bool:
    return PRIVATE.fullmatch(name) is not None


@cache
def private_names() -> frozenset[str]:
    """The private names of the wizard: of modules, of classes, and what an object calls its own."""
    found: set[str] = set()
    for node in (node for tree in trees("wizard").values() for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return frozenset(name for name in found if private(name))


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(module, name) of every import; the name is "" where a module is imported whole."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def of_other_tests(tree: ast.Module) -> list[str]:
    """What it imports from modules that are tests."""
    return [f"{module}.{name}" for module, name in imports(tree) if re.search(r"(^|\.)test_", f"{module}.{name}")]


def heirs(tree: ast.Module) -> Iterator[ast.ClassDef]:
    """The classes that have a base from the wizard."""
    theirs = {name for module, name in imports(tree) if module.split(".")[0] == "wizard"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            bases = {part.id for base in node.bases for part in ast.walk(base) if isinstance(part, ast.Name)}
            if bases & theirs:
                yield node


def reached_into(tree: ast.Module) -> list[str]:
    """Where it imports, uses, or patches a private name of the wizard, or takes one over from a class of it."""
    found = [
        f"from {module} import {name}" for module, name in imports(tree) if module[:6] == "wizard" and private(name)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in private_names():
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            found += [] if own else [f"line {node.lineno}: {ast.unparse(node)}"]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in PATCHERS:
            words = [str(word.value) for word in node.args[:2] if isinstance(word, ast.Constant)]
            found += [f"line {node.lineno}: {word}" for word in words if private(word.split(".")[-1])]
    for heir in heirs(tree):
        for node in ast.walk(heir):
            name = getattr(node, "attr", getattr(node, "name", ""))
            if isinstance(name, str) and name in private_names():
                found.append(f"class {heir.name}: {name}")
    return found


def test_no_test_imports_another() -> None:
    assert len(trees("tests")) > 200
    found = {path: of_other_tests(tree) for path, tree in trees("tests").items()}
    assert {path: names for path, names in found.items() if names} == {}


def test_no_test_touches_a_private_name_of_the_wizard() -> None:
    assert len(private_names()) > 300
    found = {path: reached_into(tree) for path, tree in trees("tests").items()}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from wizard.plan.text import _clean",
        "page._line.plain",
        'monkeypatch.setattr(engine, "_tell", None)',
        'monkeypatch.setattr("deploy.engine._tell", None)',
        "from wizard.plan.model import Plan\nclass Mine(Plan):\n    def read(self): return self._line",
        "from wizard.plan.model import Plan\nclass Mine(Plan):\n    def _line(self): return 1",
    ],
)
def test_what_reaches_in_is_found(source: str) -> None:
    assert reached_into(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    ["class Own:\n    def f(self): return self._line", "app.screen._compositor", 'setattr(own, "line", 1)'],
)
def test_what_stays_outside_is_not(source: str) -> None:
    assert not reached_into(ast.parse(source))


@pytest.mark.parametrize(
    "source", ["from tests.tui.test_path import walk", "from tests.tui import test_path", "import test_x"]
)
def test_an_import_of_a_test_is_found(source: str) -> None:
    assert of_other_tests(ast.parse(source))
