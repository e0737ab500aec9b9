"""Wake, reboot and off: each node by the way that it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from wizard.actions import bmc, ipmi, shell, wake
from wizard.actions.outcome import NodeOutcome, failed, on_each
from wizard.actions.way import refuse_unproven
from wizard.plan.findings import WizardError
from wizard.plan.model import Node, Plan

WAKE, REBOOT, OFF = "wake", "reboot", "off"
DANGEROUS = (REBOOT, OFF)


@dataclass(frozen=True, slots=True)
class Order:
    """`user`: who logs in over ssh, "" for the person's own choice. `hard`: at once, which only a BMC can."""

    action: str
    user: str = ""
    hard: bool = False


def carry_out(plan: Plan, nodes: Sequence[Node], order: Order) -> Iterator[NodeOutcome]:
    """The outcome of each node, in the order of completion. Raises NeedsRoot, WizardError at once where none can be
    begun.
    """
    if order.action == WAKE:
        return _wake(plan, nodes)
    return on_each(nodes, lambda node: _order(plan, node, order))


def _wake(plan: Plan, nodes: Sequence[Node]) -> Iterator[NodeOutcome]:
    sent = wake.send_to(plan, nodes)

    def by_bmc(node: Node) -> NodeOutcome:
        try:
            return _by_bmc(plan, node, Order(WAKE))
        except WizardError as error:
            # The packet went out all the same, and may be enough.
            return NodeOutcome(node.name, False, f"{sent}; {error.message}", error.remedy)

    without = [NodeOutcome(node.name, True, sent) for node in nodes if node.bmc is None]
    return chain(without, on_each([node for node in nodes if node.bmc is not None], by_bmc))


def _order(plan: Plan, node: Node, order: Order) -> NodeOutcome:
    if node.bmc is not None and not order.user:
        return _by_bmc(plan, node, order)
    if order.hard and node.bmc is not None:
        return failed(
            node, WizardError("--user goes over ssh, which does nothing at once", "Leave out one of the two.")
        )
    if order.hard:
        return failed(node, WizardError("--hard needs a BMC", "Leave out --hard."))
    return shell.order(plan, node, order.action, order.user)


def _by_bmc(plan: Plan, node: Node, order: Order) -> NodeOutcome:
    refuse_unproven(plan, node.bmc)
    credentials = bmc.credentials_for(node, plan.bmc_credentials)
    if node.bmc_protocol == "ipmi":
        return ipmi.order(node, order.action, credentials, order.hard)
    try:
        return bmc.order(node, order.action, credentials, order.hard)
    except bmc.NotThere:
        if node.bmc_protocol:
            raise
        return _by_ipmi(node, order, credentials)


def _by_ipmi(node: Node, order: Order, credentials: bmc.Credentials) -> NodeOutcome:
    """Where Redfish is not answered. An impostor that has us come here learns the user's name, not the password."""
    try:
        return ipmi.order(node, order.action, credentials, order.hard)
    except bmc.NotThere as error:
        message = f"the BMC of {node.name} at {node.bmc} answers neither Redfish nor IPMI"
        raise WizardError(message, error.remedy) from None
