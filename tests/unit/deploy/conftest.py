"""A /run/ciao-wizard of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from wizard.deploy.apply import lock
from wizard.plan import paths


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "run"
    monkeypatch.setattr(paths, "RUN", str(directory))
    monkeypatch.setattr(lock, "LOCK_FILE", directory / "lock")
    return directory
