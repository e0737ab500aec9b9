"""Whether a packet to a machine of the cluster leaves by the cluster NIC."""

from __future__ import annotations

import socket

from netaddr import IPAddress

from wizard.host.net import rtnetlink
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan


def refuse_elsewhere(plan: Plan, address: IPAddress | None) -> None:
    """Raises WizardError for an address of the cluster that would be asked on another wire, such as the company's.

    A password or a login must not reach whoever has that address there.
    """
    if address is None or address not in plan.network.cidr:
        return
    try:
        nic = socket.if_indextoname(rtnetlink.route_to(address.packed))
    except OSError:
        nic = ""
    if nic != plan.interfaces.cluster:
        where = f"would leave by {nic}" if nic else "cannot leave"
        raise WizardError(
            f"packets to {address} {where}, not by {plan.interfaces.cluster}: nothing was sent",
            "'ciao-wizard status' says what is wrong with the cluster NIC.",
        )
