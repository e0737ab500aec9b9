"""The uplinks of a plan on this machine as it is now; see `plan.uplinks`."""

from __future__ import annotations

import socket

from wizard.host.facts.nics import read_nics, shown_name, with_containers
from wizard.host.facts.routes import read_routes
from wizard.host.net import rtnetlink
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.uplinks import INTERNET, uplinks


def read_outbound() -> tuple[str, ...]:
    """The NICs that the kernel names when it is asked for a way to the internet. Sends nothing."""
    found: dict[str, None] = {}
    for address in INTERNET:
        try:
            found[shown_name(socket.if_indextoname(rtnetlink.route_to(socket.inet_aton(address))))] = None
        except OSError:
            # No way there, or the NIC is gone since.
            continue
    return tuple(found)


def read_route_facts() -> Facts:
    """The NICs and the routes alone: all that uplinks depend on."""
    routes = read_routes()
    return Facts(nics=with_containers(read_nics(), routes), routes=routes, outbound=read_outbound())


def uplinks_now(plan: Plan) -> tuple[str, ...]:
    """The names of the plan's uplinks; reads the machine only where the plan follows the default route."""
    return uplinks(plan, read_route_facts() if plan.interfaces.follows_default_route else Facts())
