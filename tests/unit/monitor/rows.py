"""A row of the leases, plain but for what a test says."""

from __future__ import annotations

from typing import Any

from wizard.monitor.lease_rows import LeaseRow


def row(mac: str, ip: str, **more: Any) -> LeaseRow:
    values: dict[str, Any] = {
        "mac": mac,
        "ip": ip,
        "hostname": "",
        "name": "",
        "role": "",
        "expires": None,
        "kind": "node",
        "state": "leased",
        "reachable": True,
        "vendor": "",
        "reason": "",
    }
    return LeaseRow(**{**values, **more})
