"""plan/ computes and does nothing else. import-linter holds its imports; this is what imports do not show."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import wizard.plan

ROOT = Path(wizard.plan.__path__[0])
MODULES = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py"))
MEMOS = {"cache", "lru_cache"}
INPUT_AND_OUTPUT = {"open", "print", "input", "exec", "eval", "__import__"}


def impurities(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield f"line {node.lineno}: global {', '.join(node.names)}"
        elif isinstance(node, ast.ImportFrom) and node.module == "functools":
            yield from (f"line {node.lineno}: {each.name}" for each in node.names if each.name in MEMOS)
        elif isinstance(node, ast.Import) and any(each.name == "functools" for each in node.names):
            yield f"line {node.lineno}: import functools"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in INPUT_AND_OUTPUT:
            yield f"line {node.lineno}: {node.func.id}()"
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            # State of the module by the back door: an attribute of a class.
            for target in targets:
                owner = target.value if isinstance(target, ast.Attribute) else None
                if isinstance(owner, ast.Name) and owner.id.lstrip("_")[:1].isupper():
                    yield f"line {node.lineno}: {ast.unparse(target)} ="


@pytest.mark.parametrize("module", MODULES)
def test_no_module_keeps_a_state_or_touches_the_machine(module: str) -> None:
    assert list(impurities(ast.parse((ROOT / module).read_text()))) == []


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n    global latest\n    latest = 1",
        "from functools import lru_cache",
        "import functools",
        "class _Latest:\n    pass\ndef f():\n    _Latest.read = 1",
        "open('/etc/hosts')",
    ],
)
def test_what_is_looked_for_would_be_found(code: str) -> None:
    assert list(impurities(ast.parse(code)))
