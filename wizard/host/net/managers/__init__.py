"""The network managers. To add one: write its module here, and put it into MANAGERS and, once it can configure the
cluster NIC, into BACKENDS. `backend.py` says what each must be able to do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wizard.host.facts.processes import RunningProcess
from wizard.host.net.managers.backend import KnownManager, NetworkBackend, none_installed
from wizard.host.net.managers.ifupdown.backend import Ifupdown
from wizard.host.net.managers.netplan import Netplan
from wizard.host.net.managers.networkd import Networkd
from wizard.host.net.managers.networkmanager import NetworkManager

_IFUPDOWN = Ifupdown()

MANAGERS: tuple[KnownManager, ...] = (_IFUPDOWN, NetworkManager(), Networkd(), Netplan())
"""All that are recognized, in the order in which they are shown."""

BACKENDS: tuple[NetworkBackend, ...] = (_IFUPDOWN,)
"""Those that can configure the cluster NIC; the first that is installed does."""


def active(processes: Iterable[RunningProcess], root: Path) -> tuple[str, ...]:
    """The names of the managers that are at work on this machine."""
    names = {process.name for process in processes}
    return tuple(manager.name for manager in MANAGERS if manager.is_active(names, root))


def holds_lease(index: int, root: Path) -> bool:
    """Whether a manager holds a DHCP lease for the NIC of that index."""
    return any(manager.holds_lease(index, root) for manager in MANAGERS)


def cluster_backend() -> NetworkBackend:
    """The backend that configures the cluster NIC on this machine. Raises WizardError where none is installed."""
    for backend in BACKENDS:
        if backend.is_installed():
            return backend
    raise none_installed()


def applied_backend() -> NetworkBackend:
    """The backend that an apply on this machine went through, even if its programs are gone by now.

    The journal does not name it: there has only been one.
    """
    return _IFUPDOWN
