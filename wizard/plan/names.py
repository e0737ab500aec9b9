"""The texts that our DNS server reads: options, hosts and upstream servers. Formats: dnsmasq(8)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, ip_address
from typing import assert_never

from netaddr import IPNetwork

from wizard.plan import addresses
from wizard.plan.lease_parser import parse_leases
from wizard.plan.model import ADDRESS_RECORDS, Plan, Record, RecordKind, SplitDns

HEADER = "# written by ciao-wizard's guard; change the plan and run 'ciao-wizard apply'"
PROTECTED = ("_gateway", "gateway", "isatap", "localhost", "localdomain", "ntp", "wpad")
"""Names that clients trust: no machine gets one by announcing it as its host name."""
_MOST_SERVERS = 16
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_NOT_DNS = (
    "dhcp-",
    "no-dhcp-",
    "no-ping",
    "pid-file",
    "log-dhcp",
    "read-ethers",
    "enable-ra",
    "ra-param",
    "tftp-",
    "enable-tftp",
)


def dns_options(conf: str, more: Iterable[str]) -> str:
    """`conf` without its DHCP options, followed by the option lines `more`: files to read, and records."""
    kept = [line for line in conf.splitlines() if line and not line.startswith(("#", *_NOT_DNS))]
    return "\n".join([HEADER, *kept, *more]) + "\n"


def reverse_zones(cidr: IPNetwork) -> list[str]:
    """The zones under in-addr.arpa that cover exactly this subnet."""
    whole = -(-int(cidr.prefixlen) // 8)
    parts = cidr.subnet(8 * whole) if whole else []
    return [".".join([*reversed(str(part.network).split(".")[:whole]), "in-addr.arpa"]) for part in parts]


def hosts(plan: Plan, leases: str, now: float) -> str:
    """A hosts file: the plan's nodes, devices and records with an address, and all other leases.

    `leases`: dnsmasq's file; `now`: Unix time.
    """
    plan = addresses.assign(plan)
    domain = plan.network.domain
    rows = [(str(machine.ip), machine.name.lower()) for machine in plan.machines]
    own = [(record.value, record.name) for record in plan.records if record.kind in ADDRESS_RECORDS]
    taken = {*PROTECTED, *(name for _, name in rows), *(_short_name(record.name, domain) for record in plan.records)}
    used = {str(plan.network.gateway), *(ip for ip, _ in rows), *(ip for ip, _ in own)}
    for ip, name in _leased(leases, now):
        if name not in taken and ip not in used and ip in plan.network.cidr:
            taken.add(name)
            used.add(ip)
            rows.append((ip, name))
    lines = [f"{ip} {name}.{domain} {name}" for ip, name in rows]
    # Of several names of an address the first is what it resolves to: the machine's own.
    lines += [" ".join([ip, *_all_names(name, domain)]) for ip, name in own]
    return "\n".join([HEADER, *lines]) + "\n"


def full_name(name: str, domain: str) -> str:
    """A record's name in full: in the domain if it has one label, besides those that begin with "_"."""
    if name == domain or name.endswith(f".{domain}"):
        return name
    return f"{name}.{domain}" if sum(not label.startswith("_") for label in name.split(".")) <= 1 else name


def _short_name(name: str, domain: str) -> str:
    return name.removesuffix(f".{domain}")


def _all_names(name: str, domain: str) -> list[str]:
    """The name in full and, if it is a single label in the domain, that label."""
    whole = full_name(name, domain)
    label = _short_name(whole, domain)
    return [whole] if whole == label or "." in label else [whole, label]


def record_options(plan: Plan) -> list[str]:
    """Option lines of dnsmasq for the records that no hosts file can hold. The plan must have passed the rules."""
    domain = plan.network.domain
    return [line for record in plan.records for line in _option_lines(record, domain)]


def _option_lines(record: Record, domain: str) -> Iterator[str]:
    name = full_name(record.name, domain)
    match record.kind:
        case RecordKind.A | RecordKind.AAAA:
            # In the hosts file.
            return
        case RecordKind.CNAME:
            yield f"cname={','.join([*_all_names(record.name, domain), full_name(record.value, domain)])}"
        case RecordKind.SRV:
            priority, weight, port, target = record.value.split()
            yield f"srv-host={name},{full_name(target, domain)},{port},{priority},{weight}"
        case RecordKind.TXT:
            text = record.value.replace("\\", "\\\\").replace('"', '\\"')
            for each in _all_names(record.name, domain):
                yield f'txt-record={each},"{text}"'
        case _:
            assert_never(record.kind)


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


def servers_file(servers: Iterable[str], split: Iterable[SplitDns] = ()) -> str:
    """dnsmasq's servers-file, which it reads again on SIGHUP. `split`: the domains with servers of their own."""
    lines = [f"server={server}" for server in servers]
    lines += [f"server=/{each.domain}/{server}" for each in split for server in each.servers]
    return "\n".join([HEADER, *lines]) + "\n"
