"""What the engine says of a guard that does not serve: it must be read after a rollback too."""

from __future__ import annotations

import pytest

from wizard.deploy.guard import control
from wizard.host.dhcp import dnsmasq
from wizard.plan import paths


def test_a_log_that_is_named_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {paths.DNS_LOG: "cannot open\x1b[31m it.", control.SERVE_LOG: "muted"}
    monkeypatch.setattr(dnsmasq, "log_tail", lambda log: said.get(log, ""))

    quoted = control.with_log_excerpts(f"Its log is {paths.DNS_LOG}.")
    assert quoted == f"Its log is {paths.DNS_LOG}. The name server last said: cannot open?[31m it."
    assert control.with_log_excerpts(f"Look at {paths.DNSMASQ_LOG}.") == f"Look at {paths.DNSMASQ_LOG}."
    assert control.with_log_excerpts("Look at the cable.") == "Look at the cable."
