"""Adopt a machine seen on the cluster network as a node of the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace

from netaddr import IPAddress

from wizard.plan.addresses import SubnetFull, assign, next_free
from wizard.plan.draft.node_list import free_node_name
from wizard.plan.fields import format_mac, parse_address, parse_labels, parse_mac, parse_node_name, parse_roles
from wizard.plan.file.read import load_plan
from wizard.plan.file.write import dump_plan
from wizard.plan.findings import Severity, WizardError
from wizard.plan.model import USUAL_ROLES, ClusterKind, Node, Plan
from wizard.plan.rules.check import check_plan


@dataclass(frozen=True, slots=True)
class AdoptionProposal:
    """Suggested values for a new node, for the user to edit."""

    mac: str
    name: str
    role: str
    ip: str
    kind: ClusterKind = ClusterKind.CIAO


def propose_adoption(plan_text: str, mac: str, hostname: str = "", role: str = "") -> AdoptionProposal:
    """Values for `adopt`: the machine's own name if valid and free, and the next free address.

    `role`: "" for the most common one of the kind of cluster.

    Raises PlanUnreadable if `plan_text` is no plan, WizardError if no address is left.
    """
    plan = load_plan(plan_text, "the plan")
    taken = {machine.name for machine in plan.machines}
    role = str(role or next(iter(USUAL_ROLES[plan.kind][-1:]), ""))
    try:
        name = parse_node_name(hostname.partition(".")[0].lower())
    except WizardError:
        name = ""
    if not name or name in taken:
        name = free_node_name(role, taken)
    ip = _next_address(plan, Node(name, (role,), parse_mac(mac)))
    return AdoptionProposal(mac, name, role, str(ip), plan.kind)


def adopt(plan_text: str, mac: str, name: str, role: str, ip: str | None = None) -> str:
    """`plan_text` with one more node, its comments and order kept.

    The node gets the next free address if `ip` is None. Applying the result reloads dnsmasq without an outage.
    Raises WizardError for an invalid field and for a machine, name or address that the plan has already;
    PlanUnreadable if `plan_text` is no plan.
    """
    plan = load_plan(plan_text, "the plan")
    roles = parse_roles(role) if plan.kind is ClusterKind.CIAO else parse_labels(role)
    node = Node(parse_node_name(name), roles, parse_mac(mac), parse_address(ip) if ip else None)
    known = next((machine for machine in plan.machines if node.mac in machine.macs), None)
    if known is not None:
        raise WizardError(f"{format_mac(node.mac)} is in the plan already: {known.name}", "Nothing to do.")
    if any(machine.name == node.name for machine in plan.machines):
        raise WizardError(f"there is already a node {node.name}", "Choose another name.")
    if node.ip is None:
        # Written down, so that it stays its own whatever is added later.
        node = replace(node, ip=_next_address(plan, node))
    before = {(finding.code, finding.field) for finding in check_plan(plan) if finding.severity is Severity.ERROR}
    grown = replace(plan, nodes=(*plan.nodes, node))
    for finding in check_plan(grown):
        if finding.severity is Severity.ERROR and (finding.code, finding.field) not in before:
            raise WizardError(finding.message, finding.remedy)
    return dump_plan(grown, plan_text)


def _next_address(plan: Plan, node: Node) -> IPAddress:
    """The address to write down, after those that the wizard will choose for the other nodes."""
    try:
        ip = next_free(assign(plan))
    except SubnetFull:
        ip = None
    if ip is None:
        remedy = "Use a larger subnet (network.cidr), or a smaller DHCP range (network.dhcp_slice)."
        raise WizardError(f"no address is left for {node.name}", remedy)
    return ip
