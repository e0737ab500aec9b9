"""Whether a packet to a machine of the cluster leaves by the cluster NIC."""

from __future__ import annotations

import socket

from netaddr import IPAddress

from wizard.deploy import runtime_state
from wizard.host.net import rtnetlink
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan


def refuse_unproven(plan: Plan, address: IPAddress | None) -> None:
    """Raises WizardError for an address of the cluster while the guard does not vouch for the cluster's wire.

    Whoever has a BMC's address on the company's wire would be sent its user and password.
    """
    refuse_elsewhere(plan, address)
    if address is not None and address in plan.network.cidr:
        refuse_unless_armed()


def refuse_unless_armed() -> None:
    """Raises WizardError while the guard does not vouch for the cluster's wire."""
    guard = runtime_state.running_guard()
    if guard is None or guard.get("mode") != "armed":
        why = (guard.get("reason") or "it has not proven the wire yet") if guard is not None else "it does not run"
        raise WizardError(
            f"the guard does not vouch for the cluster's wire: {why}; nothing was sent",
            "'ciao-wizard status' says what to do.",
        )


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
