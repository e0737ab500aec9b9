"""Wakes nodes by Wake-on-LAN out of the cluster NIC, and waits until they are there."""

from __future__ import annotations

import contextlib
import os
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence

from wizard.actions.outcome import NodeOutcome
from wizard.actions.way import refuse_unless_armed
from wizard.deploy import runtime_state
from wizard.deploy.guard.preconditions import check_identity
from wizard.host.facts.nics import read_nics
from wizard.host.files import read_text
from wizard.host.net.prober import Prober, open_prober
from wizard.host.plan_in_force import RUNNING, read_plan_in_force
from wizard.host.wake_on_lan import send_magic
from wizard.monitor.reachability import Reachability
from wizard.plan import paths
from wizard.plan.fields import format_mac
from wizard.plan.findings import NeedsRoot, WizardError
from wizard.plan.model import Node, Plan

_LOOK_EVERY_S = 0.1
REPEAT_EVERY_S = 10.0


def cluster_nic(plan: Plan) -> tuple[str, int]:
    """Name and index of the NIC that a magic packet may leave by.

    Raises NeedsRoot, and WizardError wherever the guard does not vouch for that NIC: a name is no identity, and the
    wire may be the company's.
    """
    if os.geteuid() != 0:
        raise NeedsRoot("waking a machine needs root", "Run it again with sudo.")
    running = read_plan_in_force(RUNNING)
    if runtime_state.running_guard() is None or running is None or running.plan.interfaces != plan.interfaces:
        raise WizardError(
            "the gateway does not run, so nobody knows what is behind its cluster NIC: nothing was sent",
            "Start it with 'ciao-wizard apply'.",
        )
    refuse_unless_armed()
    try:
        identity = tomllib.loads(read_text(paths.LIVE_IDENTITY) or "")
    except tomllib.TOMLDecodeError:
        identity = {}
    nics = {nic.name: nic for nic in read_nics()}
    verdict = check_identity(plan, identity, nics)
    if not verdict.ok:
        raise WizardError(f"{verdict.reason}: nothing was sent", "'ciao-wizard status' says what to do.")
    return plan.interfaces.cluster, nics[plan.interfaces.cluster].index


def send_to(plan: Plan, nodes: Sequence[Node]) -> str:
    """Send the magic packets of these nodes; what was done, in words. Raises NeedsRoot, WizardError."""
    nic, index = cluster_nic(plan)
    send_magic(nic, index, str(plan.network.gateway), [mac.packed for node in nodes for mac in node.macs])
    return f"magic packets sent out of {nic}"


def wait_for(
    plan: Plan,
    nodes: Sequence[Node],
    seconds: float,
    again: Callable[[Sequence[Node]], object] = lambda _: None,
    prober: Prober | None = None,
) -> Iterator[NodeOutcome]:
    """Each node as soon as it answers at its address, and after so many seconds those that do not.

    By our own ARP probes: the kernel's neighbour table remembers for a while who has just been switched off. `again`
    is called now and then with those that are missed, as a packet may be lost.
    """
    missed = {str(node.ip): node for node in nodes}
    asking = prober or open_prober(plan.interfaces.cluster, str(plan.network.gateway))
    watched = Reachability(asking)
    watched.follow(missed)
    began = repeated_at = time.monotonic()
    try:
        while missed and time.monotonic() - began <= seconds:
            for ip in watched.poll() & set(missed):
                if watched.is_reachable(ip) and watched.mac(ip) in map(format_mac, missed[ip].macs):
                    node = missed.pop(ip)
                    yield NodeOutcome(node.name, True, f"answers at {ip} after {time.monotonic() - began:.0f} s")
            if missed and time.monotonic() - repeated_at > REPEAT_EVERY_S:
                with contextlib.suppress(WizardError):
                    # The guard may be muted for a moment, as ports go down where machines power up.
                    again(list(missed.values()))
                repeated_at = time.monotonic()
            time.sleep(_LOOK_EVERY_S if missed else 0)
    finally:
        asking.close()
    for ip, node in missed.items():
        yield NodeOutcome(
            node.name,
            False,
            f"no answer at {ip} within {seconds:g} s",
            "Is Wake-on-LAN switched on in its firmware, and is its MAC the one of the wired NIC?",
        )
