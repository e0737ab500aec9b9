"""TOML -> Plan. Nothing is skipped or guessed: an unknown key or an invalid value is an error."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from functools import partial
from typing import Any

from netaddr import EUI, IPAddress, IPNetwork

from wizard.plan import dhcp_options, dns_fields, fields
from wizard.plan.addresses import default_gateway
from wizard.plan.fields import FieldError, printable, shown
from wizard.plan.file.toml_lines import MOST_DOTS, key_lines, line_of, too_dotted
from wizard.plan.file.toml_table import Problem, TomlTable, as_number, as_text, as_texts
from wizard.plan.findings import WizardError
from wizard.plan.image_fields import parse_image_name, read_image
from wizard.plan.images import NO_ANSWERS, SeedAnswers
from wizard.plan.model import (
    AnswerPolicy,
    ClusterKind,
    Device,
    DhcpOption,
    Forward,
    Interfaces,
    Network,
    Node,
    Plan,
    Protocol,
    Record,
    RecordKind,
    Role,
    Sections,
    SplitDns,
)
from wizard.plan.ntp import NtpSetting
from wizard.plan.seed_fields import parse_key_sources, parse_proxy, parse_user

VERSION = 1
LARGEST_FILE = 8_000_000
MOST_TOLD = 20


class PlanUnreadable(WizardError):
    """A text that is no plan. `message` lists its problems, one per line."""

    status = 2

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        name = printable(source, 300)
        lines = [str(problem) for problem in self.problems[:MOST_TOLD]]
        if len(self.problems) == 1:
            message = f"{name}: {lines[0]}"
        else:
            more = len(self.problems) - len(lines)
            lines += [f"… and {more} more."] if more else []
            message = "\n  ".join([f"{name}: {len(self.problems)} things in it cannot be read.", *lines])
        super().__init__(message)


def load_plan(text: str, source: str) -> Plan:
    """Parse a plan. `source` names the text in messages.

    Raises PlanUnreadable with every problem at once.
    """
    top = TomlTable(_parse(text, source), "", [])
    top.only(*_TABLES, *_SECTIONS)
    top.optional("version", _version, VERSION)
    interfaces = _interfaces(top.table("interfaces"))
    network = _network(top.table("network"))
    kind = _kind(top)
    nodes = tuple(filter(None, (_node(table, kind) for table in top.tables("nodes"))))
    sections = _sections(top)
    forwards = tuple(filter(None, map(_forward, top.tables("forwards"))))
    credentials = _path_in(top, "bmc", "credentials", fields.parse_path)
    textfile = _path_in(top, "metrics", "textfile", fields.parse_textfile)
    seeds = _seeds(top)
    if top.problems or interfaces is None or network is None:
        lines = key_lines(text)
        raise PlanUnreadable(source, [replace(p, line=line_of(p.key, lines)) for p in top.problems])
    own = _as_keywords(sections)
    more: dict[str, Any] = {"seeds": seeds, "bmc_credentials": credentials, "textfile": textfile}
    return Plan(interfaces, network, nodes, forwards, kind, **own, **more)


def load_sections(text: str) -> tuple[Sections, tuple[Problem, ...]]:
    """The sections that `dump_sections` writes, as far as they can be read, and the problems. Never raises."""
    try:
        top = TomlTable(_parse(text, "the text"), "", [])
    except PlanUnreadable as unreadable:
        remedy = 'Write key = value, with text in quotes, such as name = "switch".'
        return Sections(), tuple(replace(problem, remedy=remedy) for problem in unreadable.problems)
    elsewhere = [key for key in top.data if key in _TABLES]
    top.only(*_SECTIONS, *elsewhere)
    for key in elsewhere:
        remedy = f"Here belong {', '.join(_SECTIONS)}; the rest has fields of its own, or is written in the file."
        top.refuse(key, key, f"{shown(key)} is another part of the plan.", remedy)
    sections = _sections(top)
    lines = key_lines(text) if top.problems else {}
    return sections, tuple(replace(problem, line=line_of(problem.key, lines)) for problem in top.problems)


_TABLES = ("version", "interfaces", "cluster", "network", "nodes", "forwards", "seeds", "bmc", "metrics")
_SECTIONS = tuple(field.name for field in dataclass_fields(Sections))


def _as_keywords(sections: Sections) -> dict[str, Any]:
    return {name: getattr(sections, name) for name in _SECTIONS}


def _sections(top: TomlTable) -> Sections:
    return Sections(
        devices=tuple(filter(None, map(_device, top.tables("devices")))),
        dns=tuple(filter(None, map(_split_dns, top.tables("dns")))),
        records=tuple(filter(None, map(_record, top.tables("records")))),
        options=tuple(filter(None, map(_option, top.tables("options")))),
        images=tuple(filter(None, map(read_image, top.tables("images")))),
    )


def _split_dns(table: TomlTable) -> SplitDns | None:
    table.only("domain", "servers")
    domain = table.required("domain", as_text(fields.parse_domain))
    servers = table.required("servers", lambda value: dns_fields.parse_servers(as_texts(value)))
    return SplitDns(domain, servers) if domain and servers else None


def _option(table: TomlTable) -> DhcpOption | None:
    table.only("option", "value", "to")
    option = table.required("option", dhcp_options.parse_code)
    nobody: tuple[str, ...] = ()
    to = table.optional("to", dhcp_options.parse_to, nobody)
    if option is None:
        # Of what kind its value is nobody knows.
        return None
    value = table.required("value", partial(dhcp_options.parse_value, option))
    return DhcpOption(option, value, to) if value is not None else None


def _record(table: TomlTable) -> Record | None:
    table.only("name", *RecordKind)
    name = table.required("name", as_text(dns_fields.parse_record_name))
    kinds = [kind for kind in RecordKind if kind in table.data]
    if not table.data.keys() <= {"name", *RecordKind}:
        return None
    if len(kinds) != 1:
        said = " and ".join(kinds) if kinds else "no value"
        remedy = f"Write one of {', '.join(RecordKind)}" + ("; another [[records]] has the other." if kinds else ".")
        table.refuse("name", table.data.get("name"), f"The record has {said}.", remedy)
        return None
    value = table.required(kinds[0], as_text(dns_fields.RECORD_VALUES[kinds[0]]))
    return Record(name, kinds[0], value) if name and value else None


def _seeds(top: TomlTable) -> SeedAnswers:
    table = top.table("seeds") if "seeds" in top.data else None
    if table is None:
        return NO_ANSWERS
    table.only("user", "ssh_key", "proxy")
    return SeedAnswers(
        table.optional("user", as_text(parse_user), ""),
        table.optional("ssh_key", lambda value: parse_key_sources(_text_list(value)), ()),
        table.optional("proxy", as_text(parse_proxy), ""),
    )


def _text_list(value: object) -> list[str]:
    return as_texts(value) if isinstance(value, list) else [as_text(str)(value)]


def _path_in(top: TomlTable, name: str, key: str, parse: Callable[[str], str]) -> str:
    """The path in a table that may be absent; "" without that."""
    table = top.table(name) if name in top.data else None
    if table is None:
        return ""
    table.only(key)
    return table.required(key, as_text(parse)) or ""


def _parse(text: str, source: str) -> dict[str, object]:
    if len(text) > LARGEST_FILE:
        problem = Problem("file", "", None, "It is larger than 8 MB.", "Give the plan's own file.")
        raise PlanUnreadable(source, [problem])
    line = too_dotted(text)
    if line is not None:
        message = f"A key has more than {MOST_DOTS} parts with dots between."
        raise PlanUnreadable(source, [Problem("TOML", "", line, message, "Write the keys of examples/ciao.toml.")])
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        reason, line = "Lists or tables are nested too deeply", None
    except ValueError as error:
        reason = str(error)
        place = re.search(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$", reason)
        line = text.count("\n") + 1 if place is None or place[1] is None else int(place[1])
        reason = reason[: place.start()] if place else "A number is too long"
    remedy = "Write it as key = value, with text in quotes; examples/ciao.toml shows every key."
    raise PlanUnreadable(source, [Problem("TOML", "", line, f"{printable(reason, 200)}.", remedy)])


def _version(value: object) -> int:
    if isinstance(value, bool) or value != VERSION or not isinstance(value, int):
        remedy = f"Write version = {VERSION}; a newer file needs a newer ciao-wizard."
        raise FieldError(value, "is not a version of the plan file that is known here", remedy)
    return VERSION


def _interfaces(table: TomlTable | None) -> Interfaces | None:
    if table is None:
        return None
    table.only("corporate", "cluster")
    corporate = table.required("corporate", as_text(fields.parse_nic_name))
    cluster = table.required("cluster", as_text(fields.parse_nic_name))
    return Interfaces(corporate, cluster) if corporate and cluster else None


def _kind(top: TomlTable) -> ClusterKind:
    table = top.table("cluster") if "cluster" in top.data else None
    if table is None:
        return ClusterKind.CIAO
    table.only("kind")
    return table.optional("kind", as_text(fields.parse_kind), ClusterKind.CIAO)


def _network(table: TomlTable | None) -> Network | None:
    if table is None:
        return None
    known = (
        "cidr",
        "gateway",
        "dhcp_slice",
        "dhcp_range",
        "lease_time",
        "domain",
        "answer",
        "vm_macs",
        "backend",
        "search",
        "mtu",
        "ntp",
    )
    table.only(*known)
    cidr = table.required("cidr", as_text(fields.parse_network))
    gateway = table.optional("gateway", as_text(fields.parse_address), None)
    dhcp_slice = table.optional("dhcp_slice", as_text(fields.parse_network), None)
    dhcp_range = table.optional("dhcp_range", _dhcp_range, None)
    if "dhcp_slice" in table.data and "dhcp_range" in table.data:
        message = "dhcp_slice and dhcp_range both say where dynamic addresses come from."
        table.refuse("dhcp_range", table.data["dhcp_range"], message, "Keep one of them.")
    # Without a cidr the other keys are checked all the same.
    stand_in = Network(IPNetwork("0.0.0.0/32"), IPAddress(0, version=4))
    span = stand_in.cidr if cidr is None else cidr
    network = Network(
        cidr=span,
        gateway=default_gateway(span) if gateway is None else gateway,
        dhcp_slice=dhcp_slice,
        dhcp_range=dhcp_range,
        lease_time=table.optional("lease_time", as_text(fields.parse_lease_time), stand_in.lease_time),
        domain=table.optional("domain", as_text(fields.parse_domain), stand_in.domain),
        answer=table.optional("answer", as_text(fields.parse_answer), AnswerPolicy.KNOWN),
        vm_macs=table.optional("vm_macs", _vm_macs, stand_in.vm_macs),
        backend=table.optional("backend", as_text(fields.parse_backend), stand_in.backend),
        search=table.optional("search", _search, stand_in.search),
        mtu=table.optional("mtu", as_number(fields.parse_mtu), None),
        ntp=table.optional("ntp", _ntp, stand_in.ntp),
    )
    return None if cidr is None else network


def _search(value: object) -> tuple[str, ...]:
    return dns_fields.parse_search(as_texts(value))


def _dhcp_range(value: object) -> tuple[IPAddress, IPAddress]:
    ends = [fields.parse_address(end) for end in as_texts(value)]
    if len(ends) != 2:
        remedy = 'Write the first and the last, such as ["192.168.0.65", "192.168.0.126"].'
        raise FieldError(value, f"holds {len(ends)} addresses, not two", remedy)
    return ends[0], ends[1]


def _ntp(value: object) -> NtpSetting:
    return fields.parse_ntp(as_texts(value) if isinstance(value, list) else as_text(str)(value))


def _vm_macs(value: object) -> tuple[str, ...]:
    return tuple(fields.parse_vm_mac(pattern) for pattern in as_texts(value))


def _node(table: TomlTable, kind: ClusterKind) -> Node | None:
    table.only("name", "role", "mac", "ip", "bmc", "image")
    name = table.required("name", as_text(fields.parse_node_name))
    if kind is ClusterKind.CIAO:
        roles: tuple[str, ...] | None = table.required("role", _roles) or None
    else:
        roles = table.optional("role", _labels, None) or ()
    macs = table.required("mac", _macs)
    ip = table.optional("ip", as_text(fields.parse_address), None)
    bmc, protocol = table.optional("bmc", as_text(fields.parse_bmc), None) or (None, "")
    image = table.optional("image", as_text(parse_image_name), "")
    if not name or roles is None or not macs:
        return None
    return Node(name, roles, macs[0], ip, other_macs=macs[1:], bmc=bmc, bmc_protocol=protocol, image=image or "")


def _device(table: TomlTable) -> Device | None:
    table.only("name", "mac", "ip")
    name = table.required("name", as_text(fields.parse_node_name))
    macs = table.required("mac", _macs)
    ip = table.optional("ip", as_text(fields.parse_address), None)
    return Device(name, macs[0], ip, macs[1:]) if name and macs else None


def _roles(value: object) -> tuple[Role, ...]:
    return fields.parse_roles(_text_or_texts(value))


def _labels(value: object) -> tuple[str, ...] | None:
    return fields.parse_labels(_text_or_texts(value))


def _macs(value: object) -> tuple[EUI, ...]:
    # Commas are for the screens: in a file a list says it.
    return fields.parse_macs(_text_list(value))


def _text_or_texts(value: object) -> str | list[str]:
    return as_texts(value) if isinstance(value, list) else as_text(str)(value)


def _forward(table: TomlTable) -> Forward | None:
    table.only("port", "to", "to_port", "protocol", "from")
    ports = table.required("port", _ports)
    to = table.required("to", as_text(fields.parse_target))
    port, last = ports or (None, None)
    to_port = table.optional("to_port", as_number(fields.parse_port), port)
    if last is not None and to_port not in (None, port):
        remedy = "A range leads to the same ports: remove to_port, or forward each port by itself."
        table.refuse("to_port", table.data["to_port"], f"to_port is {to_port}, and port is a range.", remedy)
    protocol = table.optional("protocol", as_text(fields.parse_protocol), Protocol.TCP)
    sources = table.optional("from", _sources, None)
    if port is None or to is None or to_port is None:
        return None
    return Forward(port, to, to_port, protocol, sources, last)


def _ports(value: object) -> tuple[int, int | None]:
    if isinstance(value, str) and "-" in value:
        return fields.parse_ports(value)
    try:
        return as_number(fields.parse_port)(value), None
    except FieldError as error:
        if isinstance(value, str):
            error.remedy += ' A range is a text: "30000-30100".'
        raise


def _sources(value: object) -> tuple[IPNetwork, ...] | None:
    return fields.parse_sources(_text_or_texts(value))
