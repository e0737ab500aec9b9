"""Where `export -o` writes, and where it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wizard.cli.handover import write_out
from wizard.plan.findings import WizardError


def test_a_file_is_made_and_overwritten_with_its_mode_kept(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    old = os.umask(0o027)
    try:
        write_out(str(path), "one\n")
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o640
    path.chmod(0o604)
    write_out(str(path), "two\n")
    assert path.read_text() == "two\n"
    assert path.stat().st_mode & 0o777 == 0o604
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious\n")
    link = tmp_path / "link"
    link.symlink_to(precious)
    with pytest.raises(WizardError, match="link") as refused:
        write_out(str(link), "ours\n")
    assert refused.value.remedy
    assert precious.read_text() == "precious\n"
    assert link.is_symlink()

    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nothing")
    write_out(str(dangling), "ours\n")
    assert not dangling.is_symlink()
    assert dangling.read_text() == "ours\n"
    assert not (tmp_path / "nothing").exists()


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (fifo, tmp_path, "", "."):
        with pytest.raises(WizardError, match="is not a file") as refused:
            write_out(str(path), "ours\n")
        assert refused.value.remedy
    assert fifo.is_fifo()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "none" / "x", tmp_path / "file" / "x", tmp_path / ("x" * 300)):
        with pytest.raises(WizardError) as refused:
            write_out(str(path), "ours\n")
        assert "stdout" in refused.value.remedy
