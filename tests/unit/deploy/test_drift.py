"""What `status` says of the kept files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.moved_files import move_address_files
from wizard.deploy import status
from wizard.host.files import digest_of
from wizard.host.net import gateway_rules, managers
from wizard.plan.backends import ADDRESS_FILES, Backend
from wizard.plan.file.read import load_plan
from wizard.plan.render import File

PLAN = load_plan((Path(__file__).parents[3] / "examples" / "ciao.toml").read_text(), "ciao.toml")


@pytest.mark.parametrize("closed", [False, True], ids=["file", "directory"])
def test_without_root_a_file_that_only_root_may_read_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    """NetworkManager's profiles are 0600, and their directory is 0700 on some systems."""
    move_address_files(tmp_path, monkeypatch)
    path = ADDRESS_FILES[Backend.NETWORKMANAGER].kept
    files = [File(path, "x", 0o600)]
    monkeypatch.setattr(status, "applied_backend", lambda: managers.BACKENDS[Backend.NETWORKMANAGER])
    monkeypatch.setattr(status, "render_for_this_machine", lambda *_: files)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert status.drift(PLAN, "") == (f"{path} is missing",)

    Path(path).touch()
    # As read_text has it; root, who may run this test, may read any.
    monkeypatch.setattr(status, "read_text", lambda _: None)
    if closed:

        def refuse(self: Path, **_: object) -> os.stat_result:
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "stat", refuse)
    assert status.drift(PLAN, "") == ()


class Reading:
    """A journal whose last kept apply wrote `files`."""

    damage = ()

    def __init__(self, *files: Path) -> None:
        self.files = files

    def written(self) -> dict[str, str]:
        return {str(file): digest_of(str(file)) or "" for file in self.files}


def test_what_an_earlier_version_wrote_nobody_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    move_address_files(tmp_path, monkeypatch)
    script = tmp_path / "nat.sh"
    script.write_text("as it was then")
    written = Reading(script).written()
    monkeypatch.setattr(status, "applied_backend", lambda: managers.BACKENDS[Backend.NETWORKMANAGER])
    monkeypatch.setattr(status, "render_for_this_machine", lambda *_: [File(str(script), "as it is now", 0o755)])
    monkeypatch.setattr(status, "read_journal", lambda _: Reading(script))
    for other in ("runtime_drift", "foreign_settings"):
        monkeypatch.setattr(status, other, lambda *_: [])
    monkeypatch.setattr(gateway_rules, "changes", lambda _: [])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert status.drift(PLAN, "") == ()
    monkeypatch.setattr(Reading, "written", lambda _: written)
    script.write_text("by hand")
    assert status.drift(PLAN, "") == (f"{script} was changed",)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert status.drift(PLAN, "") == (f"{script} was changed, or written by another version: root can tell",)
