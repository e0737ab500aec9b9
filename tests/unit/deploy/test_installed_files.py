"""What is installed here, and which of its manual changes a reset would lose."""

from __future__ import annotations

import pytest

from wizard.deploy.installed_files import KEPT_BY_RESET, drift_lost_by

SCRIPT = "/etc/ciao-wizard/nat.sh was changed"
RULE = "added in inet ciao_gateway: drop"
CONF = "/etc/ciao-wizard/tenant_dns.cfg was changed"
HOSTS = "/run/ciao-wizard/live/tenant_dns.hosts is not what /etc/ciao-wizard/tenant_dns.hosts says"
KEPT = f"added to eth1: route 10.9.0.0/24; {KEPT_BY_RESET}"


@pytest.mark.parametrize(
    ("part", "lost"),
    [
        ("", (SCRIPT, RULE, CONF, HOSTS)),
        ("rules", (SCRIPT, RULE)),
        ("nodes", (HOSTS,)),
        ("dhcp", ()),
        ("leases", ()),
    ],
)
def test_a_reset_loses_the_changes_of_what_it_writes_again(part: str, lost: tuple[str, ...]) -> None:
    assert drift_lost_by(part, (SCRIPT, RULE, CONF, HOSTS, KEPT)) == lost
