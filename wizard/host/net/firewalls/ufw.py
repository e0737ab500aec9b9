"""ufw. A chain of ours in iptables' tables accepts what its rules would reject (see `iptables`)."""

from __future__ import annotations

import re

from wizard.host.net.firewalls.firewall import Evidence, Firewall
from wizard.host.net.firewalls.ruleset import text_of

_ENABLED = re.compile(r"(?m)^\s*ENABLED\s*=\s*yes")


class Ufw(Firewall):
    name = "ufw"
    chains = re.compile(r"ufw6?-")

    def is_running(self, evidence: Evidence, /) -> bool:
        return _ENABLED.search(text_of(evidence.root / "etc/ufw/ufw.conf")) is not None
