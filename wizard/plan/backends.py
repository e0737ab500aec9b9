"""Which network manager gives the cluster NIC its address, and the file that each is given. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from wizard.plan import paths

if TYPE_CHECKING:
    from wizard.plan.machine import Facts
    from wizard.plan.model import Plan


class Backend(StrEnum):
    """`[network] backend` of a plan. NONE: the wizard sets the address itself, on a NIC that nobody manages."""

    AUTO = "auto"
    IFUPDOWN = "ifupdown"
    NETWORKMANAGER = "networkmanager"
    NETWORKD = "networkd"
    NETPLAN = "netplan"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class AddressFile:
    """The file by which a backend gives the cluster NIC its address.

    `kept` is read at boot, `live` is that of a trial, gone with a reboot; each has its template and permission bits.
    """

    kept: str
    template: str
    live: str
    live_template: str
    mode: int = 0o644
    live_mode: int = 0o644


ADDRESS_FILES: Mapping[Backend, AddressFile] = {
    Backend.IFUPDOWN: AddressFile(paths.INTERFACES_FILE, "interfaces", paths.LIVE_INTERFACES, "interfaces"),
    # NetworkManager reads no profile that others may read.
    Backend.NETWORKMANAGER: AddressFile(
        paths.NETWORKMANAGER_FILE, "nmconnection", paths.LIVE_NETWORKMANAGER_FILE, "nmconnection", 0o600, 0o600
    ),
    Backend.NETWORKD: AddressFile(paths.NETWORKD_FILE, "network", paths.LIVE_NETWORKD_FILE, "network"),
    # For a trial networkd alone: `netplan apply` would reconfigure every NIC. netplan warns of files others may read;
    # networkd is no root, and reads no other ones.
    Backend.NETPLAN: AddressFile(paths.NETPLAN_FILE, "netplan.yaml", paths.LIVE_NETWORKD_FILE, "network", 0o600),
    Backend.NONE: AddressFile(paths.ADDRESS_FILE, "address", paths.LIVE_ADDRESS_FILE, "address"),
}

NAMES: Mapping[Backend, str] = {
    Backend.IFUPDOWN: "ifupdown",
    Backend.NETWORKMANAGER: "NetworkManager",
    Backend.NETWORKD: "systemd-networkd",
    Backend.NETPLAN: "netplan",
    Backend.NONE: "ciao-wizard itself",
}
"""What each is called in a sentence."""

MANAGER_KEYS: Mapping[Backend, str] = {
    Backend.IFUPDOWN: "ifupdown",
    Backend.NETWORKMANAGER: "NetworkManager",
    Backend.NETWORKD: "networkd",
    Backend.NETPLAN: "netplan",
}
"""What `Facts.network_managers` calls those that are network managers."""


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """A backend, and the reason for it: a sentence without its full stop."""

    backend: Backend
    reason: str


def choose_backend(plan: Plan, facts: Facts) -> BackendChoice:
    """The backend for the plan's cluster NIC on this machine: the plan's own choice, else whoever manages the NIC."""
    nic = plan.interfaces.cluster
    if plan.network.backend is not Backend.AUTO:
        return BackendChoice(plan.network.backend, f"The plan has {NAMES[plan.network.backend]} configure {nic}")
    for owner in facts.owners:
        if owner.nic == nic:
            return BackendChoice(Backend(owner.backend), owner.reason)
    if "ifupdown" in facts.network_managers:
        return BackendChoice(Backend.IFUPDOWN, f"No other network manager has {nic}")
    return BackendChoice(Backend.NONE, f"No network manager has {nic}")
