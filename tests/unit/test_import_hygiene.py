"""What may be loaded by whom, seen in a fresh interpreter; import-linter reads the same rules from the source."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "wizard"
SCREENS = {"wizard.app", "wizard.screens", "wizard.widgets"}
"""What draws, and so may load Textual."""

SLOW = {"netaddr", "jinja2", "psutil", "sh", "tomlkit", "yaml"}
"""What costs a start its time."""


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(file): file for file in sorted(PACKAGE.rglob("*.py")) if file.name != "__main__.py"}
CORE = [name for name in FILES if not any(name == s or name.startswith(f"{s}.") for s in SCREENS)]


def loaded_by(code: str) -> set[str]:
    """The top-level packages that are loaded once `code` has run in a fresh interpreter."""
    tail = "; import sys as s, json as j; s.stderr.write(j.dumps(sorted({m.split('.')[0] for m in s.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@cache
def imports_of(file: Path) -> frozenset[str]:
    """The top-level packages that a file imports anywhere in it, but for those that only a type checker sees."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            node.body = [ast.Pass()]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").split(".")[0])
    return frozenset(found)


def test_every_room_is_there() -> None:
    # Else the tests below would hold for nothing.
    rooms = {name.split(".")[1] for name in CORE if name.count(".") == 2}
    assert rooms == {"plan", "host", "deploy", "monitor", "actions", "lab", "services", "cli"}


def test_core_loads_without_textual() -> None:
    assert not {"textual", "rich"} & loaded_by("; ".join(f"import {name}" for name in CORE))


@pytest.mark.parametrize(
    ("room", "banned"),
    [
        ("plan", {"sh", "psutil"}),
        ("host", set()),
        ("deploy", set()),
        ("monitor", set()),
        ("actions", {"sushy", "pyipmi", "requests", "keyring"}),
        # Any Python of the machine is to start it; psutil is for the tests' side of it.
        ("lab", SLOW - {"psutil"}),
    ],
)
def test_each_room_loads_alone(room: str, banned: set[str]) -> None:
    inside = [name for name in CORE if name.startswith(f"wizard.{room}.")]
    assert not {"textual", "rich", *banned} & loaded_by("; ".join(f"import {name}" for name in inside))


def test_the_screens_do_load_textual() -> None:
    # The sign by which the others are judged.
    assert {"textual", "rich"} <= loaded_by("import wizard.app")


def test_the_first_screen_waits_for_nothing_that_it_does_not_show() -> None:
    code = (
        "import sys, wizard.cli, wizard.cli.interactive, wizard.app; from wizard.screens import WelcomePage; "
        "late = [m for m in sys.modules if m.startswith('wizard.') and m.split('.')[1] in "
        "('deploy', 'host', 'monitor', 'actions', 'lab', 'services')]; "
        "late = [m for m in late if m not in ('wizard.services', 'wizard.services.progress')]; "
        "pages = {m.split('.')[2] for m in sys.modules if m.startswith('wizard.screens.')}; "
        "assert not late, late; assert pages == {'controller', 'welcome'}, pages; "
        "assert 'wizard.screens.welcome.controller' not in sys.modules; "
        "assert 'wizard.plan.draft' not in sys.modules"
    )
    assert not set(SLOW) & loaded_by(code)


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["apply", "--help"]])
def test_version_and_help_load_next_to_nothing(words: list[str]) -> None:
    code = (
        f"import contextlib; import wizard.cli\nwith contextlib.suppress(SystemExit): wizard.cli.main({words!r})\npass"
    )
    assert not {"textual", "rich", *SLOW} & loaded_by(code)


@pytest.mark.parametrize("words", [["check", "-c", "-"], ["render", "-c", "-"], ["status"], ["leases"], ["detect"]])
def test_commands_run_without_textual(words: list[str], tmp_path: Path) -> None:
    """In a fresh interpreter, and with Textual made impossible to load."""
    for name in ("textual", "rich"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')\n")
    plan = (ROOT / "examples" / "ciao.toml").read_text()
    done = subprocess.run(
        [sys.executable, "-m", "wizard", *words],
        input=plan,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )
    assert "not here" not in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1, 3)


def test_sh_is_imported_in_one_place() -> None:
    assert [name for name, file in FILES.items() if "sh" in imports_of(file)] == ["wizard.host.commands"]


def test_textual_is_imported_by_the_screens_alone() -> None:
    assert [name for name in CORE if {"textual", "rich"} & imports_of(FILES[name])] == []


def test_no_shell_is_started_from_python() -> None:
    found = []
    for name, file in FILES.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                shell = [k for k in node.keywords if k.arg == "shell" and ast.unparse(k.value) != "False"]
                if shell or ast.unparse(node.func) in ("os.system", "os.popen", "subprocess.getoutput"):
                    found.append(f"{name}:{node.lineno}")
    assert found == []


def test_no_class_has_anothers_name() -> None:
    """Who reads a name finds one thing. A name with an underscore is its module's own."""
    places: dict[str, list[str]] = {}
    for name, file in FILES.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(name)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
