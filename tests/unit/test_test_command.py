"""script/test itself, with other programs in the place of those it runs: its exit status is what CI goes by."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("ruff", "mypy", "lint-imports", "ciao-wizard", "shellcheck")
PYTEST = """#!/bin/sh
for stage in $FAILING; do
    case " $* " in *" tests/$stage "*) exit 1 ;; esac
done
"""
ALONE = """#!/bin/sh
exit "$FAILS_ALONE"
"""


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """A tree with the real script/test and none of what it calls."""
    for folder in ("script", ".venv/bin", "tmp"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "script" / "test", tmp_path / "script" / "test")
    programs = {f".venv/bin/{name}": "#!/bin/sh\n" for name in TOOLS}
    # Its python runs script/failed-again.
    programs |= {"script/bootstrap": "#!/bin/sh\n", ".venv/bin/pytest": PYTEST, ".venv/bin/python": ALONE}
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path / "script" / "test"


@pytest.mark.parametrize(
    ("failing", "fails_alone", "status"),
    [
        ("", False, 0),
        ("unit", True, 1),
        ("lab", True, 1),
        ("lab", False, 0),
        ("kernel", True, 1),
        ("unit kernel", True, 1),
    ],
)
def test_it_fails_exactly_where_a_test_does(command: Path, failing: str, fails_alone: bool, status: int) -> None:
    done = subprocess.run(
        ["sh", str(command)],
        env={
            "PATH": "/usr/bin:/bin",
            "TMPDIR": str(command.parents[1] / "tmp"),
            "FAILING": failing,
            "FAILS_ALONE": str(int(fails_alone)),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert list((command.parents[1] / "tmp").iterdir()) == [], "what it made for itself is removed"
