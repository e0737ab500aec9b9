"""The service's unit, whatever the path of the installation."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from wizard.deploy.guard import control
from wizard.host import systemd


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


def test_systemd_is_told_where_it_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        systemd.notify("READY=1", "STATUS=armed")
        assert heard.recv(100) == b"READY=1\nSTATUS=armed"
    # It is gone, or there never was one.
    systemd.notify("WATCHDOG=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    systemd.notify("WATCHDOG=1")
