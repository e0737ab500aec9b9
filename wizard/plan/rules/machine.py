"""The machine: missing programs, firewalls, network managers."""

from __future__ import annotations

from collections.abc import Iterator

from wizard.plan.backends import ADDRESS_FILES, MANAGER_KEYS, NAMES, Backend, choose_backend
from wizard.plan.fields import shown
from wizard.plan.findings import Finding, error, note, warning
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.rules import ifupdown
from wizard.plan.tools import PACKAGES


def against_machine(plan: Plan, facts: Facts) -> Iterator[Finding]:
    yield from _tools(plan, facts)
    yield from _manager(plan, facts)
    yield from ifupdown.against_machine(plan, facts)
    yield from _blocked(plan, facts)
    yield from _firewalld(plan, facts)


def _tools(plan: Plan, facts: Facts) -> Iterator[Finding]:
    # Of the network managers, only what the one that sets the address needs, and one that cannot be asked without.
    needing = {MANAGER_KEYS.get(choose_backend(plan, facts).backend), *facts.silent_managers}
    more = [program for manager, program in facts.missing_programs if manager in needing]
    if missing := list(dict.fromkeys((*facts.missing_tools, *more))):
        packages = sorted({PACKAGES.get(tool, tool) for tool in missing})
        yield error(
            "missing-tools",
            "machine",
            f"Programs that an apply needs are not installed: {', '.join(missing)}.",
            f"Run `sudo apt install {' '.join(packages)}`.",
        )


def _blocked(plan: Plan, facts: Facts) -> Iterator[Finding]:
    chosen = choose_backend(plan, facts).backend
    unwritten = {file.kept for backend, file in ADDRESS_FILES.items() if backend is not chosen}
    for path, why in ((path, why) for path, why in facts.blocked if path not in unwritten):
        yield error(
            "path-blocked",
            "machine",
            f"An apply cannot write {path}: {why}.",
            "Move away what is there, or make it a directory.",
        )


def _manager(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """Who sets the cluster NIC's address, and whether somebody else would take it away."""
    nic = plan.interfaces.cluster
    mute = {manager for manager, _ in facts.missing_programs}
    for silent in (each for each in facts.silent_managers if each not in mute):
        yield error(
            "network-manager-silent",
            "machine",
            f"{silent} runs here and does not answer: whether it manages {shown(nic)} is not known.",
            f"Look at `systemctl status {silent}`, restart it if it hangs, and run this again.",
        )
    choice = choose_backend(plan, facts)
    name = NAMES[choice.backend]
    manager = MANAGER_KEYS.get(choice.backend)
    if manager is not None and manager not in facts.network_managers:
        yield error(
            "network-manager-unsupported",
            "network.backend",
            f"{name} is not at work here, so it cannot give {shown(nic)} its address.",
            'Write `backend = "auto"`, or take that line out.',
        )
        return
    owner = next((owner for owner in facts.owners if owner.nic == nic), None)
    if owner is not None and _differ(owner.backend, choice.backend):
        yield error(
            "nic-managed-elsewhere",
            "network.backend",
            f"{owner.reason}; the plan has {name} set the address of {shown(nic)}. The two would undo each other's "
            "changes.",
            'Write `backend = "auto"`, or take that line out.',
        )
    elif facts.applied_cluster == nic and owner is not None and _differ(owner.backend, facts.applied_backend):
        # No error: that would refuse the apply that ends it. `in_force` holds it against a gateway that runs.
        yield warning(
            "nic-managed-elsewhere",
            "interfaces.cluster",
            f"{owner.reason}; its address was set by {NAMES[Backend(facts.applied_backend)]}. The two undo each "
            "other's changes.",
            "Run `sudo ciao-wizard apply`: it has whoever manages the NIC set the address.",
        )
    elif facts.applied_cluster == nic:
        if owner is not None:
            yield note(
                "network-manager",
                "interfaces.cluster",
                f"{owner.reason}; {NAMES[Backend(facts.applied_backend)]} gives it the gateway's address.",
                "Nothing to do.",
            )
    elif owner is not None or choice.backend is not Backend.IFUPDOWN:
        if choice.backend is Backend.NONE:
            how = "An apply sets the gateway's address over the kernel, and the guard does at boot"
        else:
            how = f"An apply gives {name} a configuration of its own for the gateway's address"
        yield note(
            "network-manager",
            "interfaces.cluster",
            f"{choice.reason}. {how}; a reset gives {shown(nic)} back as it was.",
            "Nothing to do.",
        )


def _differ(owner: str, backend: str) -> bool:
    # What netplan has configured networkd has too.
    over_networkd = {Backend.NETWORKD, Backend.NETPLAN}
    return owner != backend and not {owner, backend} <= over_networkd


def _firewalld(plan: Plan, facts: Facts) -> Iterator[Finding]:
    if "firewalld" in facts.firewalls:
        cluster = plan.interfaces.cluster
        if choose_backend(plan, facts).backend is Backend.NETWORKMANAGER:
            how = "and the gateway's profile in NetworkManager says so too"
        else:
            how = "at run time only"
        yield note(
            "firewalld-active",
            "machine",
            f"firewalld is active, and rejects what its zones do not allow. While the gateway is applied, {cluster} is "
            f"in its zone trusted, {how}; a reset moves it back.",
            "Nothing to do.",
        )
