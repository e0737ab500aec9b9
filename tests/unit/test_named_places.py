"""Whatever names a module, a function, a file or a page in text is right: no rename leaves such a name behind.

An import is checked by mypy. What stands in a string is not: `python -m wizard.…` in a command, a handler in the
command line's parser, `monkeypatch.setattr("wizard.…")`, a page that is loaded when it is first shown, a module in an
import contract, a file that a document leads to. All of the tree's text is read for them, comments and documents too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest

from wizard import screens

ROOT = Path(__file__).parents[2]
TOPS = ("wizard", "tests", "docs", "script", "templates", "examples")
NO_TEXT = {".svg", ".cast", ".pyc", ".raw"}
HERE = Path(__file__).name

DOTTED = re.compile(r"(?<![\w./@-])wizard(?:\.[A-Za-z_]\w*)+(?::[A-Za-z_]\w*)?")
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(TOPS)})/[\w.*/-]*")
SOURCE = re.compile(r"(?<![\w.*/{}-])(?:\w+/)*\w+\.(?:py|tcss)\b(?!\.)")
PAGE = re.compile(r"[A-Z][A-Za-z]*Page")
FOLDER = re.compile(r"(?<![\w./~<-])(?:[a-z]\w*/)+(?![\w.*])")
CODE = re.compile(r"`((?:[A-Za-z]\w*\.)*(?:_\w+|[A-Za-z][a-z0-9]*_\w+|[A-Z][A-Z_]{3,}|[A-Z][a-z0-9]+[A-Z]\w*))`")

SIGNPOSTS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")
"""Documents that lead into the code by the names in it."""

ELSEWHERE = {
    "wizard.invalid",  # a host name
    "wizard/templates",  # in the wheel
    "wizard/examples",
}


@cache
def texts() -> dict[str, str]:
    """All text of the tree by its path from ROOT, but for this file's."""
    inside = [file for top in TOPS for file in sorted((ROOT / top).rglob("*")) if "__pycache__" not in file.parts]
    files = [*inside, *sorted(ROOT.glob("*.md")), ROOT / "pyproject.toml"]
    wanted = [file for file in files if file.is_file() and file.suffix not in NO_TEXT and file.name != HERE]
    return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in wanted}


@cache
def is_there(name: str) -> bool:
    """Whether a dotted name leads to a module, or on from one to what is in it; so does `module:function`."""
    parts = name.replace(":", ".").split(".")
    known = 1
    while known < len(parts) and find_spec(".".join(parts[: known + 1])) is not None:
        known += 1
        if not hasattr(import_module(".".join(parts[:known])), "__path__"):
            break
    found: object = import_module(".".join(parts[:known]))
    for part in parts[known:]:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


@cache
def tree() -> tuple[str, ...]:
    return (*(f"/{path}" for path in texts()), f"/tests/unit/{HERE}")


def source_is_there(name: str) -> bool:
    return any(path.endswith(f"/{name}") for path in tree())


def path_is_there(name: str) -> bool:
    name = name.rstrip("./")
    return any(ROOT.glob(name)) if "*" in name else (ROOT / name).exists()


def page_is_there(name: str) -> bool:
    return getattr(screens, name).__name__ == name if name in screens.__all__ else False


def wrong(named: re.Pattern[str], right: Callable[[str], bool]) -> list[str]:
    return [
        f"{path}: {found}"
        for path, text in texts().items()
        for found in sorted(set(named.findall(text)))
        # A recipe's NAME stands for the one to be written.
        if found.rstrip("./") not in ELSEWHERE and "NAME" not in found and not right(found)
    ]


def named(pattern: re.Pattern[str]) -> int:
    return sum(len(pattern.findall(text)) for text in texts().values())


def test_every_module_and_function_named_in_text_is_there() -> None:
    assert named(DOTTED) > 500
    assert wrong(DOTTED, is_there) == []


def test_every_path_named_in_text_is_there() -> None:
    assert named(PATH) > 50
    assert wrong(PATH, path_is_there) == []


def test_every_source_file_named_in_text_is_there() -> None:
    assert named(SOURCE) > 20
    assert wrong(SOURCE, source_is_there) == []


def folder_is_there(name: str) -> bool:
    return (ROOT / name).is_dir() or any(f"/{name}" in path for path in tree())


def code_is_there(name: str) -> bool:
    word = re.compile(rf"\b{re.escape(name.rpartition('.')[2])}\b")
    return any(word.search(text) for path, text in texts().items() if not path.endswith(".md"))


@pytest.mark.parametrize("path", SIGNPOSTS)
def test_signposts_lead_to_what_is_there(path: str) -> None:
    folders, names = FOLDER.findall(texts()[path]), CODE.findall(texts()[path])
    assert [found for found in folders if not folder_is_there(found)] == []
    assert [found for found in names if "NAME" not in found and not code_is_there(found)] == []


def test_signposts_name_code() -> None:
    # Else the test above would hold for nothing.
    assert sum(len(CODE.findall(texts()[path])) for path in SIGNPOSTS) > 40


def strings(path: str, pattern: re.Pattern[str]) -> set[str]:
    nodes = ast.walk(ast.parse(texts()[path]))
    return {
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and pattern.fullmatch(node.value)
    }


def test_every_page_named_in_a_string_is_one_that_is_loaded_by_its_name() -> None:
    pages = {
        page for path in texts() if path.startswith("wizard/") and path.endswith(".py") for page in strings(path, PAGE)
    }
    assert set(screens.__all__) <= pages
    assert [page for page in sorted(pages) if not page_is_there(page)] == []


def started() -> Iterator[tuple[str, str]]:
    """Where a module is started by its name, and that name: after "-m", or in `python("wizard.…")`."""
    for path, text in texts().items():
        if not text.startswith("#!/usr/bin/env python") and not path.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "python":
                listed = [ast.Constant("-m"), *node.args]
            else:
                listed = list(getattr(node, "elts", ()))
            for word, module in pairwise(listed):
                if isinstance(word, ast.Constant) and word.value == "-m" and isinstance(module, ast.Constant):
                    yield path, str(module.value)


def test_every_module_that_is_started_can_be() -> None:
    found = [(path, name) for path, name in started() if name.split(".")[0] in ("wizard", "tests")]
    assert {"wizard", "wizard.lab.inside", "wizard.host.muter_process"} <= {name for _, name in found}
    for path, name in found:
        spec = find_spec(f"{name}.__main__") if (ROOT / name.replace(".", "/")).is_dir() else find_spec(name)
        assert spec is not None, (path, name)
        assert spec.origin is not None, (path, name)
        assert "\nif __name__ ==" in Path(spec.origin).read_text() or spec.name.endswith("__main__"), (path, name)


@pytest.mark.parametrize(
    ("text", "pattern", "right"),
    [
        ('monkeypatch.setattr("wizard.plan.text.cleaned", x)', DOTTED, is_there),
        ('command("status", "wizard.lab.nowhere:status")', DOTTED, is_there),
        ("python -m wizard.host.muter_proces FD", DOTTED, is_there),
        ("as wizard/plan/texts.py says", PATH, path_is_there),
        ("after script/boot", PATH, path_is_there),
        ("see docs/*.rst", PATH, path_is_there),
        ("(host/commanding.py)", SOURCE, source_is_there),
        ("what `apply/stairs/` has", FOLDER, folder_is_there),
        ("a class of `NetworkBackends`", CODE, code_is_there),
    ],
)
def test_a_name_that_was_left_behind_is_found(
    text: str, pattern: re.Pattern[str], right: Callable[[str], bool]
) -> None:
    (found,) = pattern.findall(text)
    assert not right(found)


@pytest.mark.parametrize(
    "name", ["wizard.plan.text.clean", "wizard.host.net.forwarding.link_image.current_name", "wizard.VERSION"]
)
def test_a_name_that_leads_somewhere_is_right(name: str) -> None:
    assert is_there(name)
