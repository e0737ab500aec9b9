"""The service's unit, whatever the path of the installation."""

from __future__ import annotations

import sys

import pytest

from wizard.deploy.guard import control


@pytest.mark.parametrize(
    ("program", "written"),
    [
        ("/opt/ciao-wizard/bin/python", "/opt/ciao-wizard/bin/python"),
        ("/opt/my tools/bin/python", '"/opt/my tools/bin/python"'),
        ('/opt/a"b\\c/python', '"/opt/a\\"b\\\\c/python"'),
        ("/opt/100%/$HOME/python", "/opt/100%%/$HOME/python"),
        ("/opt/d'accord;x/python", '"/opt/d\'accord;x/python"'),
    ],
)
def test_the_program_is_one_word_and_no_specifier(monkeypatch: pytest.MonkeyPatch, program: str, written: str) -> None:
    monkeypatch.setattr(sys, "executable", program)
    (line,) = (line for line in control.service_unit().text.splitlines() if line.startswith("ExecStart="))
    assert line == f"ExecStart={written} -P -m wizard serve"
