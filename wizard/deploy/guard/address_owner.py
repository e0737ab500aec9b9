"""Who takes the gateway's address off the cluster NIC, and what a person can do about it.

Called by `address_watch` in the guard's main thread, once DHCP is muted: the network managers are asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wizard.host.facts.listeners import unit_of
from wizard.host.facts.processes import RunningProcess, dhcp_client_nics, read_processes
from wizard.host.net import managers
from wizard.host.net.managers.backend import NetworkBackend
from wizard.plan import paths
from wizard.plan.backends import NAMES, Backend
from wizard.plan.findings import WizardError
from wizard.plan.machine import Nic
from wizard.plan.model import Plan
from wizard.plan.text import clean

_ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Taker:
    """Who has the NIC instead of us. `name`: "" where nobody is known to. `detail`: what shows it.

    `key`: stays the same while the owner does.
    """

    name: str = ""
    detail: str = ""
    remedy: str = ""
    key: str = ""

    def __str__(self) -> str:
        """As it stands behind "by"."""
        return f"{self.name or 'somebody'} ({self.detail})" if self.detail else self.name or "somebody"


def find_taker(plan: Plan, nic: Nic) -> Taker:
    """Who manages the cluster NIC now, other than by our own configuration. Never raises."""
    try:
        running = read_processes(_ROOT)
        applied = managers.applied_backend()
        return (
            _other_manager(plan, nic, running, applied)
            or _dhcp_client(nic, running)
            or _released(nic, applied)
            or _nobody(nic)
        )
    except (WizardError, OSError):
        return _nobody(nic)


def _other_manager(plan: Plan, nic: Nic, running: tuple[RunningProcess, ...], applied: NetworkBackend) -> Taker | None:
    for owner in managers.owners(managers.active(running, _ROOT), {nic.name: nic.index}, _ROOT):
        backend = managers.BACKENDS[Backend(owner.backend)]
        configured_as = backend.configured_as(nic.name)
        if configured_as in applied.ours(nic.name):
            continue
        remedy = (
            backend.remedy_for_other(nic.name, clean(configured_as))
            if backend is applied
            else _remedy_for_another(plan, backend)
        )
        name = NAMES[backend.backend]
        return Taker(name, owner.reason, remedy, name)
    return None


def _remedy_for_another(plan: Plan, backend: NetworkBackend) -> str:
    nic, wanted, name = plan.interfaces.cluster, plan.network.backend, NAMES[backend.backend]
    if wanted in (Backend.AUTO, backend.backend):
        return f"Run 'sudo ciao-wizard apply': it has {name} give {nic} the address from then on."
    return (
        f"The plan has {NAMES[wanted]} configure {nic}. Keep {name} from it, or write "
        f"backend = \"auto\" under [network] in {paths.PLAN_IN_FORCE} and run 'sudo ciao-wizard apply'."
    )


def _dhcp_client(nic: Nic, running: tuple[RunningProcess, ...]) -> Taker | None:
    for process in running:
        if nic.name not in dhcp_client_nics((process,), (nic.name,)):
            continue
        name, unit = clean(process.name, 40), unit_of(_ROOT, process.pid)
        stop = f"sudo systemctl disable --now {clean(unit, 80)}" if unit else f"sudo kill {process.pid}"
        return Taker(
            name,
            f"a DHCP client on {nic.name}, process {process.pid}",
            f"Stop that DHCP client with '{stop}', and see that nothing starts it again.",
            name,
        )
    return None


def _released(nic: Nic, applied: NetworkBackend) -> Taker | None:
    """The manager that gave the address has nothing on the NIC any more."""
    if applied.backend is Backend.NONE or applied.configured_as(nic.name):
        return None
    manager = NAMES[applied.backend]
    name = "ifdown" if applied.backend is Backend.IFUPDOWN else manager
    return Taker(name, f"{manager} does not have {nic.name} configured", "Run 'sudo ciao-wizard apply'.", name)


def _nobody(nic: Nic) -> Taker:
    return Taker(
        remedy=f"No network manager and no DHCP client on {nic.name} shows who it is: run 'ip monitor address link dev "
        f"{nic.name}' and look at what runs when it happens. 'sudo ciao-wizard apply' gives the address back at once."
    )
