"""Text -> value, one parser per field.

A parser strips blanks and returns a value whose text is safe in a configuration file, a shell script and a
terminal. It raises FieldError, which names the value and says what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeVar

from netaddr import EUI, IPAddress, IPNetwork, mac_unix_expanded

from wizard.plan.backends import Backend
from wizard.plan.findings import WizardError
from wizard.plan.model import AnswerPolicy, ClusterKind, Protocol, Role
from wizard.plan.ntp import MOST_SERVERS, NtpMode, NtpSetting, is_server_address

LONGEST_SHOWN = 60
SHORTEST_LEASE = 120
LONGEST_LEASE = 365 * 86400

_MAC_FORMS = (
    re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}"),
    re.compile(r"[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}"),
    re.compile(r"[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2}"),
    re.compile(r"[0-9A-Fa-f]{12}"),
)
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_PREFIX = re.compile(r"[12]?[0-9]|3[0-2]")
_NIC_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ROLE_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_NOT_A_ROLE = frozenset({"all", "ungrouped", "localhost", "devices"})
MOST_MACS = 8
_LEASE = re.compile(r"([0-9]{1,10})([smhdw]?)")
_LEASE_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PATH = re.compile(r"[A-Za-z0-9/._+@-]{2,200}")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_PORT_RANGE = re.compile(r"([0-9]{1,6}) *- *([0-9]{1,6})")
MOST_PORTS = 4096
"""Of one range: each port is an element of its own in the packet filter."""
LEAST_MTU, LARGEST_MTU = 576, 9216
_VM_MAC = re.compile(r"(?:[0-9a-f]{2}|\*)(?::(?:[0-9a-f]{2}|\*)){5}")
# In a reservation dnsmasq reads these as a lease time, or as "ignore this host" (dnsmasq(8), --dhcp-host).
_NOT_A_NAME = re.compile(r"[0-9]+[smhdw]?|infinite|ignore")

_Choice = TypeVar("_Choice", bound=StrEnum)


class FieldError(WizardError):
    """A value that is invalid in its field. `value` is the given one, safe to show."""

    def __init__(self, value: object, problem: str, remedy: str) -> None:
        self.value = shown(value)
        self.problem = problem
        super().__init__(f"{self.value} {problem}.", remedy)


def shown(value: object) -> str:
    """`value` for a message: text in quotes, escaped for a terminal, cut when long."""
    if isinstance(value, str):
        return f'"{printable(value)}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        # Python refuses to write out numbers of thousands of digits.
        return str(value) if abs(value) < 10**LONGEST_SHOWN else "a very large number"
    if isinstance(value, float):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    return "a table" if isinstance(value, dict) else "a date or a time"


def printable(text: str, limit: int = LONGEST_SHOWN) -> str:
    """`text` with control and invisible characters escaped, cut to `limit` characters of it."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[:limit])
    return safe + "…" if len(text) > limit else safe


def parse_mac(text: str) -> EUI:
    """A MAC with colons, dashes, Cisco's dots or bare. Zero and multicast are left to the rules."""
    given = _trimmed(text)
    if not any(form.fullmatch(given) for form in _MAC_FORMS):
        raise FieldError(text, "is not a MAC address", "Write six pairs of hex digits, such as b8:ae:ed:7b:51:50.")
    return EUI(int(re.sub("[:.-]", "", given), 16), version=48, dialect=mac_unix_expanded)


def format_mac(mac: EUI) -> str:
    """Lower case, six octets, colons: the form of sysfs, dnsmasq and our JSON."""
    return int(mac).to_bytes(6, "big").hex(":")


def parse_address(text: str) -> IPAddress:
    """An IPv4 address, four numbers."""
    given = _trimmed(text)
    if _IPV4.fullmatch(given):
        return IPAddress(given, version=4)
    remedy = "Write four numbers from 0 to 255, such as 192.168.0.101."
    if "/" in given and _IPV4.fullmatch(given.split("/", 1)[0]):
        raise FieldError(text, "carries a prefix", f"Write the address alone: {given.split('/', 1)[0]}.")
    if ":" in given:
        remedy = "The cluster uses IPv4. " + remedy
    raise FieldError(text, "is not an IPv4 address", remedy)


def is_mac(text: str) -> bool:
    """True if parse_mac accepts `text`. Cheaper than an exception, for every word of a list."""
    given = _trimmed(text)
    return any(form.fullmatch(given) for form in _MAC_FORMS)


def is_address(text: str) -> bool:
    """True if parse_address accepts `text`."""
    return _IPV4.fullmatch(_trimmed(text)) is not None


def parse_network(text: str) -> IPNetwork:
    """An IPv4 network with its prefix and no host bits."""
    given = _trimmed(text)
    address, slash, prefix = given.partition("/")
    if not _IPV4.fullmatch(address):
        raise FieldError(
            text, "is not an IPv4 network", "Write its first address and its prefix, such as 192.168.0.0/24."
        )
    if not slash:
        raise FieldError(text, "has no prefix", f"Add its length, such as {address}/24.")
    if not _PREFIX.fullmatch(prefix):
        raise FieldError(
            text,
            "has an invalid prefix",
            f"Use a number from 0 to 32, such as {address}/24.",
        )
    network = IPNetwork(given, version=4)
    if network.ip != network.cidr.ip:
        raise FieldError(
            text,
            "is an address within a network, not a network",
            f"Write {network.cidr} for the network it is in.",
        )
    return network


def parse_nic_name(text: str) -> str:
    """A NIC name that no tool interprets as code, a pattern or an option: ifup runs shell code in names."""
    given = _trimmed(text)
    if not _NIC_NAME.fullmatch(given):
        raise FieldError(
            text,
            "is not a NIC name that can be used safely",
            "Write a name of 1 to 15 letters, digits, '_', '.' and '-', as `ip link` shows it, such as eth1; "
            "rename a NIC that has another.",
        )
    if given in ("all", "default"):
        # Under /proc/sys/net these mean every NIC.
        raise FieldError(text, "means every NIC in the kernel's settings", "Write the name of one NIC.")
    return given


def parse_node_name(text: str) -> str:
    """A DNS label, in lower case."""
    given = _ascii_lower(_trimmed(text))
    if not _LABEL.fullmatch(given):
        raise FieldError(
            text,
            "is not a machine's name",
            "Write letters, digits and '-' between them, 63 at most, such as compute1.",
        )
    if _NOT_A_NAME.fullmatch(given):
        raise FieldError(
            text,
            "has another meaning to dnsmasq (a lease time or a keyword)",
            f"Add a letter, such as n{given}.",
        )
    if given == "localhost":
        raise FieldError(text, "is every machine's own name", "Choose another name, such as compute1.")
    return given


def parse_domain(text: str) -> str:
    """A DNS domain in lower case, without the last dot."""
    given = _ascii_lower(_trimmed(text)).removesuffix(".")
    labels = given.split(".")
    if len(given) > 200 or not all(_LABEL.fullmatch(label) for label in labels):
        raise FieldError(
            text, "is not a DNS domain", "Write letters, digits and '-' with dots between, such as ciao.lan."
        )
    if labels[-1].isdigit():
        raise FieldError(text, "looks like an address", "Write a domain that ends in a word, such as ciao.lan.")
    return given


def parse_lease_time(text: str) -> str:
    """dnsmasq's notation: 45m, 12h, 7d, 2w, plain seconds, "infinite"; from two minutes to a year."""
    given = _ascii_lower(_trimmed(text))
    if given == "infinite":
        return given
    match = _LEASE.fullmatch(given)
    if match is None:
        raise FieldError(
            text, "is not a lease time", "Write a number and m, h or d, such as 45m, 12h or 7d, or infinite."
        )
    seconds = int(match[1]) * _LEASE_UNITS[match[2]]
    if seconds < SHORTEST_LEASE:
        raise FieldError(text, "is shorter than dnsmasq's shortest lease", "Write 2m or longer, such as 12h.")
    if seconds > LONGEST_LEASE:
        raise FieldError(text, "is longer than a year", "Write 365d or shorter, or infinite.")
    return f"{int(match[1])}{match[2]}"


def parse_port(value: int | str) -> int:
    """A port from 1 to 65535; a number, or digits."""
    if isinstance(value, str):
        given = _trimmed(value)
        number = int(given) if _PORT.fullmatch(given) else 0
    else:
        number = 0 if isinstance(value, bool) else value
    if not 1 <= number <= 65535:
        raise FieldError(value, "is not a port", "Write a number from 1 to 65535, such as 8889.")
    return number


def parse_ports(value: int | str) -> tuple[int, int | None]:
    """The first and the last port of a range ("30000-30100"), or one port and None."""
    if isinstance(value, str) and (ends := _PORT_RANGE.fullmatch(_trimmed(value))):
        first, last = (parse_port(end) for end in ends.groups())
        if last <= first:
            raise FieldError(value, "runs backwards", f"Write the lower port first: {last}-{first}.")
        if last - first >= MOST_PORTS:
            raise FieldError(value, f"has {last - first + 1} ports", f"Write {MOST_PORTS} at most.")
        return first, last
    return parse_port(value), None


def parse_mtu(value: int | str) -> int:
    """An MTU of Ethernet, with room for IPv4's least; a number, or digits."""
    given = _trimmed(value) if isinstance(value, str) else str(value)
    number = int(given) if _PORT.fullmatch(given) and not isinstance(value, bool) else 0
    if not LEAST_MTU <= number <= LARGEST_MTU:
        remedy = f"Write a number from {LEAST_MTU} to {LARGEST_MTU}, such as 1400; Ethernet's own is 1500."
        raise FieldError(value, "is not an MTU", remedy)
    return number


def parse_role(text: str) -> Role:
    return _choice(text, Role, "a role")


def parse_roles(value: str | Sequence[str]) -> tuple[Role, ...]:
    """One role, several with commas between, or a list; none twice."""
    texts = value.split(",") if isinstance(value, str) else value
    roles = tuple(parse_role(text) for text in texts)
    if not roles:
        raise FieldError(value, "names no role", f"Write {_one_of(Role)}.")
    if len(set(roles)) < len(roles):
        raise FieldError(value, "names a role twice", "Write each role once.")
    return roles


def parse_label(text: str) -> str:
    """A role of a cluster that is not ciao's: a word that is safe in inventories and as a tag of dnsmasq."""
    given = _ascii_lower(_trimmed(text))
    if not _ROLE_LABEL.fullmatch(given):
        raise FieldError(text, "is not a role", "Write a word of letters, digits, '-' and '_', such as worker.")
    if given in _NOT_A_ROLE:
        raise FieldError(text, "has a meaning of its own in inventories", "Choose another word, such as worker.")
    return given


def parse_labels(value: str | Sequence[str]) -> tuple[str, ...]:
    """Roles as labels: several with commas between, a list, or none; none twice."""
    texts = [text for text in value.split(",") if text.strip()] if isinstance(value, str) else value
    labels = tuple(parse_label(text) for text in texts)
    if len(set(labels)) < len(labels):
        raise FieldError(value, "names a role twice", "Write each role once.")
    return labels


def parse_macs(value: str | Sequence[str]) -> tuple[EUI, ...]:
    """The MACs of one machine: several with commas between, or a list; none twice."""
    texts = value.split(",") if isinstance(value, str) else value
    if not texts:
        raise FieldError(list(texts), "holds no MAC", "Write at least one, such as b8:ae:ed:7b:51:50.")
    if len(texts) > MOST_MACS:
        raise FieldError(value, f"holds {len(texts)} MACs", f"Write {MOST_MACS} at most: the NICs of one machine.")
    macs = tuple(parse_mac(text) for text in texts)
    if len({int(mac) for mac in macs}) < len(macs):
        raise FieldError(value, "names a MAC twice", "Write each MAC once.")
    return macs


def parse_kind(text: str) -> ClusterKind:
    return _choice(text, ClusterKind, "a kind of cluster")


def parse_answer(text: str) -> AnswerPolicy:
    return _choice(text, AnswerPolicy, "an answer")


def parse_backend(text: str) -> Backend:
    return _choice(text, Backend, "a network backend")


def parse_ntp(value: str | Sequence[str]) -> NtpSetting:
    """ "auto", "off", or addresses: a list, or separated by commas. Raises FieldError."""
    if isinstance(value, str):
        given = value.strip(" ").lower() if value.isascii() else value
        if given in tuple(NtpMode):
            return NtpMode(given)
        value = value.split(",")
        if not any(is_address(text) for text in value):
            remedy = 'Write "auto", "off" or a list of addresses, such as ["192.168.0.5"].'
            raise FieldError(",".join(value), "names no time server", remedy)
    if not value:
        raise FieldError(list(value), "names no time server", 'Write "off" to name none.')
    found = tuple(map(_time_server, value))
    if len(set(found)) < len(found):
        raise FieldError(", ".join(map(str, found)), "names a server twice", "Write each server once.")
    if len(found) > MOST_SERVERS:
        remedy = f"Write {MOST_SERVERS} at most: that is as many as a node uses."
        raise FieldError(", ".join(map(str, found)), f"names {len(found)} servers", remedy)
    return found


def _time_server(text: str) -> IPAddress:
    address = parse_address(text)
    if not is_server_address(address):
        remedy = "Write the server's own address, such as 192.168.0.5."
        raise FieldError(text, "is no address that a node could ask", remedy)
    return address


def parse_protocol(text: str) -> Protocol:
    return _choice(text, Protocol, "a protocol")


def parse_vm_mac(text: str) -> str:
    """A MAC in which `*` stands for any octet, in lower case with colons."""
    given = _ascii_lower(_trimmed(text)).replace("-", ":")
    if _VM_MAC.fullmatch(given):
        return given
    if any(form.fullmatch(given) for form in _MAC_FORMS):
        return format_mac(parse_mac(given))
    raise FieldError(
        text,
        "is not a pattern of MACs",
        "Write six octets with colons between and * for any, such as 02:*:*:*:*:*.",
    )


def parse_target(text: str) -> str:
    """A forward's target, as text: a node's name or an IPv4 address."""
    given = _trimmed(text)
    if re.fullmatch(r"[0-9./:]*", given):
        return str(parse_address(text))
    return parse_node_name(text)


BMC_PROTOCOLS = ("redfish", "ipmi")


def parse_bmc(text: str) -> tuple[IPAddress, str]:
    """A BMC's address, and the protocol before it: "192.168.0.151" with "", "ipmi://192.168.0.151" with "ipmi"."""
    protocol, named, address = _trimmed(text).partition("://")
    if named and protocol not in BMC_PROTOCOLS:
        remedy = "Write four numbers, such as 192.168.0.151, or with a protocol: ipmi://192.168.0.151, redfish://…."
        raise FieldError(text, "is not the address of a BMC", remedy)
    return (parse_address(address), protocol) if named else (parse_address(text), "")


def format_bmc(address: IPAddress | None, protocol: str) -> str:
    """What parse_bmc reads; "" for None."""
    return "" if address is None else f"{protocol}://{address}" if protocol else str(address)


def parse_path(text: str) -> str:
    """The absolute path of a file, as it is written: no link or dot in it is followed."""
    given = _trimmed(text)
    parts = given.split("/")
    if not given.startswith("/") or not _PATH.fullmatch(given) or {"", ".", ".."} & set(parts[1:]):
        remedy = "Write an absolute path of letters, digits and . _ + @ -, such as /etc/ciao-wizard/bmc.toml."
        raise FieldError(text, "is not the path of a file", remedy)
    return given


NOT_FOR_THE_GUARD = (
    *("/usr/", "/boot/", "/efi/", "/home/", "/root/", "/run/user/"),
    *("/tmp/", "/var/tmp/"),  # noqa: S108 - it has its own, which nobody else sees
)
"""Where the guard's unit may not write (templates/ciao-gateway.service), or where no other program sees it."""


def parse_textfile(text: str) -> str:
    """A path that node_exporter's textfile collector reads, and that the guard may write."""
    given = parse_path(text)
    if given.startswith(NOT_FOR_THE_GUARD):
        remedy = "Write a path below /var/lib, such as /var/lib/prometheus/node-exporter/ciao.prom."
        raise FieldError(text, "is where the guard may not write, or where node_exporter does not see it", remedy)
    if not given.endswith(".prom"):
        remedy = "Write a path that ends in .prom, in the directory that node_exporter was given."
        raise FieldError(text, "is not read by node_exporter", remedy)
    return given


def parse_sources(value: str | Sequence[str]) -> tuple[IPNetwork, ...] | None:
    """Networks that may use a forward: a list, or separated by commas; None for "corporate"."""
    if isinstance(value, str):
        if _trimmed(value) == "corporate":
            return None
        value = value.split(",")
    if not value:
        raise FieldError(list(value), "allows nobody", 'Write "corporate" or a list of networks.')
    return tuple(_source(text) for text in value)


def _source(text: str) -> IPNetwork:
    given = _trimmed(text)
    if _IPV4.fullmatch(given):
        raise FieldError(text, "is one address", f"Write {given}/32 to let that machine alone in.")
    return parse_network(text)


def _choice(text: str, choices: type[_Choice], what: str) -> _Choice:
    given = _ascii_lower(_trimmed(text))
    for choice in choices:
        if choice.value == given:
            return choice
    raise FieldError(text, f"is not {what}", f"Write {_one_of(choices)}.")


def _one_of(choices: type[StrEnum]) -> str:
    *first, last = (choice.value for choice in choices)
    return f"{', '.join(first)} or {last}"


def _trimmed(text: str) -> str:
    # Blanks come with a paste. Newlines and the like are no accident that we should repair.
    return text.strip(" ")


def _ascii_lower(text: str) -> str:
    # str.lower turns the Kelvin sign into an ASCII k.
    return text.lower() if text.isascii() else text


def field_error(parse: Callable[[str], object], text: str) -> FieldError | None:
    """The FieldError that `parse` raises for `text`, or None."""
    try:
        parse(text)
    except FieldError as error:
        return error
    return None
