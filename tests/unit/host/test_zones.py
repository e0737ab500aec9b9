"""Notes of what nat.sh changed, when somebody has made something else of them: no reset is stopped by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from wizard.host.net import firewalls, forwarding
from wizard.host.net.firewalls.firewalld import Firewalld
from wizard.plan import paths


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(paths, "RUN", str(tmp_path))
    monkeypatch.setattr(Firewalld, "image", lambda *_: None)
    return tmp_path


@pytest.mark.parametrize("name", ["firewalld.eth1", "forwarding.999999", "forwarding.none-such"])
def test_a_note_that_is_a_directory_or_no_text_is_passed_over(notes: Path, name: str) -> None:
    restore = firewalls.restore if name.startswith("firewalld") else forwarding.restore
    (notes / name).mkdir()
    restore()
    (notes / name).rmdir()
    (notes / name).write_bytes(b"\xff\xfe")
    restore()
    assert not (notes / name).exists()
