"""What systemd's journal has of a unit."""

from __future__ import annotations

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
