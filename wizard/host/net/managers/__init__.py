"""The network managers. To add one: write its module here, and put it into MANAGERS and, once it can configure the
cluster NIC, into BACKENDS and `plan.backends`. `backend.py` says what each must be able to do."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from wizard.host import commands
from wizard.host.facts.nics import read_nics
from wizard.host.facts.processes import RunningProcess, read_processes
from wizard.host.files import read_text
from wizard.host.net.managers.backend import KnownManager, NetworkBackend
from wizard.host.net.managers.ifupdown.backend import Ifupdown
from wizard.host.net.managers.netplan import Netplan
from wizard.host.net.managers.networkd import Networkd
from wizard.host.net.managers.networkmanager import NetworkManager
from wizard.host.net.managers.own_address import OwnAddress
from wizard.plan import paths
from wizard.plan.backends import MANAGER_KEYS, Backend, choose_backend
from wizard.plan.machine import Facts, NicOwner
from wizard.plan.model import Plan

_IFUPDOWN, _NETWORKMANAGER, _NETWORKD, _NETPLAN = Ifupdown(), NetworkManager(), Networkd(), Netplan()

MANAGERS: tuple[KnownManager, ...] = (_IFUPDOWN, _NETWORKMANAGER, _NETWORKD, _NETPLAN)
"""All that are recognized, in the order in which they are shown."""

ASKED: tuple[KnownManager, ...] = (_NETWORKMANAGER, _NETPLAN, _NETWORKD, _IFUPDOWN)
"""The same, in the order in which they are believed: netplan's files are networkd's too."""

BACKENDS: Mapping[Backend, NetworkBackend] = {
    backend.backend: backend for backend in (_IFUPDOWN, _NETWORKMANAGER, _NETWORKD, _NETPLAN, OwnAddress())
}
"""Those that can configure the cluster NIC."""


def active(processes: Iterable[RunningProcess], root: Path) -> tuple[str, ...]:
    """The keys of the managers that are at work on this machine."""
    names = {process.name for process in processes}
    return tuple(manager.key for manager in MANAGERS if manager.is_active(names, root))


def owners(active_names: Iterable[str], nics: Mapping[str, int], root: Path) -> tuple[NicOwner, ...]:
    """Who manages which of these NICs (name -> index), of the managers at work."""
    at_work = set(active_names)
    return tuple(owner for manager in ASKED if manager.key in at_work for owner in manager.owned(nics, root))


def silent(active_names: Iterable[str]) -> tuple[str, ...]:
    """Those of the managers at work that do not answer."""
    at_work = set(active_names)
    return tuple(manager.key for manager in MANAGERS if manager.key in at_work and not manager.answers())


def missing_programs(active_names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The programs that are not here of the managers at work, each with its manager's key."""
    at_work = set(active_names)
    return tuple(
        (key, program)
        for kind, key in MANAGER_KEYS.items()
        for program in BACKENDS[kind].programs
        if key in at_work and commands.find(program) is None
    )


def backend_for(plan: Plan) -> Backend:
    """The backend that an apply of this plan would go through now."""
    root = Path("/")
    names = active(read_processes(root), root)
    if plan.network.backend is Backend.AUTO and (kind := _recorded_backend()) is not None and silent(names):
        # Who has the NIC is not known, and an apply would be refused.
        return kind
    nics = {nic.name: nic.index for nic in read_nics() if nic.name == plan.interfaces.cluster and nic.usable_name}
    return choose_backend(plan, Facts(network_managers=names, owners=owners(names, nics, root))).backend


def holds_lease(index: int, root: Path) -> bool:
    """Whether a manager holds a DHCP lease for the NIC of that index."""
    return any(manager.holds_lease(index, root) for manager in MANAGERS)


def applied_backend() -> NetworkBackend:
    """The backend that an apply on this machine went through, even if its programs are gone by now.

    By the recorded identity, else by the files that are here. Older versions recorded none: there was only ifupdown.
    """
    if (kind := _recorded_backend()) is not None:
        return BACKENDS[kind]
    for backend in BACKENDS.values():
        # Not Path.exists, which raises where only root may look.
        if any(read_text(path) is not None for path in (backend.file.live, backend.file.kept)):
            return backend
    return _IFUPDOWN


def _recorded_backend() -> Backend | None:
    """The backend of the recorded identity; None where none is recorded."""
    texts = (read_text(path) for path in (paths.LIVE_IDENTITY, paths.IDENTITY))
    text = next((text for text in texts if text is not None), None)
    return None if text is None else _recorded(text)


def _recorded(identity: str) -> Backend:
    try:
        return Backend(str(tomllib.loads(identity).get("address", {}).get("backend", Backend.IFUPDOWN)))
    except (tomllib.TOMLDecodeError, AttributeError, ValueError):
        return Backend.IFUPDOWN
