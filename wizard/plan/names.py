"""The texts that our DNS server reads: options, hosts and upstream servers. Formats: dnsmasq(8)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, ip_address

from netaddr import IPNetwork

from wizard.plan import addresses
from wizard.plan.lease_parser import parse_leases
from wizard.plan.model import Plan

HEADER = "# written by ciao-wizard's guard; change the plan and run 'ciao-wizard apply'"
PROTECTED = ("_gateway", "gateway", "isatap", "localhost", "localdomain", "ntp", "wpad")
"""Names that clients trust: no machine gets one by announcing it as its host name."""
_MOST_SERVERS = 16
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_NOT_DNS = ("dhcp-", "no-dhcp-", "no-ping", "pid-file", "log-dhcp", "read-ethers", "enable-ra", "ra-param")


def dns_options(conf: str, files: Iterable[str]) -> str:
    """`conf` without its DHCP options, followed by `files`: option lines that name the files to read."""
    kept = [line for line in conf.splitlines() if line and not line.startswith(("#", *_NOT_DNS))]
    return "\n".join([HEADER, *kept, *files]) + "\n"


def reverse_zones(cidr: IPNetwork) -> list[str]:
    """The zones under in-addr.arpa that cover exactly this subnet."""
    whole = -(-int(cidr.prefixlen) // 8)
    parts = cidr.subnet(8 * whole) if whole else []
    return [".".join([*reversed(str(part.network).split(".")[:whole]), "in-addr.arpa"]) for part in parts]


def hosts(plan: Plan, leases: str, now: float) -> str:
    """A hosts file: the plan's nodes and devices, and all other leases. `leases`: dnsmasq's file; `now`: Unix time."""
    plan = addresses.assign(plan)
    domain = plan.network.domain
    rows = [(str(machine.ip), machine.name.lower()) for machine in plan.machines]
    taken = {*PROTECTED, *(name for _, name in rows)}
    used = {str(plan.network.gateway), *(ip for ip, _ in rows)}
    for ip, name in _leased(leases, now):
        if name not in taken and ip not in used and ip in plan.network.cidr:
            taken.add(name)
            used.add(ip)
            rows.append((ip, name))
    return "\n".join([HEADER, *(f"{ip} {name}.{domain} {name}" for ip, name in rows)]) + "\n"


def _leased(leases: str, now: float) -> Iterator[tuple[str, str]]:
    """Address and name of each lease that has a name which can be one. The text is dnsmasq's, the names anybody's."""
    for lease in parse_leases(leases)[0]:
        over = lease.expires is not None and lease.expires.timestamp() < now
        name = lease.hostname.lower()
        if not over and len(name) <= 63 and _LABEL.fullmatch(name):
            yield lease.ip, name


def nameserver_words(resolv_conf: str) -> Iterator[str]:
    """What each "nameserver" line of a resolv.conf names, as it stands there."""
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            yield words[1]


def upstream_servers(resolv_conf: str, gateway: str) -> tuple[str, ...]:
    """The name servers of a resolv.conf in order, without our own (`gateway`); see resolv.conf(5)."""
    found: dict[str, None] = {}
    for word in nameserver_words(resolv_conf):
        server = _server(word)
        if server and server != gateway:
            found[server] = None
    return tuple(found)[:_MOST_SERVERS]


def _server(word: str) -> str:
    try:
        address = ip_address(word)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        if address.scope_id and not _ZONE.fullmatch(address.scope_id):
            return ""
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
    if address.is_unspecified:
        # glibc takes it for the local host.
        return "127.0.0.1" if address.version == 4 else "::1"
    return str(address)


def servers_file(servers: Iterable[str]) -> str:
    """dnsmasq's servers-file, which it reads again on SIGHUP."""
    return "\n".join([HEADER, *(f"server={server}" for server in servers)]) + "\n"
