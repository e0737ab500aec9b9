"""The list of nodes that a person names a file for."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from wizard.plan.findings import WizardError
from wizard.services.host import HostServices
from wizard.services.host_files import LARGEST_LIST, HostFiles

PATIENCE_S = 10


def refusal(path: str) -> WizardError:
    """What reading that file is refused with; a test that would block for ever fails instead."""
    refused: list[WizardError] = []

    def read() -> None:
        try:
            HostFiles().read_list(path)
        except WizardError as error:
            refused.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(PATIENCE_S)
    assert not reader.is_alive(), "it blocks"
    assert refused
    return refused[0]


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "nodes.csv"
    path.write_bytes(b"\xef\xbb\xbfname,mac\n")
    (tmp_path / "link").symlink_to(path)
    assert HostFiles().read_list(str(path)) == "name,mac\n"
    assert HostFiles().read_list(str(tmp_path / "link")) == "name,mac\n"


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (str(tmp_path / "fifo"), "/dev/zero", "/dev/null", str(tmp_path)):
        assert "not a file" in refusal(path).message


def test_a_terminal_is_refused() -> None:
    leader, follower = os.openpty()
    try:
        assert "not a file" in refusal(os.ttyname(follower)).message
    finally:
        os.close(leader)
        os.close(follower)


def test_too_large_and_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as handle:
        handle.truncate(LARGEST_LIST + 1)
    assert "8 MiB" in refusal(str(path)).message
    assert "No such file" in refusal(str(tmp_path / "none")).message
    assert refusal("a\0b").remedy


def test_a_home_that_nobody_has_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "~nosuch" in refusal("~nosuch/nodes.csv").message
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(WizardError, match="~nosuch"):
        HostServices().save_file("~nosuch/ciao.toml", "version = 1\n")
