"""The welcome page's lines: what this machine is, what is missing, what is in the way, what an earlier run left."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from wizard.plan.addresses import default_route_nics
from wizard.plan.fields import shown
from wizard.plan.machine import Facts, Listener, Nic
from wizard.plan.model import Plan
from wizard.plan.rules.forwards import WILDCARDS
from wizard.plan.rules.nics import CABLE_KINDS
from wizard.plan.rules.ports import SERVICES, answers_this_machine, is_ours, why_not_stopped
from wizard.plan.tools import PACKAGES

_NAMES = {
    "docker": "Docker",
    "nftables": "nftables rules",
    "iptables": "iptables rules",
    "networkd": "systemd-networkd",
}
_MOST_NAMES = 4


@dataclass(frozen=True, slots=True)
class WelcomeLine:
    """`sign`: "✓" fine, "✗" must be fixed, "!" check it, "·" for information, "" none. `remedy` may be a command."""

    sign: str
    label: str
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Installer:
    """A package manager's install command. `names`: (Debian's name, its name) of packages that it names otherwise."""

    command: str
    names: tuple[tuple[str, str], ...] = ()

    def line(self, tools: Collection[str], root: bool) -> str:
        """The command that installs these programs."""
        names = dict(self.names)
        packages = {PACKAGES.get(tool, tool) for tool in tools}
        listed = " ".join(sorted({names.get(package, package) for package in packages}))
        return f"{'' if root else 'sudo '}{self.command} {listed}"


INSTALLERS = {
    "apt-get": Installer("apt install"),
    "dnf": Installer("dnf install", (("dnsmasq-base", "dnsmasq"), ("iproute2", "iproute"))),
    "zypper": Installer("zypper install", (("dnsmasq-base", "dnsmasq"),)),
    "pacman": Installer("pacman -S", (("dnsmasq-base", "dnsmasq"),)),
    "apk": Installer("apk add", (("dnsmasq-base", "dnsmasq"),)),
}
"""By program, in order of preference."""


@dataclass(frozen=True, slots=True)
class WelcomeReport:
    """What the welcome page shows. `state` as in `status`; `draft` sums up an unfinished draft, "" without one.

    `nics` are those that `machine` has in one line, to be shown one by one where there is room.
    """

    machine: tuple[WelcomeLine, ...]
    needs: tuple[WelcomeLine, ...]
    found: tuple[WelcomeLine, ...]
    state: str
    draft: str = ""
    nics: tuple[Nic, ...] = ()


def machine_lines(facts: Facts, root: bool) -> tuple[WelcomeLine, ...]:
    """What this machine is: one line each for system, network, NICs, firewalls, VPN, user."""
    lines = [
        WelcomeLine("", "System", facts.system or "not known"),
        WelcomeLine("", "Network", _managers(facts)),
        WelcomeLine("", "NICs", _nics(facts)),
        WelcomeLine("", "Firewalls", _firewalls(facts, root)),
    ]
    tunnels = [nic for nic in facts.nics if nic.kind == "tunnel" and nic.up]
    if tunnels:
        lines.append(WelcomeLine("", "VPN", "; ".join(_vpn(nic, facts) for nic in tunnels[:_MOST_NAMES])))
    ssh = next((nic.name for nic in facts.nics if nic.carries_ssh), "")
    here = f"over SSH, through {ssh}" if ssh else "over SSH" if facts.ssh_port else ""
    who = "root" if root else "not root: sudo asks for your password when something changes"
    lines.append(WelcomeLine("", "You are", f"{who}; here {here}" if here else who))
    return tuple(lines)


def missing_tool_lines(tools: Collection[str], installer: Installer | None, root: bool) -> tuple[WelcomeLine, ...]:
    """Missing programs, and the command that installs them."""
    if not tools:
        return (WelcomeLine("✓", "Programs", "everything an apply needs is installed"),)
    names = ", ".join(sorted(tools))
    remedy = installer.line(tools, root) if installer else "Install them with the package manager of this system."
    return (WelcomeLine("✗", "Missing", names, remedy),)


def port_conflict_lines(facts: Facts) -> tuple[WelcomeLine, ...]:
    """Programs that serve DNS or DHCP here, and whether they conflict with ours."""
    lines = tuple(_rivals(facts))
    return lines or (WelcomeLine("✓", "Ports", "no DNS or DHCP server here: ports 53 and 67 are free"),)


def _rivals(facts: Facts) -> Iterator[WelcomeLine]:
    beside: dict[str, list[str]] = {}
    listed: set[tuple[int, str, int | None]] = set()
    for listener in facts.listeners:
        key = (listener.port, listener.process or listener.unit, listener.pid)
        wanted = listener.port == 53 or (listener.port == 67 and listener.protocol == "udp")
        if not wanted or key in listed or is_ours(listener, facts):
            continue
        if listener.address in WILDCARDS and not listener.nic:
            listed.add(key)
            yield _rival(listener, facts)
        elif not (facts.applied_cluster and listener.nic in ("", facts.applied_cluster) and not listener.process):
            where = f"{listener.address}{f'%{listener.nic}' if listener.nic else ''}"
            places = beside.setdefault(_who(listener), [])
            if where not in places:
                places.append(where)
    for who, places in beside.items():
        more = f" and {len(places) - 2} more" if len(places) > 2 else ""
        yield WelcomeLine("·", "Beside us", f"{who} serves only {', '.join(places[:2])}{more}; no conflict")


def _rival(listener: Listener, facts: Facts) -> WelcomeLine:
    if answers_this_machine(listener, facts):
        stop = "Do not stop it: this machine itself asks it for names. Bind it to its own addresses."
    elif any(service.unit == listener.unit for service in facts.services):
        objection = why_not_stopped(listener.unit, facts)
        bind = "the NICs it serves" if listener.port == 67 else "its own addresses"
        stop = (
            f"Bind it to {bind}; {listener.unit} is not to be stopped: {objection}."
            if objection
            else f"Review asks whether the apply may stop {listener.unit}."
        )
    elif listener.unit:
        # Stopped alone, it is back at the next boot.
        stop = f"sudo systemctl disable --now {listener.unit}"
    elif listener.pid is not None:
        stop = f"Stop it for good (process {listener.pid}), or bind it to the NICs it serves."
    else:
        stop = f"See who it is: sudo ss -lntup 'sport = :{listener.port}'"
    service = SERVICES[listener.port]
    return WelcomeLine(
        "✗", "In the way", f"{_who(listener)} serves {service} on every NIC (port {listener.port})", stop
    )


def _who(listener: Listener) -> str:
    if not listener.process:
        return listener.unit or "another program"
    return listener.process if listener.pid is None else f"{listener.process} (pid {listener.pid})"


def plan_line(plan: Plan, source: str, changed: bool) -> WelcomeLine:
    """The plan that the pages begin with, and its source; `changed`: the user has edited it since."""
    nodes = len(plan.nodes)
    what = f"{nodes} {'node' if nodes == 1 else 'nodes'}, subnet {plan.network.cidr}"
    where = "standard input" if source == "-" else source
    return WelcomeLine("·", "Plan", f"{where}: {what}{', and what you have changed' if changed else ''}")


def earlier_run_lines(state: str, healthy: bool, drift: Sequence[str], reason: str) -> tuple[WelcomeLine, ...]:
    """What an earlier run left. `state` as in `status`; `drift` one sentence per changed file or rule."""
    lines: list[WelcomeLine] = []
    if state == "absent":
        lines.append(WelcomeLine("✓", "Earlier run", "nothing is applied here"))
    elif state == "applied":
        text = "the gateway is running and healthy" if healthy else "the gateway is running, and something is wrong"
        lines.append(WelcomeLine("✓" if healthy else "✗", "Earlier run", text))
    elif state == "tripped":
        lines.append(
            WelcomeLine("✗", "Earlier run", f"the guard has stopped the gateway: {reason or 'see the dashboard'}")
        )
    elif state == "interrupted":
        lines.append(WelcomeLine("✗", "Earlier run", "a change was interrupted and must be undone", _short(reason)))
    else:
        lines.append(WelcomeLine("!", "Earlier run", reason or state))
    if drift:
        more = f" (and {len(drift) - 1} more)" if len(drift) > 1 else ""
        lines.append(WelcomeLine("!", "Changed since", f"{drift[0]}{more}"))
    return tuple(lines)


def _short(reason: str) -> str:
    # "a run was cut off: …" is what the line says already; the ways back are keys here.
    return "" if reason.startswith("a run was cut off") else reason


def _managers(facts: Facts) -> str:
    names = [_NAMES.get(name, name) for name in facts.network_managers]
    if not names:
        return "no known network manager"
    return names[0] if len(names) == 1 else f"{names[0]}, beside {' and '.join(names[1:])}"


def _nics(facts: Facts) -> str:
    wired = [nic for nic in facts.nics if nic.kind in CABLE_KINDS]
    linked = sum(nic.carrier is True for nic in wired)
    words = [f"{len(wired)} wired ({linked} with a link)" if wired else "none wired"]
    wireless = sum(nic.kind == "wireless" for nic in facts.nics)
    if wireless:
        words.append(f"{wireless} wireless")
    routed = sorted(default_route_nics(facts))
    words.append(f"default route over {', '.join(map(nic_label, routed))}" if routed else "no default route")
    return ", ".join(words)


def nic_label(name: str) -> str:
    """A NIC's name within a sentence, in quotes only if it is no plain word."""
    return name if name.isascii() and name.isprintable() and " " not in name else shown(name)


def _firewalls(facts: Facts, root: bool) -> str:
    names = [_NAMES.get(name, name) for name in facts.firewalls]
    if not names:
        return "none" if root else "none seen (only root sees all of them)"
    return f"{', '.join(names)}: their rules are not changed"


def _vpn(nic: Nic, facts: Facts) -> str:
    over = [str(route.destination) for route in facts.routes if route.nic == nic.name and route.destination.prefixlen]
    name = nic_label(nic.name)
    if nic.name in default_route_nics(facts):
        return f"{name}, with the default route"
    more = f" and {len(over) - 2} more" if len(over) > 2 else ""
    return f"{name} to {', '.join(over[:2])}{more}" if over else name
