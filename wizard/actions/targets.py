"""The nodes that a person names on the command line or marks on a screen."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from wizard.host.plan_in_force import read_plan_in_force
from wizard.plan.addresses import assign
from wizard.plan.fields import FieldError, format_mac, parse_mac, shown
from wizard.plan.findings import WizardError
from wizard.plan.model import Node, Plan


def plan_in_force() -> Plan:
    """The plan that runs here, every node with its address. Raises WizardError: status 3 where nothing is applied."""
    found = read_plan_in_force()
    if found is None:
        error = WizardError("nothing is applied here", "Apply a plan with 'ciao-wizard apply -c PLAN'.")
        error.status = 3
        raise error
    return assign(found.plan)


def choose(plan: Plan, names: Sequence[str], role: str = "", everyone: bool = False) -> tuple[Node, ...]:
    """The nodes with these names, addresses or MACs, or those of a role, or all; in the plan's order.

    Raises WizardError (status 2) for a name or a role that no node has, and where nothing or too much is named.
    """
    if bool(names) + bool(role) + everyone != 1:
        raise _misused("which nodes is not clear", "Name nodes, or give --role ROLE, or --all; one of the three.")
    if everyone:
        return plan.nodes
    if role:
        found = tuple(node for node in plan.nodes if role in node.roles)
        if not found:
            roles = sorted({str(each) for node in plan.nodes for each in node.roles})
            remedy = (
                f"The plan's roles: {', '.join(roles)}."
                if roles
                else "The plan has no roles: name nodes, or use --all."
            )
            raise _misused(f"no node has the role {shown(role)}", remedy)
        return found
    known = {key: node.name for node in plan.nodes for key in (node.name, str(node.ip), *map(format_mac, node.macs))}
    known |= {f"{node.name}.{plan.network.domain}": node.name for node in plan.nodes}
    devices = {key for device in plan.devices for key in (device.name, str(device.ip), *map(format_mac, device.macs))}
    wanted = set()
    for name in names:
        key = _key(name)
        node = known.get(key)
        if key in devices:
            raise _misused(f"{shown(name)} is a device of the plan", "Name nodes: devices have no system to act on.")
        if node is None:
            near = difflib.get_close_matches(name[:80].lower(), [node.name for node in plan.nodes], 1)
            hint = f"Did you mean {near[0]}?" if near else "'ciao-wizard leases' lists them."
            raise _misused(f"{shown(name)} is no node of the plan in force", hint)
        wanted.add(node)
    return tuple(node for node in plan.nodes if node.name in wanted)


def _key(name: str) -> str:
    """A name as it is in the plan; a MAC in any notation as ours."""
    try:
        return format_mac(parse_mac(name))
    except FieldError:
        return name.lower()


def _misused(message: str, remedy: str) -> WizardError:
    error = WizardError(message, remedy)
    error.status = 2
    return error
