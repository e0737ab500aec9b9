"""systemd's journal of a unit; and units read again without a change to anybody's network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wizard.host import systemd
from wizard.host.commands import CommandFailed


def test_the_last_lines_of_a_unit_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def journalctl(*argv: str, timeout: float) -> str:
        assert timeout < 20
        asked.append(argv)
        return "muted\nno address\n"

    monkeypatch.setattr(systemd, "run", journalctl)
    assert systemd.log_tail("a.service", 2) == "muted; no address"
    assert {"_SYSTEMD_UNIT=a.service", "-b"} <= {*asked[0]}
    assert "-u" not in asked[0]


@pytest.mark.parametrize("wrote", ["", "-- No entries --\n", None])
def test_a_unit_that_wrote_nothing_has_no_last_lines(monkeypatch: pytest.MonkeyPatch, wrote: str | None) -> None:
    def journalctl(*argv: str, **_: object) -> str:
        if wrote is None:
            raise CommandFailed(argv, 1, "no journal")
        return wrote

    monkeypatch.setattr(systemd, "run", journalctl)
    assert systemd.log_tail("a.service") == ""


@pytest.mark.parametrize("act", [systemd.reload, lambda: systemd.enable("x.service")], ids=["reload", "enable"])
def test_the_files_that_netplan_writes_again_stay_the_same_to_networkd(
    act: Callable[[], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    same, other, gone = (tmp_path / f"10-netplan-{name}.network" for name in ("same", "other", "gone"))
    for file in (same, other, gone):
        file.write_text("[Match]\n")
    somebodys = tmp_path / "20-mine.network"
    somebodys.write_text("[Match]\n")
    before = same.stat()

    def generate(*_: str, **__: object) -> str:
        for file, text in ((same, "[Match]\n"), (other, "[Network]\n")):
            file.unlink()
            file.write_text(text)
        gone.unlink(missing_ok=True)
        return ""

    monkeypatch.setattr(systemd, "NETWORK_FILES", tmp_path)
    monkeypatch.setattr(systemd, "run", generate)
    monkeypatch.setattr(systemd, "running", lambda: True)

    act()

    assert (same.stat().st_ino, same.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert other.read_text() == "[Network]\n"
    assert sorted(tmp_path.iterdir()) == sorted([same, other, somebodys])


def test_a_reload_that_was_killed_is_finished_by_the_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Killed(BaseException):
        """A SIGKILL: nothing is cleaned up after it."""

    same = tmp_path / "10-netplan-all.network"
    same.write_text("[Match]\n")
    before = same.stat()
    kills = [True]

    def generate(*_: str, **__: object) -> str:
        same.unlink()
        same.write_text("[Match]\n")
        if kills:
            kills.clear()
            raise Killed
        return ""

    monkeypatch.setattr(systemd, "NETWORK_FILES", tmp_path)
    monkeypatch.setattr(systemd, "run", generate)
    monkeypatch.setattr(systemd, "running", lambda: True)
    with pytest.raises(Killed):
        systemd.reload()

    systemd.reload()

    assert (same.stat().st_ino, same.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list(tmp_path.iterdir()) == [same]
