"""What the engine says of a guard that does not serve: it must be read after a rollback too."""

from __future__ import annotations

import pytest

from wizard.deploy.apply.engine import failure_text
from wizard.deploy.guard import control
from wizard.deploy.verify import REAPPLY_HINT
from wizard.host import systemd
from wizard.host.dhcp import dnsmasq
from wizard.plan import paths
from wizard.plan.checks import FAILED, Check


@pytest.fixture(autouse=True)
def no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "running", lambda: False)


def test_a_log_that_is_named_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {paths.DNS_LOG: "cannot open\x1b[31m it.", control.SERVE_LOG: "muted"}
    monkeypatch.setattr(dnsmasq, "log_tail", lambda log: said.get(log, ""))

    quoted = control.with_log_excerpts(f"Its log is {paths.DNS_LOG}.")
    # The log is gone when that is read.
    assert quoted == "The name server last said: cannot open?[31m it."
    assert control.with_log_excerpts(f"Look at {paths.DNSMASQ_LOG}.") == f"Look at {paths.DNSMASQ_LOG}."
    assert control.with_log_excerpts("Look at the cable.") == "Look at the cable."


def test_of_a_service_the_journal_is_quoted_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It outlives the rollback; a log under /run is never written then."""
    monkeypatch.setattr(systemd, "running", lambda: True)
    monkeypatch.setattr(systemd, "log_tail", lambda unit: f"{unit} ended")
    named = f"Its log is {control.guard_log()}."
    assert control.with_log_excerpts(named) == (
        "Its log is 'journalctl -u ciao-gateway.service'. The guard last said: ciao-gateway.service ended."
    )


def test_a_failed_verification_quotes_every_log_and_sends_nobody_to_what_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dnsmasq, "log_tail", lambda log: f"the end of {log.rpartition('/')[2]}")
    failed = [
        Check("dnsmasq", FAILED, "not running", f"Its log is {paths.DNSMASQ_LOG}. {REAPPLY_HINT}"),
        Check("path", FAILED, "not probed", f"Its log is {control.SERVE_LOG}. {REAPPLY_HINT}"),
        Check("cable", FAILED, "eth1 has no link", "Look at the cable."),
    ]
    assert failure_text(failed) == (
        "dnsmasq: not running; path: not probed; cable: eth1 has no link. Look at the cable. "
        "The guard last said: the end of serve.log. The DHCP server last said: the end of dnsmasq.log."
    )
