"""Reads the NICs: from `ip`, and from /sys/class/net what `ip` does not have, or all of it without `ip`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from netaddr import AddrFormatError, IPNetwork

from wizard.host import commands
from wizard.host.facts.vendors import vendor_of
from wizard.plan import paths
from wizard.plan.fields import FieldError, parse_nic_name, printable
from wizard.plan.machine import Address, Nic, Route

LinkRecord = Mapping[str, Any]

FOREVER = 0xFFFFFFFF
IFF_UP, IFF_LOWER_UP = 0x1, 0x10000

# Kinds as the kernel names them -> kinds as plan.machine names them; what is not here is "other".
_KINDS = {
    "veth": "veth",
    "bridge": "bridge",
    "openvswitch": "bridge",
    "bond": "bond",
    "team": "bond",
    "vlan": "vlan",
    "macvlan": "macvlan",
    "macvtap": "macvlan",
    "ipvlan": "macvlan",
    "ipvtap": "macvlan",
    # The port of a switch chip: a socket of its own that a cable goes into.
    "dsa": "ethernet",
} | dict.fromkeys(
    [
        *("tun", "wireguard", "ppp", "gre", "gretap", "ip6gre", "ip6gretap", "ipip", "ip6tnl", "sit"),
        *("vti", "vti6", "xfrm", "vxlan", "geneve", "erspan", "ip6erspan", "fou", "gtp", "bareudp", "l2tp"),
    ],
    "tunnel",
)
_TUNNEL_LINK_TYPES = frozenset({"none", "ppp", "ipip", "tunnel6", "sit", "gre", "gre6", "rawip"})
# Values of DEVTYPE for devices that have no socket for a cable.
_DEVTYPES = {"wlan": "wireless", "wwan": "modem", "bluetooth": "tether", "gadget": "gadget"}
_DRIVERS = dict.fromkeys(
    ["qmi_wwan", "cdc_mbim", "huawei_cdc_ncm", "sierra_net", "hso", "mhi_net", "mtk_t7xx", "iosm", "cdc-phonet"],
    "modem",
) | {"rndis_host": "tether", "ipheth": "tether", "g_ether": "gadget", "thunderbolt-net": "gadget"}
# Phones and modems use these, and some adapters; a MAC that was made up is none of an adapter.
_ADAPTER_OR_PHONE = frozenset({"cdc_ether", "cdc_ncm", "cdc_eem", "cdc_subset"})
# The host's ends of containers' cables: Calico and Cilium, Docker and LXC, systemd-nspawn, clouds' CNIs, Weave.
_CONTAINER_NAME = re.compile(
    r"cali|lxc|veth[0-9A-Za-z]{5,}|v[eb]-|eni[0-9a-f]{8}|gke[0-9a-f]{8}|azv|vethwe|cilium_|kube"
)
_CONTAINER_MAC = "ee:ee:ee:ee:ee:ee"
_NO_MAC = frozenset({"", "00:00:00:00:00:00"})


def is_usable_name(name: str) -> bool:
    """Whether a NIC's name may be handed to tools: ifup, for one, runs shell code that stands in a name."""
    try:
        return parse_nic_name(name) == name
    except FieldError:
        return False


def shown_name(name: str) -> str:
    """The name where it is usable; else an escaped form, which is never the name of another NIC."""
    return name if is_usable_name(name) else printable(name)


def read_nics(root: Path = Path("/")) -> tuple[Nic, ...]:
    """Every NIC of this network namespace, in the kernel's order. `root` is where /sys is looked for."""
    # The list is netlink's: a /sys that was mounted in another network namespace shows the other's NICs.
    links = _links_from_ip() or _links_from_sysfs(root)
    # What the guard proves a node's path with is nobody's NIC.
    ours = (paths.PROBE_NIC, paths.PROBE_NIC_PEER)
    # What the ports of a switch chip hang on has no socket of its own.
    inner = {link.get("link") for link in links if (link.get("linkinfo") or {}).get("info_kind") == "dsa"}
    nics = (_nic(link, root / "sys/class/net") for link in links if link["ifname"] not in ours)
    return tuple(replace(nic, kind="conduit") if nic.name in inner else nic for nic in nics)


def with_containers(nics: Iterable[Nic], routes: Iterable[Route]) -> tuple[Nic, ...]:
    """The NICs, and of kind "container" those that only the routes show to be the host's end of a container's veth: no
    address, and a host route leads over it."""
    hosts = {
        r.nic for r in routes if not r.gateway and r.destination.prefixlen == (32, 128)[r.destination.version == 6]
    }
    return tuple(
        replace(nic, kind="container") if nic.kind == "veth" and nic.name in hosts and not _has_ipv4(nic) else nic
        for nic in nics
    )


def _has_ipv4(nic: Nic) -> bool:
    return any(address.network.version == 4 for address in nic.addresses)


def _links_from_ip() -> list[LinkRecord]:
    try:
        entries = json.loads(commands.run("ip", "-j", "-d", "addr", timeout=5), strict=False)
    except (commands.CommandFailed, ValueError):
        return []
    return [link for link in entries if "ifindex" in link and "ifname" in link]


def _links_from_sysfs(root: Path) -> list[LinkRecord]:
    """The same as `ip -j addr` as far as /sys and psutil go, for a machine that has no `ip` yet."""
    import psutil

    try:
        directories = sorted((root / "sys/class/net").iterdir())
    except OSError:
        return []
    addresses = psutil.net_if_addrs()
    links: list[LinkRecord] = []
    for at in directories:
        index = read_sysfs(at / "ifindex")
        if not index.isdigit():
            continue
        flags = int(read_sysfs(at / "flags") or "0", 16)
        names = [name for name, bit in (("UP", IFF_UP), ("LOWER_UP", IFF_LOWER_UP)) if flags & bit]
        if read_sysfs(at / "carrier") == "1":
            # The flags in /sys are the old sixteen bits, without LOWER_UP.
            names.append("LOWER_UP")
        entries = [
            {"local": a.address.partition("%")[0], "prefixlen": IPNetwork(f"0.0.0.0/{a.netmask}").prefixlen}
            for a in addresses.get(at.name, [])
            if a.family.name == "AF_INET" and a.netmask
        ]
        links.append(
            {
                "ifindex": int(index),
                "ifname": at.name,
                "flags": names,
                "link_type": {"1": "ether", "772": "loopback"}.get(read_sysfs(at / "type"), "none"),
                "address": read_sysfs(at / "address"),
                "addr_info": entries,
                "linkinfo": {"info_kind": _kind_in_sysfs(at)},
                "master": (at / "master").resolve().name if (at / "master").exists() else "",
                "link": next((lower.name.removeprefix("lower_") for lower in sorted(at.glob("lower_*"))), ""),
            }
        )
    return sorted(links, key=lambda link: int(link["ifindex"]))


def _kind_in_sysfs(at: Path) -> str:
    if (at / "tun_flags").exists():
        return "tun"
    found = next((kind for kind in ("bridge", "bonding") if (at / kind).is_dir()), "")
    if found:
        return {"bonding": "bond"}.get(found, found)
    kind = _devtype(at)
    return "" if kind in _DEVTYPES else kind


def _devtype(at: Path) -> str:
    uevent = dict(line.partition("=")[::2] for line in read_sysfs(at / "uevent").splitlines())
    return uevent.get("DEVTYPE", "")


def read_sysfs(path: Path) -> str:
    """An attribute's text, "" where there is none: many answer EINVAL while the NIC is down."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def has_permanent_mac(name: str) -> bool:
    """Whether a NIC's present MAC is the one that it was built with. False too where there is no such NIC."""
    return read_sysfs(Path("/sys/class/net", name, "addr_assign_type")) == "0"


def _nic(link: LinkRecord, net: Path) -> Nic:
    name = str(link["ifname"])
    at = _directory(link, net)
    flags = link.get("flags", [])
    up = "UP" in flags
    about = link.get("linkinfo") or {}
    mac = _mac(link.get("address", "")) if link.get("link_type") == "ether" else ""
    slave = about.get("info_slave_data") or {}
    # A bond gives its members all one MAC; the one they were built with is kept here.
    permanent = _mac(slave.get("perm_hwaddr", "")) or _mac(link.get("permaddr", "")) or mac
    bus = _bus(at) if at else ""
    kind = _kind(link, at, bus)
    kind = _kind_by_device(kind, at, permanent)
    return Nic(
        name=shown_name(name),
        index=int(link["ifindex"]),
        kind=kind,
        mac=mac,
        permanent_mac=permanent,
        bus=bus,
        driver=_driver(at) or printable(str(about.get("info_kind") or "")),
        vendor=vendor_of(permanent),
        up=up,
        carrier="LOWER_UP" in flags if up else None,
        speed_mbps=_speed(at) if up else None,
        addresses=tuple(_addresses(link.get("addr_info") or [])),
        master=shown_name(str(link.get("master") or "")) if link.get("master") else "",
        usable_name=is_usable_name(name),
        parent=_parent(link, at),
    )


def _parent(link: LinkRecord, at: Path | None) -> str:
    """The NIC whose wire this one shares: a VLAN's, a macvlan's, a tunnel's, a virtual function's."""
    if at is not None and (functions := sorted((at / "device/physfn/net").glob("*"))):
        return shown_name(functions[0].name)
    # A veth's peer stands in "link" too, and so does what is in another namespace under the same number; the port of a
    # switch chip has a wire of its own.
    kind = (link.get("linkinfo") or {}).get("info_kind")
    if kind in ("veth", "dsa", "bridge", "bond", "team") or "link_netnsid" in link or not link.get("link"):
        return ""
    return shown_name(str(link["link"]))


def _kind_by_device(kind: str, at: Path | None, mac: str) -> str:
    """The kind, where the device behind an Ethernet NIC or its name says more than the kernel does."""
    if kind == "veth" and at is not None and (_CONTAINER_NAME.match(at.name) or mac == _CONTAINER_MAC):
        return "container"
    # A modem may have no Ethernet header, as a tunnel.
    if at is None or kind not in ("ethernet", "other", "tunnel"):
        return kind
    driver = _driver(at)
    made_up = bool(mac) and int(mac[:2], 16) & 2
    if driver in _ADAPTER_OR_PHONE and made_up:
        return "tether"
    return _DEVTYPES.get(_devtype(at)) or _DRIVERS.get(driver, kind)


def _directory(link: LinkRecord, net: Path) -> Path | None:
    """The NIC's directory in /sys, if it is really this one's."""
    try:
        at = net / str(link["ifname"])
        same = read_sysfs(at / "ifindex") == str(link["ifindex"])
        return at if same and read_sysfs(at / "address") == link.get("address", "") else None
    except ValueError:
        return None


def _mac(text: object) -> str:
    mac = str(text or "").lower()
    return "" if mac in _NO_MAC or len(mac) != 17 else mac


def _kind(link: LinkRecord, at: Path | None, bus: str) -> str:
    link_type = link.get("link_type", "")
    if link_type == "loopback":
        return "loopback"
    if at and any((at / sign).exists() for sign in ("wireless", "phy80211")):
        return "wireless"
    info_kind = (link.get("linkinfo") or {}).get("info_kind", "")
    if info_kind:
        return _KINDS.get(info_kind, "other")
    if link_type in _TUNNEL_LINK_TYPES:
        return "tunnel"
    # Where /sys is another namespace's, the kernel's own word for a device on a bus has to do.
    return "ethernet" if link_type == "ether" and (bus or (at is None and link.get("parentbus"))) else "other"


def _bus(at: Path) -> str:
    device = at / "device"
    if not device.exists():
        return ""
    path = str(device.resolve())
    return path.partition("/sys/devices/")[2]


def _driver(at: Path | None) -> str:
    if at is None or not (at / "device/driver").exists():
        return ""
    return printable((at / "device/driver").resolve().name)


def _speed(at: Path | None) -> int | None:
    text = read_sysfs(at / "speed") if at else ""
    # -1, and 4294967295 with some drivers: not known.
    return int(text) if text.isdigit() and 0 < int(text) < FOREVER else None


def _addresses(entries: Iterable[LinkRecord]) -> Iterable[Address]:
    for entry in entries:
        try:
            network = IPNetwork(f"{entry['local']}/{entry['prefixlen']}")
        except (AddrFormatError, ValueError, KeyError):
            continue
        ends = entry.get("valid_life_time", FOREVER) != FOREVER
        yield Address(network, dynamic=bool(entry.get("dynamic")) or (ends and network.version == 4))
