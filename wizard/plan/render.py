"""Plan -> every file that an apply writes, through templates/."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from netaddr import cidr_merge

from wizard.plan import addresses, names, paths, raw_machines, targets
from wizard.plan.backends import ADDRESS_FILES, AddressFile, Backend
from wizard.plan.boot_options import PLANNED, STRANGER
from wizard.plan.fields import format_mac
from wizard.plan.findings import WizardError
from wizard.plan.images import HTTP_PORT, PI_PREFIXES
from wizard.plan.machine import Facts
from wizard.plan.model import AnswerPolicy, Forward, Machine, Plan, Protocol
from wizard.plan.ntp import LOCAL_STRATUM, NO_TIME, TEMPLATES, NtpMode, TimeSource
from wizard.plan.template_values import Quoted, plain
from wizard.plan.uplinks import INTERNET, NEVER_BY_NAME

HEADER = "# written by ciao-wizard"
_ZONES_A_LINE = 16
DHCP_UID = 60867
"""The user that our dnsmasq runs as: a number that no distribution hands out (60578-61183 are free by
systemd's table), so that the packet filter can tell its answers from everyone else's."""

PROFILE_UUID = "c1a0c1a0-9a7e-4c1a-8a5e-0c1a0c1a0c1a"
"""Of NetworkManager's profile. One for every plan: a new plan changes the profile instead of adding one."""

WALK_PORT = 1
"""Source port of the guard's own connections to forwards: it proves their path."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to write: absolute path, whole text, permission bits."""

    path: str
    text: str
    mode: int = 0o644

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def _unit_word(word: str) -> str:
    """A word of ExecStart, see systemd.service(5) and systemd.syntax(7). Raises WizardError for control characters."""
    if not word.isprintable():
        raise WizardError(f"{word!r} cannot be written into a unit of systemd", "Install it under another path.")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return escaped if re.fullmatch(r"[\w./%$+=:,@-]+", word) else f'"{escaped}"'


def _fill(template: str, template_context: dict[str, Any]) -> str:
    # Most commands render nothing, and need no jinja2.
    from wizard.plan.templates import TEMPLATES

    return TEMPLATES.get_template(template).render(template_context)


def _forward_rows(plan: Plan) -> list[dict[str, object]]:
    """A row for each port. Of a range each is its own: a map of ranges cannot keep the port."""
    by_name = {machine.name: machine.ip for machine in plan.machines}
    return [
        {
            "protocol": str(forward.protocol),
            "port": port,
            "address": str(by_name.get(forward.to) or forward.to),
            "to_port": forward.to_port if forward.last_port is None else port,
        }
        for forward in plan.forwards
        for port in forward.ports
    ]


def _tags_of(machine: Machine, used: frozenset[targets.OptionTarget], netboot: bool) -> list[str]:
    """dnsmasq's tags of a machine. To boot over the network each has its own."""
    own = targets.OptionTarget("node", machine.name)
    return [*targets.tags_of(machine, used | {own} if netboot else used), *([PLANNED] if netboot else [])]


def _masked(pattern: str) -> dict[str, str]:
    """A pattern of MACs as the packet filter compares it."""
    octets = pattern.split(":")
    return {
        "mask": ":".join("00" if octet == "*" else "ff" for octet in octets),
        "mac": ":".join("00" if octet == "*" else octet for octet in octets),
    }


def _source_rows(forward: Forward) -> list[dict[str, object]]:
    # Merged: nftables refuses networks that overlap.
    merged = cidr_merge(list(forward.sources or ()))
    return [{"to": f"{forward.protocol} . {forward.port_text}", "network": str(network)} for network in merged]


def _ports_leading_to(service: int, protocol: Protocol, plan: Plan) -> str:
    """The forwarded ports behind which a client expects this service, or a node has it on its usual port."""
    forwards = [forward for forward in plan.forwards if forward.protocol is protocol]
    found = {forward.port for forward in forwards if forward.last_port is None and forward.to_port == service}
    found |= {service for forward in forwards if service in forward.ports}
    return ", ".join(map(str, sorted(found)))


def _lines_of(zones: list[str]) -> list[str]:
    """Zones joined by slashes, as many as dnsmasq reads from one line."""
    return ["/".join(zones[at : at + _ZONES_A_LINE]) for at in range(0, len(zones), _ZONES_A_LINE)]


def template_context(
    plan: Plan, dhcp_uid: int = DHCP_UID, cluster_mac: str = "", time: TimeSource = NO_TIME
) -> dict[str, Any]:
    """The variables of all templates. `plan` must have passed the rules."""
    plan = addresses.assign(plan)
    net = plan.network
    first, last = addresses.dynamic_range(net)
    size = int(last) - int(first) + 1
    follows = plan.interfaces.follows_default_route
    machines = plan.machines
    macs = [mac for machine in machines for mac in machine.macs]
    used = targets.used_targets(plan)
    taken_names = {machine.name for machine in machines}
    return {
        "plan_path": paths.PLAN_IN_FORCE,
        "corporate": plan.interfaces.corporate,
        "auto": follows,
        # How the rules and the script name what leads out.
        "uplink": Quoted("@uplinks" if follows else f'"{plain(plan.interfaces.corporate)}"'),
        "forwarding_nics": Quoted('$UPLINKS "$CLUSTER"' if follows else '"$CORPORATE" "$CLUSTER"'),
        "never_uplinks": Quoted(" | ".join(NEVER_BY_NAME)),
        "internet": " ".join(INTERNET),
        "cluster": plan.interfaces.cluster,
        "cidr": str(net.cidr),
        "prefix": int(net.cidr.prefixlen),
        "netmask": str(net.cidr.netmask),
        "network": str(net.cidr.network),
        "broadcast": str(net.cidr[-1]),
        "gateway": str(net.gateway),
        "gateway_name": "" if "gateway" in taken_names else "gateway",
        "range_first": str(first),
        "range_last": str(last),
        "range_size": size,
        "slice": str(net.dhcp_slice or "") if net.dhcp_range is None else "",
        "lease_time": net.lease_time,
        # Every host but this one. Were it to follow the number of nodes, a new node would restart dnsmasq.
        "lease_max": int(net.cidr.size) - 3,
        "domain": net.domain,
        # Without the cluster's own domain a client would ask the company for a node's name, and may be given another's.
        "search": ",".join(dict.fromkeys([net.domain, *net.search])) if net.search else "",
        "mtu": net.mtu or 0,
        # Parsed, and written in quotes.
        "option_lines": [Quoted(line) for _, line in targets.option_lines(plan)],
        "reverse_zones": _lines_of(names.reverse_zones(net.cidr)),
        "protected_names": list(names.PROTECTED),
        "known_only": net.answer is AnswerPolicy.KNOWN,
        "vm_macs": list(net.vm_macs),
        "nodes": [
            {
                "macs": ",".join(format_mac(mac) for mac in machine.macs),
                "ip": str(machine.ip),
                "name": machine.name,
            }
            for machine in machines
        ],
        "machine_tags": [
            {"mac": format_mac(mac), "tag": tag}
            for machine in machines
            for tag in _tags_of(machine, used, bool(plan.images))
            for mac in machine.macs
        ],
        "node_macs": ", ".join(map(format_mac, macs)) or "00:00:00:00:00:00",
        "node_numbers": ", ".join(f"0x{int(mac):012x}" for mac in macs) or "0x0",
        "forwards": _forward_rows(plan),
        "restricted": [f"{f.protocol} . {port}" for f in plan.forwards if f.sources for port in f.ports],
        "sources": [row for f in plan.forwards for row in _source_rows(f)],
        "ftp_ports": _ports_leading_to(21, Protocol.TCP, plan),
        "tftp_ports": _ports_leading_to(69, Protocol.UDP, plan),
        "dhcp_uid": dhcp_uid,
        "walk_port": WALK_PORT,
        "cluster_mac": cluster_mac,
        "profile_uuid": PROFILE_UUID,
        "pid_file": paths.DNSMASQ_PID,
        "lease_file": paths.LEASES,
        "time_servers": ",".join(time.servers),
        "serves_time": time.server is not None,
        "local_stratum": LOCAL_STRATUM,
        "netboot": bool(plan.images),
        "netboot_port": HTTP_PORT,
        "tftp_root": paths.TFTP_ROOT,
        "boot_options_file": paths.NETBOOT_OPTIONS,
        "planned": PLANNED,
        "stranger": STRANGER,
        "most_raw": raw_machines.MOST,
        "not_strangers": [_masked(pattern) for pattern in (*net.vm_macs, targets.MADE_UP_MACS)],
        "pi_prefixes": PI_PREFIXES,
        # Of a plan with images the guard makes it, from the other one and from who is armed.
        "hosts_file": paths.NETBOOT_HOSTS if plan.images else paths.DNSMASQ_HOSTS,
    }


def plan_in_force_text(plan_text: str) -> str:
    """`plan_text` under our header line."""
    body = plan_text
    if body.startswith(HEADER):
        body = body.partition("\n")[2]
    header = f"{HEADER}: the plan in force; edit it here, or apply another: 'ciao-wizard apply [-c PLAN]'"
    return f"{header}\n{body}"


def render(
    plan: Plan,
    plan_text: str,
    dhcp_uid: int = DHCP_UID,
    cluster_mac: str = "",
    backend: Backend = Backend.IFUPDOWN,
    time: TimeSource = NO_TIME,
) -> tuple[File, ...]:
    """Every file of the plan, that of the cluster NIC's address last.

    `plan_text` is the plan file as the person wrote it; `cluster_mac` the permanent MAC of the cluster NIC, "" where
    it is not known; `backend` whoever sets the address; `time` who gives the time. The plan must have passed the rules.
    """
    filled = template_context(plan, dhcp_uid, cluster_mac, time)
    server = time.server
    return (
        File(paths.PLAN_IN_FORCE, plan_in_force_text(plan_text)),
        File(paths.DNSMASQ_CONF, _fill("tenant_dns.cfg", filled)),
        File(paths.DNSMASQ_HOSTS, _fill("tenant_dns.hosts", filled)),
        File(paths.NAT_SCRIPT, _fill("nat.sh", filled), 0o755),
        *([File(server.drop_in, _fill(TEMPLATES[server.kind], filled))] if server is not None else []),
        _kept_address(ADDRESS_FILES[backend], filled),
    )


def _kept_address(file: AddressFile, filled: dict[str, Any]) -> File:
    return File(file.kept, _fill(file.template, filled), file.mode)


def render_live_address(plan: Plan, cluster_mac: str, backend: Backend) -> File:
    """The file of the cluster NIC's address as a trial needs it. The plan must have passed the rules."""
    file = ADDRESS_FILES[backend]
    filled = template_context(plan, cluster_mac=cluster_mac)
    return File(file.live, _fill(file.live_template, filled), file.live_mode)


def render_identity(plan: Plan, facts: Facts, backend: Backend = Backend.IFUPDOWN, time: TimeSource = NO_TIME) -> File:
    """identity.toml: the plan's NICs on this machine, by permanent MAC and bus path; who sets the address, who gives
    the time."""
    lines = [f"{HEADER}: the NICs that {paths.PLAN_IN_FORCE} means; 'ciao-wizard apply' writes it anew"]
    # Where the corporate NIC is whichever has the default route, none is recorded: it may be another tomorrow.
    corporate = "" if plan.interfaces.follows_default_route else plan.interfaces.corporate
    for role, name in (("corporate", corporate), ("cluster", plan.interfaces.cluster)):
        nic = facts.nic(name)
        if nic is not None:
            lines += ["", f"[{role}]", f'name = "{nic.name}"', f'mac  = "{nic.permanent_mac}"', f'bus  = "{nic.bus}"']
    if backend is not Backend.IFUPDOWN:
        lines += ["", "[address]", f'backend = "{backend}"']
    # Nobody is recorded too: nothing at all is what versions wrote that knew no time.
    if plan.network.ntp is not NtpMode.OFF:
        named = ", ".join(f'"{server}"' for server in time.servers)
        lines += ["", "[time]", f"servers = [{named}]"]
    if time.server is not None:
        server = time.server
        lines += [f'kind = "{server.kind}"', f'unit = "{server.unit}"', f'drop_in = "{server.drop_in}"']
    return File(paths.IDENTITY, "\n".join(lines) + "\n")


def render_service(command: Sequence[str]) -> File:
    """The systemd unit. It names this installation's interpreter, so it is not one of the plan's files."""
    program, *words = command
    # Only the words behind the program have variables replaced.
    quoted = [_unit_word(program), *(_unit_word(word.replace("$", "$$")) for word in words)]
    serve_command = Quoted(" ".join(quoted))
    text = _fill("ciao-gateway.service", {"plan_path": paths.PLAN_IN_FORCE, "serve_command": serve_command})
    return File(paths.SERVICE_FILE, text)


def live_file(file: File) -> File:
    """The same file for a trial: under /run, and referring to the other files there."""
    return File(paths.live(file.path), live_text(file.text), file.mode)


def live_text(text: str) -> str:
    """The text of a kept file for a trial: it refers to the other files under /run."""
    return text.replace(paths.DNSMASQ_HOSTS, paths.LIVE_HOSTS)
