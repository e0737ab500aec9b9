"""The draft: what the user has typed, valid or not; draft <-> Plan, draft <-> JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, TypeVar

from netaddr import IPAddress, IPNetwork

from wizard.plan import addresses, dns_fields, seed_fields
from wizard.plan import fields as parsers
from wizard.plan.backends import Backend
from wizard.plan.draft import suggest
from wizard.plan.file.read import load_sections
from wizard.plan.file.rows import dump_sections
from wizard.plan.findings import Finding, Severity
from wizard.plan.image_fields import parse_image_name
from wizard.plan.images import SeedAnswers
from wizard.plan.machine import Facts
from wizard.plan.model import (
    AUTO,
    AnswerPolicy,
    ClusterKind,
    Forward,
    Interfaces,
    Network,
    Node,
    Plan,
    Protocol,
    Role,
    Sections,
)
from wizard.plan.ntp import NtpMode, ntp_text

_Value = TypeVar("_Value")
_Record = TypeVar("_Record", "NodeText", "ForwardText")

CHOOSE_A_NIC = "Choose one on the Interfaces screen."
"""A remedy. The Interfaces screen itself replaces it."""
SECTION_FIELDS = (*(field.name for field in fields(Sections)), "TOML")
"""Beginnings of the key paths in `Draft.sections`."""
UNREADABLE = "unreadable-value"
"""Code of a finding on a text that does not parse."""

_LISTED = re.compile(r"(nodes|forwards|devices|dns|records|options|images)\[([0-9]{1,6})\]\.?([a-z_]*)")
_QUOTED_ADDRESS = re.compile(r'"([0-9]{1,3}(?:\.[0-9]{1,3}){3})"')
_FIELD_NAMES = {
    "interfaces.corporate": "Company NIC",
    "interfaces.cluster": "Cluster NIC",
    "network.cidr": "Subnet",
    "network.gateway": "Gateway",
    "network.dhcp_slice": "DHCP range",
    "network.dhcp_range": "DHCP range",
    "network.lease_time": "Lease time",
    "network.domain": "Domain",
    "network.answer": "Answer",
    "network.vm_macs": "VM MACs",
    "network.backend": "Backend",
    "network.search": "Search domains",
    "network.mtu": "MTU",
    "cluster.kind": "Kind of cluster",
    "TOML": "Devices and more",
    "network.ntp": "Time servers",
    "nodes.name": "name",
    "nodes.role": "role",
    "nodes.mac": "MAC",
    "nodes.ip": "address",
    "nodes.bmc": "BMC",
    "nodes.image": "image",
    "bmc.credentials": "BMC credentials",
    "metrics.textfile": "Metrics file",
    "images": "Network boot",
    "seeds.user": "User",
    "seeds.ssh_key": "ssh key",
    "seeds.proxy": "Proxy",
    "forwards.port": "port",
    "forwards.to": "target",
    "forwards.to_port": "target port",
    "forwards.protocol": "protocol",
    "forwards.from": "allowed from",
}

_MISSING = {
    "network.cidr": ("The subnet is missing.", "Write one, such as 192.168.0.0/24 if nothing else uses it."),
    "network.lease_time": ("The lease time is missing.", "Write one, such as 12h."),
    "network.domain": ("The domain is missing.", "Write what node names end in, such as ciao.lan."),
    "nodes.role": ("No role is ticked.", "Tick at least one; most nodes are compute nodes."),
    "nodes.name": ("The name is missing.", "Write a short one, such as compute1."),
    "nodes.mac": ("The MAC is missing.", "It is on the machine's label, or in its boot menu."),
    "forwards.port": ("The port is missing.", "ciao's own is 8889."),
    "forwards.to": ("The target is missing.", "Write a node's name or an address."),
}
"""Message and remedy for each required field that is blank."""


@dataclass(frozen=True)
class NodeText:
    """A node as typed. `role` and `mac` may hold several, separated by commas; for a blank `ip` the wizard chooses."""

    role: str = Role.COMPUTE.value
    name: str = ""
    mac: str = ""
    ip: str = ""
    bmc: str = ""
    image: str = ""

    @cached_property
    def node(self) -> Node | None:
        """The node, None if one of the texts is no value. Parsed once: of thousands of nodes one key changes one.

        Its roles are any labels; a cluster of ciao's takes three of them only.
        """
        reader = _Reader()
        node = _node_read(self, "", reader, parsers.parse_labels)
        return None if reader.problems else node


@dataclass(frozen=True, slots=True)
class ForwardText:
    """A forward as typed. Blank `to_port`: the same port; blank `sources`: the whole corporate network."""

    port: str = ""
    to: str = ""
    to_port: str = ""
    protocol: str = Protocol.TCP.value
    sources: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything that the wizard asks for, as typed.

    `pool` is where dynamic addresses come from: a network, "first - last", or blank for the wizard's choice.
    `seed_keys`: separated by commas. `sections`: the plan's other sections (see `model.Sections`), as TOML.
    """

    corporate: str = ""
    cluster: str = ""
    cidr: str = ""
    gateway: str = ""
    pool: str = ""
    lease_time: str = "12h"
    domain: str = "ciao.lan"
    answer: str = AnswerPolicy.KNOWN.value
    vm_macs: str = "02:*:*:*:*:*"
    backend: str = Backend.AUTO.value
    kind: str = ClusterKind.CIAO.value
    search: str = ""
    mtu: str = ""
    sections: str = ""
    ntp: str = NtpMode.AUTO.value
    nodes: tuple[NodeText, ...] = ()
    forwards: tuple[ForwardText, ...] = ()
    bmc_credentials: str = ""
    textfile: str = ""
    seed_user: str = ""
    seed_keys: str = ""
    seed_proxy: str = ""

    @property
    def follows_default_route(self) -> bool:
        return self.corporate == AUTO

    @classmethod
    def from_plan(cls, plan: Plan) -> Draft:
        network = plan.network
        return cls(
            corporate=plan.interfaces.corporate,
            cluster=plan.interfaces.cluster,
            cidr=str(network.cidr),
            gateway=str(network.gateway),
            pool=_pool_text(network),
            lease_time=network.lease_time,
            domain=network.domain,
            answer=network.answer.value,
            vm_macs=", ".join(network.vm_macs),
            backend=network.backend.value,
            kind=plan.kind.value,
            search=", ".join(network.search),
            mtu="" if network.mtu is None else str(network.mtu),
            sections=dump_sections(plan),
            ntp=ntp_text(network.ntp),
            nodes=tuple(_node_text(node) for node in plan.nodes),
            forwards=tuple(_forward_text(forward) for forward in plan.forwards),
            bmc_credentials=plan.bmc_credentials,
            textfile=plan.textfile,
            seed_user=plan.seeds.user,
            seed_keys=", ".join(plan.seeds.ssh_keys),
            seed_proxy=plan.seeds.proxy,
        )

    def to_plan(self) -> Plan | tuple[Finding, ...]:
        """The plan, or one error for each text that does not parse."""
        reader = _Reader()
        corporate = reader.nic("interfaces.corporate", self.corporate, "company network")
        cluster = reader.nic("interfaces.cluster", self.cluster, "cluster switch")
        network = _network(self, reader)
        kind = reader.read("cluster.kind", parsers.parse_kind, self.kind)
        nodes = _nodes(self.nodes, reader, kind)
        forwards = tuple(_forward(text, f"forwards[{i}]", reader) for i, text in enumerate(self.forwards))
        sections = reader.sections(self.sections)
        credentials = reader.path("bmc.credentials", parsers.parse_path, self.bmc_credentials)
        textfile = reader.path("metrics.textfile", parsers.parse_textfile, self.textfile)
        keys = [key for key in self.seed_keys.split(",") if key.strip()]
        seeds = SeedAnswers(
            reader.path("seeds.user", seed_fields.parse_user, self.seed_user),
            reader.read("seeds.ssh_key", lambda _: seed_fields.parse_key_sources(keys), self.seed_keys) or (),
            reader.path("seeds.proxy", seed_fields.parse_proxy, self.seed_proxy),
        )
        if reader.problems or kind is None or corporate is None or cluster is None or network is None:
            return tuple(reader.problems)
        return Plan(
            Interfaces(corporate, cluster),
            network,
            nodes,
            tuple(forward for forward in forwards if forward),
            kind,
            **{field.name: getattr(sections, field.name) for field in fields(Sections)},
            seeds=seeds,
            bmc_credentials=credentials,
            textfile=textfile,
        )


class _Reader:
    """Parses texts and collects the failures."""

    def __init__(self) -> None:
        self.problems: list[Finding] = []

    def read(self, field: str, parse: Callable[[str], _Value], text: str) -> _Value | None:
        missing = None if text.strip() else _MISSING.get(_LISTED.sub(r"\1.\3", field))
        if missing is not None:
            self.refuse(field, *missing)
            return None
        try:
            return parse(text)
        except parsers.FieldError as error:
            self.refuse(field, error.message, error.remedy)
            return None

    def nic(self, field: str, text: str, leads_to: str) -> str | None:
        if not text:
            self.refuse(field, f"No NIC is chosen for the {leads_to}.", CHOOSE_A_NIC)
            return None
        return self.read(field, parsers.parse_nic_name, text)

    def sections(self, text: str) -> Sections:
        if not text.strip():
            return Sections()
        sections, problems = load_sections(text)
        for problem in problems:
            line = "" if problem.line is None else f"Line {problem.line}: "
            self.refuse(problem.key, f"{line}{problem.message}", problem.remedy)
        return sections

    def path(self, field: str, parse: Callable[[str], str], text: str) -> str:
        return (self.read(field, parse, text) or "") if text.strip() else ""

    def refuse(self, field: str, message: str, remedy: str) -> None:
        self.problems.append(Finding(Severity.ERROR, UNREADABLE, field, message, remedy))


def _network(draft: Draft, reader: _Reader) -> Network | None:
    cidr = reader.read("network.cidr", parsers.parse_network, draft.cidr)
    gateway = None
    if draft.gateway.strip():
        gateway = reader.read("network.gateway", parsers.parse_address, draft.gateway)
    elif cidr is not None:
        gateway = addresses.default_gateway(cidr)
    slice_, range_ = _pool(draft.pool, reader)
    lease_time = reader.read("network.lease_time", parsers.parse_lease_time, draft.lease_time)
    domain = reader.read("network.domain", parsers.parse_domain, draft.domain)
    answer = reader.read("network.answer", parsers.parse_answer, draft.answer)
    patterns = [text for text in draft.vm_macs.split(",") if text.strip()]
    vm_macs = [reader.read("network.vm_macs", parsers.parse_vm_mac, text) for text in patterns]
    backend = reader.read("network.backend", parsers.parse_backend, draft.backend)
    search = reader.read("network.search", dns_fields.parse_search, draft.search) or ()
    mtu = reader.read("network.mtu", parsers.parse_mtu, draft.mtu) if draft.mtu.strip() else None
    ntp = reader.read("network.ntp", parsers.parse_ntp, draft.ntp) or NtpMode.AUTO
    if cidr is None or gateway is None or lease_time is None or domain is None or answer is None or backend is None:
        return None
    macs = tuple(mac for mac in vm_macs if mac)
    return Network(cidr, gateway, slice_, range_, lease_time, domain, answer, macs, backend, search, mtu, ntp)


def _pool(text: str, reader: _Reader) -> tuple[IPNetwork | None, tuple[IPAddress, IPAddress] | None]:
    if not text.strip():
        return None, None
    if "/" in text:
        return reader.read("network.dhcp_slice", parsers.parse_network, text), None
    first, dash, last = text.partition("-")
    if not dash:
        reader.refuse(
            "network.dhcp_slice",
            f"{parsers.shown(text)} is not a DHCP range.",
            "Write a network such as 192.168.0.64/26, or the first and last address with a dash between.",
        )
        return None, None
    begin = reader.read("network.dhcp_range", parsers.parse_address, first)
    end = reader.read("network.dhcp_range", parsers.parse_address, last)
    return None, (begin, end) if begin is not None and end is not None else None


def _nodes(texts: tuple[NodeText, ...], reader: _Reader, kind: ClusterKind | None) -> tuple[Node, ...]:
    """The nodes that parse."""
    ciao = kind is ClusterKind.CIAO
    parse = parsers.parse_roles if ciao else parsers.parse_labels
    read = []
    for number, text in enumerate(texts):
        node = text.node
        if node is None or (ciao and not (node.roles and _CIAO_ROLES.issuperset(node.roles))):
            node = _node_read(text, f"nodes[{number}]", reader, parse)
        read.append(node)
    return tuple(node for node in read if node)


_CIAO_ROLES = frozenset(role.value for role in Role)


def _node_read(
    text: NodeText, field: str, reader: _Reader, parse: Callable[[str], tuple[str, ...]] = parsers.parse_roles
) -> Node | None:
    name = reader.read(f"{field}.name", parsers.parse_node_name, text.name)
    free = parse is not parsers.parse_roles and not text.role.strip()
    roles = () if free else reader.read(f"{field}.role", parse, text.role)
    macs = reader.read(f"{field}.mac", parsers.parse_macs, text.mac)
    ip = reader.read(f"{field}.ip", parsers.parse_address, text.ip) if text.ip.strip() else None
    bmc = reader.read(f"{field}.bmc", parsers.parse_bmc, text.bmc) if text.bmc.strip() else None
    image = reader.read(f"{field}.image", parse_image_name, text.image) if text.image.strip() else ""
    if not name or roles is None or not macs:
        return None
    address, protocol = bmc or (None, "")
    return Node(name, roles, macs[0], ip, other_macs=macs[1:], bmc=address, bmc_protocol=protocol, image=image or "")


def _forward(text: ForwardText, field: str, reader: _Reader) -> Forward | None:
    port, last = reader.read(f"{field}.port", parsers.parse_ports, text.port) or (None, None)
    to = reader.read(f"{field}.to", parsers.parse_target, text.to)
    to_port = reader.read(f"{field}.to_port", parsers.parse_port, text.to_port) if text.to_port.strip() else port
    if last is not None and to_port not in (None, port):
        reader.refuse(f"{field}.to_port", "A range leads to the same ports.", "Leave the target port empty.")
    protocol = reader.read(f"{field}.protocol", parsers.parse_protocol, text.protocol)
    sources = reader.read(f"{field}.from", parsers.parse_sources, text.sources.strip() or "corporate")
    if port is None or to is None or to_port is None or protocol is None:
        return None
    return Forward(port, to, to_port, protocol, sources, last)


def _pool_text(network: Network) -> str:
    if network.dhcp_slice is not None:
        return str(network.dhcp_slice)
    if network.dhcp_range is not None:
        return f"{network.dhcp_range[0]} - {network.dhcp_range[1]}"
    return ""


def _node_text(node: Node) -> NodeText:
    ip = "" if node.ip is None else str(node.ip)
    bmc = parsers.format_bmc(node.bmc, node.bmc_protocol)
    macs = ", ".join(map(parsers.format_mac, node.macs))
    return NodeText(", ".join(node.roles), node.name, macs, ip, bmc, node.image)


def _forward_text(forward: Forward) -> ForwardText:
    to_port = "" if forward.to_port == forward.port else str(forward.to_port)
    sources = "" if forward.sources is None else ", ".join(str(source) for source in forward.sources)
    return ForwardText(forward.port_text, forward.to, to_port, forward.protocol.value, sources)


def unreadable_fields(draft: Draft) -> tuple[Finding, ...]:
    """One error for each text of the draft that does not parse."""
    plan = draft.to_plan()
    return () if isinstance(plan, Plan) else plan


def field_label(draft: Draft, field: str) -> str:
    """The label of a key path: "Subnet", "compute1, MAC"; an unknown path as it is."""
    match = _LISTED.fullmatch(field)
    if match is None:
        return _FIELD_NAMES.get(field, field)
    kind, number, key = match[1], int(match[2]), match[3]
    label = _FIELD_NAMES.get(f"{kind}.{key}", key)
    if kind == "nodes" and number < len(draft.nodes):
        return f"{draft.nodes[number].name or f'node {number + 1}'}, {label}"
    if kind not in ("nodes", "forwards"):
        return f"{kind.removesuffix('s')} {number + 1}, {label}" if key else f"{kind.removesuffix('s')} {number + 1}"
    if kind == "forwards" and number < len(draft.forwards):
        return f"forward {draft.forwards[number].port or number + 1}, {label}"
    return field


def kind_of(draft: Draft) -> ClusterKind:
    """The kind of cluster of a draft, ciao's while the text is none."""
    try:
        return parsers.parse_kind(draft.kind)
    except parsers.FieldError:
        return ClusterKind.CIAO


def first_draft(plan: Plan | None, facts: Facts) -> Draft:
    """The initial draft: `plan`, with suggested NICs if this machine lacks the plan's; without a plan all suggested."""
    corporate, cluster = suggest.suggest_interfaces(facts)
    if plan is None:
        network = suggest.suggest_network(facts)
        return replace(
            Draft(corporate, cluster, str(network.cidr), str(network.gateway), _pool_text(network)),
            lease_time=network.lease_time,
            domain=network.domain,
        )
    draft = Draft.from_plan(plan)
    if facts.nic(draft.cluster) is None or (facts.nic(draft.corporate) is None and not draft.follows_default_route):
        return replace(draft, corporate=AUTO if draft.follows_default_route else corporate, cluster=cluster)
    return draft


def readdressed(draft: Draft, old_cidr: str) -> Draft:
    """`draft` with every address of `old_cidr` moved to the same offset in the draft's new subnet.

    Addresses that do not fit become blank: the wizard chooses them. Unchanged if either subnet does not parse.
    """
    try:
        old, new = parsers.parse_network(old_cidr), parsers.parse_network(draft.cidr)
    except parsers.FieldError:
        return draft
    if old == new:
        return draft
    move = _mover(old, new)
    # A BMC keeps the address that is set in it.
    nodes = tuple(replace(node, ip=move(node.ip)) for node in draft.nodes)
    forwards = tuple(replace(forward, to=move(forward.to)) for forward in draft.forwards)
    gateway = move(draft.gateway) or str(addresses.default_gateway(new))
    # What does not fit stays as it is, and is refused there.
    sections = _QUOTED_ADDRESS.sub(lambda found: f'"{move(found[1]) or found[1]}"', draft.sections)
    pool, ntp = _moved_pool(draft.pool, move, new), _moved_servers(draft.ntp, move)
    return replace(draft, gateway=gateway, pool=pool, sections=sections, ntp=ntp, nodes=nodes, forwards=forwards)


def _mover(old: IPNetwork, new: IPNetwork) -> Callable[[str], str]:
    def move(text: str) -> str:
        try:
            address = parsers.parse_address(text)
        except parsers.FieldError:
            return text
        if address not in old:
            return text
        offset = int(address) - old.first
        return str(IPAddress(new.first + offset)) if offset < new.size - 1 else ""

    return move


def _moved_servers(text: str, move: Callable[[str], str]) -> str:
    moved = ", ".join(filter(None, (move(server.strip()) for server in text.split(","))))
    return moved or NtpMode.AUTO.value


def _moved_pool(text: str, move: Callable[[str], str], new: IPNetwork) -> str:
    if "/" in text:
        address, _, prefix = text.partition("/")
        moved = move(address.strip())
        fits = prefix.strip().isdecimal() and int(prefix) > new.prefixlen
        aligned = moved and fits and parsers.field_error(parsers.parse_network, f"{moved}/{prefix}") is None
        return f"{moved}/{prefix}" if aligned else ""
    ends = [move(end.strip()) for end in text.split("-")]
    return " - ".join(ends) if all(ends) else ""


_NODE_FIELDS = tuple(field.name for field in fields(NodeText) if field.init)


def dump_draft(draft: Draft) -> str:
    """The draft as JSON, for `load_draft`."""
    # asdict copies deeply, which for thousands of nodes takes longer than all the rest.
    nodes = [{name: getattr(node, name) for name in _NODE_FIELDS} for node in draft.nodes]
    data = asdict(replace(draft, nodes=())) | {"nodes": nodes}
    return json.dumps(data, ensure_ascii=True)


def load_draft(text: str) -> Draft | None:
    """The draft that `dump_draft` wrote, or None for any other text."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    nodes, forwards = _records(NodeText, data.pop("nodes", None)), _records(ForwardText, data.pop("forwards", None))
    texts = _texts(Draft, data)
    if nodes is None or forwards is None or texts is None:
        return None
    return Draft(nodes=nodes, forwards=forwards, **texts)


def _records(kind: type[_Record], data: Any) -> tuple[_Record, ...] | None:
    if not isinstance(data, list):
        return None
    found = [_texts(kind, item) for item in data]
    return None if None in found else tuple(kind(**texts) for texts in found if texts is not None)


def _texts(kind: type[Any], data: Any) -> dict[str, Any] | None:
    """The fields of `kind` in `data`, where all are texts. Another version may have more of them, or fewer."""
    if not isinstance(data, dict):
        return None
    texts = {name: data[name] for name in (field.name for field in fields(kind) if field.init) if name in data}
    return texts if all(isinstance(text, str) for text in texts.values()) else None
