"""The file of a template of a person's own, as it is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wizard.deploy.images.templates import read_template
from wizard.plan.findings import WizardError


def test_a_template_is_read_as_text(tmp_path: Path) -> None:
    path = tmp_path / "my.cfg"
    path.write_bytes("\ufeffa {{ name }}\r\nü\n".encode())
    assert (read_template(str(path)).path, read_template(str(path)).text) == (str(path), "a {{ name }}\nü\n")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "No such file"),
        ("folder", "no regular file"),
        ("fifo", "no regular file"),
        ("open", "others may write"),
        ("latin", "not UTF-8"),
    ],
)
def test_what_is_no_template_of_ones_own_is_refused(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "open").write_text("x")
    (tmp_path / "open").chmod(0o666)
    (tmp_path / "latin").write_bytes(b"\xfc")
    with pytest.raises(WizardError, match=words) as raised:
        read_template(str(tmp_path / name))
    assert raised.value.remedy
