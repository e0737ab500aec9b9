"""One reading of the rows of the plan in force; and the context that the instances page needs."""

from __future__ import annotations

import os
import pwd
from datetime import datetime

from wizard.host.dhcp.dnsmasq_log import ignored_in, reasons_in
from wizard.host.facts.reader import read_facts
from wizard.host.files import read_text
from wizard.host.net.neighbours import read_neighbours
from wizard.host.plan_in_force import Unreadable, running_plan
from wizard.monitor.instances import GATEWAY_BLANK, GatewayContext, is_plain_user
from wizard.monitor.lease_file import LeaseFile
from wizard.monitor.lease_rows import LeaseRow, make_rows
from wizard.plan import paths
from wizard.plan.export.formats import corporate_side
from wizard.plan.fields import format_mac
from wizard.plan.lease_parser import Lease

_LOG_TAIL = 500_000


def read_gateway_context() -> GatewayContext:
    """The context for reading CNCIs from this gateway; empty where nothing is applied."""
    plan = running_plan(Unreadable.RAISE)
    if plan is None:
        return GatewayContext()
    is_node = {format_mac(mac) for machine in plan.machines for mac in machine.macs}
    vms = tuple(row for row in read_rows() if row.kind == "vm" and row.ip and row.mac not in is_node)
    around = corporate_side(plan, read_facts())
    user = os.environ.get("SUDO_USER") or pwd.getpwuid(os.geteuid()).pw_name
    jump = f"{user}@{around.address}" if around.address and is_plain_user(user) else GATEWAY_BLANK
    return GatewayContext(
        tuple(Lease(row.expires, row.mac, row.ip, row.hostname) for row in vms), plan.network.domain, jump
    )


def read_rows(file: LeaseFile | None = None) -> tuple[LeaseRow, ...]:
    """A row for every node of the plan, VM and stranger; () where nothing is applied.

    Who calls repeatedly keeps `file` between calls, so that a torn read never loses the last good leases.
    """
    plan = running_plan(Unreadable.RAISE)
    if plan is None:
        return ()
    leases = (file or LeaseFile(paths.LEASES)).read()
    log = (read_text(paths.DNSMASQ_LOG) or "")[-_LOG_TAIL:]
    now = datetime.now().astimezone()
    return make_rows(
        plan,
        leases,
        now=now,
        neighbours=read_neighbours(plan.interfaces.cluster),
        ignored=ignored_in(log, now=now),
        reasons=reasons_in(log),
    )
