"""The plan: everything that the wizard asks for, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from netaddr import EUI, IPAddress, IPNetwork

from wizard.plan.backends import Backend
from wizard.plan.images import NO_ANSWERS, Image, SeedAnswers
from wizard.plan.ntp import NtpMode, NtpSetting

AUTO = "auto"
"""In place of the corporate NIC's name: whichever NIC has the default route."""


class Role(StrEnum):
    CONTROLLER = "controller"
    NETWORK = "network"
    COMPUTE = "compute"


class ClusterKind(StrEnum):
    """What runs on the nodes. ciao has three roles and needs each; elsewhere a role is any label."""

    CIAO = "ciao"
    K3S = "k3s"
    TALOS = "talos"
    PROXMOX = "proxmox"
    OPENSTACK = "openstack"
    PLAIN = "plain"


USUAL_ROLES: dict[ClusterKind, tuple[str, ...]] = {
    ClusterKind.CIAO: tuple(Role),
    ClusterKind.K3S: ("server", "agent"),
    ClusterKind.TALOS: ("controlplane", "worker"),
    ClusterKind.PROXMOX: ("pve",),
    ClusterKind.OPENSTACK: ("controller", "network", "storage", "compute"),
    ClusterKind.PLAIN: (),
}
"""The roles that clusters of each kind usually have: forwards lead to the first, one more node gets the last."""


class AnswerPolicy(StrEnum):
    """Which machines get DHCP answers: the plan's nodes and `vm_macs`, or every machine."""

    KNOWN = "known"
    EVERYONE = "everyone"


class Protocol(StrEnum):
    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True)
class Interfaces:
    """The two NICs, by name. `corporate` may be AUTO: see `uplinks`."""

    corporate: str
    cluster: str

    @property
    def follows_default_route(self) -> bool:
        return self.corporate == AUTO


@dataclass(frozen=True, slots=True)
class Network:
    """The cluster's own network.

    `dhcp_slice` or `dhcp_range` says where dynamic addresses come from; where both are None
    the wizard's default slice applies (see `addresses.dynamic_range`).
    """

    cidr: IPNetwork
    gateway: IPAddress
    dhcp_slice: IPNetwork | None = None
    dhcp_range: tuple[IPAddress, IPAddress] | None = None
    lease_time: str = "12h"
    domain: str = "ciao.lan"
    answer: AnswerPolicy = AnswerPolicy.KNOWN
    vm_macs: tuple[str, ...] = ("02:*:*:*:*:*",)
    backend: Backend = Backend.AUTO
    search: tuple[str, ...] = ()
    """Domains that clients are told to search, () for `domain` alone."""
    mtu: int | None = None
    """The MTU that clients are told, None for none."""
    ntp: NtpSetting = NtpMode.AUTO

    @property
    def gateway_cidr(self) -> str:
        """The gateway's address as the cluster NIC has it, "address/prefix"."""
        return f"{self.gateway}/{self.cidr.prefixlen}"


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of the cluster. `ip` is None if the wizard chooses the address.

    `roles`: members of Role, or labels where the cluster is not ciao's. `other_macs`: its other NICs, which get the
    same address; one of them at a time. `bmc`: where its management controller answers.
    `bmc_protocol`: "redfish", "ipmi", or "" for the first of these that it answers. `image`: the name of what it boots
    over the network where it is told to, "" for its disk.
    """

    name: str
    roles: tuple[str, ...]
    mac: EUI
    ip: IPAddress | None = None
    other_macs: tuple[EUI, ...] = ()
    bmc: IPAddress | None = None
    bmc_protocol: str = ""
    image: str = ""

    @property
    def macs(self) -> tuple[EUI, ...]:
        return (self.mac, *self.other_macs)


@dataclass(frozen=True, slots=True)
class Device:
    """Another machine on the cluster wire, such as a switch, a BMC or a PDU: an address and a name, and no role."""

    name: str
    mac: EUI
    ip: IPAddress | None = None
    other_macs: tuple[EUI, ...] = ()

    @property
    def macs(self) -> tuple[EUI, ...]:
        return (self.mac, *self.other_macs)


Machine = Node | Device
"""Whoever has a reservation."""


class RecordKind(StrEnum):
    """The kinds of DNS records that a plan may have; each is the key of its value, too."""

    A = "a"
    AAAA = "aaaa"
    CNAME = "cname"
    TXT = "txt"
    SRV = "srv"


ADDRESS_RECORDS = (RecordKind.A, RecordKind.AAAA)
NAME_RECORDS = (RecordKind.CNAME, RecordKind.SRV)
"""Their value ends with a name."""


@dataclass(frozen=True, slots=True)
class Record:
    """A DNS record of the cluster's own name server.

    A `name` with one label beside those that begin with "_" is in the cluster's domain; any other is a full name.
    `value`: an address, a name, a text, or "PRIORITY WEIGHT PORT TARGET".
    """

    name: str
    kind: RecordKind
    value: str


@dataclass(frozen=True, slots=True)
class SplitDns:
    """A domain whose names are asked of servers of its own (addresses)."""

    domain: str
    servers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DhcpOption:
    """An option for DHCP clients: `option` is dnsmasq's name or the number, `to` are names of machines and roles.

    Without `to` everybody gets it. The kinds of values: `dhcp_options`.
    """

    option: str | int
    value: str | int | tuple[str, ...]
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forward:
    """A port of the gateway, forwarded to a node.

    `to` is a machine's name or an address as text; `sources` is None for the whole corporate side. `last_port`: of a
    range that begins with `port` and leads to the same ports.
    """

    port: int
    to: str
    to_port: int
    protocol: Protocol = Protocol.TCP
    sources: tuple[IPNetwork, ...] | None = None
    last_port: int | None = None

    @property
    def ports(self) -> range:
        return range(self.port, (self.last_port or self.port) + 1)

    @property
    def port_text(self) -> str:
        """As the plan file has it: "8889", "30000-30100"."""
        return str(self.port) if self.last_port is None else f"{self.port}-{self.last_port}"


@dataclass(frozen=True, slots=True)
class Sections:
    """The parts of a plan that the screens edit as one text."""

    devices: tuple[Device, ...] = ()
    dns: tuple[SplitDns, ...] = ()
    records: tuple[Record, ...] = ()
    options: tuple[DhcpOption, ...] = ()
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """`bmc_credentials`: the path of a file, "" for the keyring. `textfile`: what node_exporter reads, "" for none."""

    interfaces: Interfaces
    network: Network
    nodes: tuple[Node, ...] = field(default=())
    forwards: tuple[Forward, ...] = field(default=())
    kind: ClusterKind = ClusterKind.CIAO
    devices: tuple[Device, ...] = field(default=())
    dns: tuple[SplitDns, ...] = field(default=())
    records: tuple[Record, ...] = field(default=())
    options: tuple[DhcpOption, ...] = field(default=())
    images: tuple[Image, ...] = field(default=())
    seeds: SeedAnswers = field(default=NO_ANSWERS)
    bmc_credentials: str = ""
    textfile: str = ""

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Everybody with a reservation: the nodes, then the devices."""
        return (*self.nodes, *self.devices)
