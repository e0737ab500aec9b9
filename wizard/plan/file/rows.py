"""Plan -> the keys and values of its file, and the file without comments."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from wizard.plan.addresses import default_gateway
from wizard.plan.fields import format_bmc, format_mac
from wizard.plan.image_fields import image_rows
from wizard.plan.model import (
    AnswerPolicy,
    ClusterKind,
    Device,
    DhcpOption,
    Forward,
    Interfaces,
    Machine,
    Network,
    Node,
    Plan,
    Protocol,
    Record,
    RecordKind,
    Sections,
    SplitDns,
)
from wizard.plan.ntp import NtpMode, NtpSetting

Value = str | int | list[str] | None
"""What a key holds; None: the key is absent."""

Row = tuple[str, Value, bool]
"""Key, value, and whether the value is the default and need not be written."""


def plain_toml(plan: Plan) -> str:
    """The plan as a TOML text of its own, without the keys that equal their default."""
    parts = ["version = 1", _section("[interfaces]", interface_rows(plan.interfaces))]
    if plan.kind is not ClusterKind.CIAO:
        parts.append(_section("[cluster]", cluster_rows(plan)))
    parts.append(_section("[network]", network_rows(plan.network), always=("gateway",)))
    parts += [_section("[[nodes]]", node_rows(node)) for node in plan.nodes]
    parts += _sections(plan)
    parts += [_section("[[forwards]]", forward_rows(forward)) for forward in plan.forwards]
    parts += [_section(f"[{name}]", rows) for name, rows in table_rows(plan) if has_rows(rows)]
    return "\n\n".join(parts) + "\n"


def dump_sections(sections: Plan | Sections) -> str:
    """The parts of a plan that the screens edit as one text, as TOML; "" where there are none."""
    parts = _sections(sections)
    return "\n\n".join(parts) + "\n" if parts else ""


def _sections(plan: Plan | Sections) -> list[str]:
    return [
        _section(f"[[{name}]]", rows(entry)) for name, rows in SECTION_ROWS.items() for entry in getattr(plan, name)
    ]


def _section(header: str, rows: Sequence[Row], always: Sequence[str] = ()) -> str:
    lines = [header]
    for key, value, default in rows:
        if value is not None and (not default or key in always):
            lines.append(f"{key} = {_toml(value)}")
    return "\n".join(lines)


def _toml(value: Value) -> str:
    # TOML's basic strings take all of JSON's escapes; DEL alone JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def interface_rows(interfaces: Interfaces) -> list[Row]:
    return [("corporate", interfaces.corporate, False), ("cluster", interfaces.cluster, False)]


def cluster_rows(plan: Plan) -> list[Row]:
    return [("kind", plan.kind.value, plan.kind is ClusterKind.CIAO)]


def network_rows(network: Network) -> list[Row]:
    plain_network = Network(network.cidr, network.gateway)
    span = network.dhcp_range
    return [
        ("cidr", str(network.cidr), False),
        ("gateway", str(network.gateway), network.gateway == default_gateway(network.cidr)),
        ("dhcp_slice", None if network.dhcp_slice is None else str(network.dhcp_slice), False),
        ("dhcp_range", None if span is None else [str(end) for end in span], False),
        ("lease_time", network.lease_time, network.lease_time == plain_network.lease_time),
        ("domain", network.domain, network.domain == plain_network.domain),
        ("answer", network.answer.value, network.answer is AnswerPolicy.KNOWN),
        ("vm_macs", list(network.vm_macs), network.vm_macs == plain_network.vm_macs),
        ("backend", network.backend.value, network.backend is plain_network.backend),
        ("search", list(network.search), not network.search),
        ("mtu", network.mtu, False),
        ("ntp", _ntp_value(network.ntp), network.ntp == plain_network.ntp),
    ]


def _ntp_value(setting: NtpSetting) -> Value:
    return setting.value if isinstance(setting, NtpMode) else [str(address) for address in setting]


def node_rows(node: Node) -> list[Row]:
    roles = [str(role) for role in node.roles]
    return [
        ("name", node.name, False),
        ("role", roles[0] if len(roles) == 1 else roles, not roles),
        ("mac", _mac(node), False),
        ("ip", None if node.ip is None else str(node.ip), False),
        ("bmc", format_bmc(node.bmc, node.bmc_protocol) or None, False),
        ("image", node.image or None, False),
    ]


def device_rows(device: Device) -> list[Row]:
    return [
        ("name", device.name, False),
        ("mac", _mac(device), False),
        ("ip", None if device.ip is None else str(device.ip), False),
    ]


def _mac(machine: Machine) -> Value:
    return [format_mac(mac) for mac in machine.macs] if machine.other_macs else format_mac(machine.mac)


def forward_rows(forward: Forward) -> list[Row]:
    sources: Value = "corporate" if forward.sources is None else [str(network) for network in forward.sources]
    return [
        ("port", forward.port if forward.last_port is None else forward.port_text, False),
        ("to", forward.to, False),
        ("to_port", forward.to_port, forward.to_port == forward.port),
        ("protocol", forward.protocol.value, forward.protocol is Protocol.TCP),
        ("from", sources, forward.sources is None),
    ]


def table_rows(plan: Plan) -> list[tuple[str, list[Row]]]:
    """The tables that may be absent; they are where all their values are None."""
    seeds = plan.seeds
    return [
        (
            "seeds",
            [
                ("user", seeds.user or None, False),
                ("ssh_key", list(seeds.ssh_keys) or None, False),
                ("proxy", seeds.proxy or None, False),
            ],
        ),
        ("bmc", [("credentials", plan.bmc_credentials or None, False)]),
        ("metrics", [("textfile", plan.textfile or None, False)]),
    ]


def has_rows(rows: Sequence[Row]) -> bool:
    """Whether a table of `table_rows` is to be written."""
    return any(value is not None for _, value, _ in rows)


def dns_rows(split: SplitDns) -> list[Row]:
    return [("domain", split.domain, False), ("servers", list(split.servers), False)]


def record_rows(record: Record) -> list[Row]:
    values = [(str(kind), record.value if kind is record.kind else None, False) for kind in RecordKind]
    return [("name", record.name, False), *values]


def option_rows(option: DhcpOption) -> list[Row]:
    value = list(option.value) if isinstance(option.value, tuple) else option.value
    return [("option", option.option, False), ("value", value, False), ("to", list(option.to), not option.to)]


SECTION_ROWS: dict[str, Callable[[Any], list[Row]]] = {
    "devices": device_rows,
    "dns": dns_rows,
    "records": record_rows,
    "options": option_rows,
    "images": image_rows,
}
"""By the names of `model.Sections`, in the order of the file."""
