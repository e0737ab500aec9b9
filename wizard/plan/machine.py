"""Facts about a machine, as frozen values. `host.facts` collects them; `plan.rules` checks a plan against them."""

from __future__ import annotations

from dataclasses import dataclass

from netaddr import IPNetwork

from wizard.plan.ifupdown import InterfacesLine
from wizard.plan.image_manifest import BootHere
from wizard.plan.ntp import TimeServer


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a NIC. `network` keeps the host bits: 10.77.0.98/24. `dynamic`: it has a lifetime."""

    network: IPNetwork
    dynamic: bool = False


@dataclass(frozen=True, slots=True)
class Nic:
    """One network interface.

    `kind`: "ethernet", "wireless", "veth", "bridge", "bond", "vlan", "tunnel", "loopback", "macvlan",
    "modem" (to a mobile network), "tether" (a phone), "gadget" (another computer at the end of a USB or
    Thunderbolt cable), "container" (the host's end of a container's veth), "conduit" (what the ports of a
    switch chip hang on), "other". A veth counts as Ethernet for every rule. `permanent_mac` falls back to
    `mac` where the kernel does not tell another. `bus` is the device path under /sys/devices, "" for virtual
    ones. `master` is the bridge or bond that it is enslaved to, `parent` the NIC whose wire it shares: a
    VLAN's, a macvlan's, a tunnel's, that of a virtual function. `carrier` is None where the NIC is down and
    nobody can know. `usable_name` is False for names that tools would take as code or as a pattern: such a
    NIC is shown, its name escaped, and never used.
    """

    name: str
    index: int
    kind: str
    mac: str = ""
    permanent_mac: str = ""
    bus: str = ""
    driver: str = ""
    vendor: str = ""
    up: bool = False
    carrier: bool | None = None
    speed_mbps: int | None = None
    addresses: tuple[Address, ...] = ()
    default_route: bool = False
    dhcp_client: bool = False
    carries_ssh: bool = False
    master: str = ""
    usable_name: bool = True
    parent: str = ""

    @property
    def leased(self) -> bool:
        """Whether its IPv4 address came from a DHCP server. An IPv6 address that runs out came from a router."""
        return self.dhcp_client or any(a.dynamic and a.network.version == 4 for a in self.addresses)


@dataclass(frozen=True, slots=True)
class Route:
    """An IPv4 or IPv6 route of any table. `destination` is 0.0.0.0/0 for a default route."""

    destination: IPNetwork
    nic: str
    gateway: str = ""
    table: str = "main"
    metric: int = 0


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening TCP or bound UDP socket. `nic` where it is bound to one; `process` "" where not readable; `unit`
    the systemd service that it belongs to, "" for none: known without root too."""

    protocol: str
    address: str
    port: int
    process: str = ""
    pid: int | None = None
    nic: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class PortService:
    """The systemd service of a listener on port 53 or 67, as systemd describes it.

    `main_pid`: its main process, or the only one of a service that is an init script; 0 for none. `alone`: it has no
    other process. `triggers`: the units that would start it again, such as its socket. `cannot_disable`: of it and
    these, what `systemctl disable` cannot keep from starting at boot. `dependents`: the active units that stop with it.
    `for_network`: the machine's network waits for it.
    """

    unit: str
    main_pid: int = 0
    alone: bool = False
    triggers: tuple[str, ...] = ()
    cannot_disable: tuple[str, ...] = ()
    dependents: tuple[str, ...] = ()
    for_network: bool = False


@dataclass(frozen=True, slots=True)
class NicOwner:
    """Who manages a NIC now: `backend` is a value of `backends.Backend`; `reason` is a sentence for people without
    its full stop."""

    nic: str
    backend: str
    reason: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The role suggested for a NIC ("corporate", "cluster" or None), and the reasons, each half a sentence."""

    nic: str
    role: str | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """A machine at one moment.

    `network_managers`: of "ifupdown", "NetworkManager", "networkd", "netplan", those that are active.
    `firewalls`: of "docker", "ufw", "libvirt", "firewalld", "iptables", "nftables", those whose rules were
    seen; without root, when nobody may look, those whose daemon or NIC is there. `missing_tools`: programs
    that every apply here needs and that are not here. `ssh_port`: the port of the SSH session that we were
    started from.
    """

    nics: tuple[Nic, ...] = ()
    routes: tuple[Route, ...] = ()
    listeners: tuple[Listener, ...] = ()
    network_managers: tuple[str, ...] = ()
    firewalls: tuple[str, ...] = ()
    missing_tools: tuple[str, ...] = ()
    ssh_port: int | None = None
    host_name: str = ""
    system: str = ""
    applied_cluster: str = ""
    """Name of the cluster NIC of an applied plan: its address, routes and listeners are ours, not in the way."""
    applied_backend: str = ""
    """Who gave that NIC its address: a value of `backends.Backend`, "" where nothing is applied."""
    our_pids: frozenset[int] = frozenset()
    """Processes of an applied gateway (dnsmasq and its guard)."""
    interfaces: tuple[InterfacesLine, ...] = ()
    """The lines that ifupdown reads, except those of our own file."""
    interfaces_closed: tuple[str, ...] = ()
    """Files that ifupdown reads and this process may not."""
    blocked: tuple[tuple[str, str], ...] = ()
    """Paths where an apply cannot write its file, each with the reason; those of every backend's file too."""
    nameservers: tuple[str, ...] = ()
    """The DNS servers in use here; behind a local resolver, its upstream servers."""
    owners: tuple[NicOwner, ...] = ()
    """The NICs that a network manager manages. Where several do, the first counts."""
    silent_managers: tuple[str, ...] = ()
    """Those of `network_managers` that do not answer: what they manage is not known."""
    missing_programs: tuple[tuple[str, str], ...] = ()
    """(manager, program): those of `network_managers` whose own programs, such as nmcli, are not here."""
    services: tuple[PortService, ...] = ()
    """The services of the listeners on ports 53 and 67, except our own."""
    resolvers: tuple[str, ...] = ()
    """Every DNS server that this machine's programs ask, one of its own too."""
    to_stop: frozenset[str] = frozenset()
    """Services that a person agreed to have stopped by an apply."""
    outbound: tuple[str, ...] = ()
    """The NICs by which this machine's own packets to the internet would leave, by every routing rule and table."""
    ssh_peer: str = ""
    """The client's address of the SSH session that we were started in, "" without one."""
    time_server: TimeServer | None = None
    """The time server that runs here and can serve others; None for none, and where nobody looked."""
    time_servers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """What the DHCP servers named in option 42: the NIC, "" for any, and the addresses; and `time_source.TIMESYNCD`."""
    time_known: bool = False
    """Whether `time_server` and `time_servers` were looked for."""
    boot: BootHere | None = None
    """What of booting over the network is here; None where nobody looked, or where it may not be seen."""

    def nic(self, name: str) -> Nic | None:
        return next((n for n in self.nics if n.name == name), None)

    def above(self, name: str) -> tuple[Nic, ...]:
        """Every NIC whose frames go over this one: its VLANs, the bridge or bond that it is part of, theirs, …"""
        found: list[Nic] = []
        names = [name]
        for below in names:
            here = self.nic(below)
            for nic in self.nics:
                if (
                    nic.name != name
                    and nic not in found
                    and (nic.parent == below or (here and here.master == nic.name))
                ):
                    found.append(nic)
                    names.append(nic.name)
        return tuple(found)

    def sharing(self, name: str) -> tuple[Nic, ...]:
        """Every other NIC on the same wire: its lowest parent, and all that are `above` that."""
        lowest, seen = name, {name}
        while (here := self.nic(lowest)) is not None and here.parent and here.parent not in seen:
            lowest = here.parent
            seen.add(lowest)
        bottom = self.nic(lowest)
        whole = (*self.above(lowest), *([bottom] if bottom else []))
        return tuple(nic for nic in whole if nic.name != name)
