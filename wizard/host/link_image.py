"""What a NIC is like, so that it can be made so again: link flag, addresses, routes, permanent neighbours."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from wizard.host.commands import CommandFailed, run

Record = dict[str, Any]
_LINK_LOCAL_PATIENCE_S = 3.0
_FAMILIES = ("-4", "-6")


def link_state(nic: str) -> Record:
    """Link flag and addresses of a NIC: {nic, present, up, macs, addresses: [{cidr, scope, more}]}, where `more` are
    the words that `ip` needs beside, and `macs` its permanent MAC first; {nic, present: False}."""
    try:
        found = json.loads(run("ip", "-j", "addr", "show", "dev", nic))
    except CommandFailed:
        return {"nic": nic, "present": False}
    entry: Record = next((e for e in found if e.get("ifname")), {})
    addresses = [
        {
            "cidr": f"{a['local']}/{a['prefixlen']}",
            "scope": a.get("scope", "global"),
            "more": _words_beside(a, nic),
        }
        for a in entry.get("addr_info", [])
        if "local" in a and not a.get("dynamic")
    ]
    up = "UP" in entry.get("flags", [])
    return {"nic": nic, "present": True, "up": up, "macs": _macs(entry), "addresses": addresses}


def whole_state(nic: str) -> Record:
    """`link_state` with the routes and the permanent neighbours behind the NIC."""
    return link_state(nic) | {"routes": _routes_over(nic), "neighbours": _neighbours(nic)}


def _macs(entry: Record) -> list[str]:
    return [str(entry[key]).lower() for key in ("permaddr", "address") if entry.get(key)]


def _words_beside(address: Record, nic: str) -> list[str]:
    words = [word for word in ("nodad", "noprefixroute", "mngtmpaddr") if address.get(word)]
    words += ["peer", f"{address['address']}/{address['prefixlen']}"] if "address" in address else []
    words += ["broadcast", address["broadcast"]] if "broadcast" in address else []
    words += ["label", address["label"]] if address.get("label", nic) != nic else []
    return words


def _routes_over(nic: str) -> list[str]:
    """The routes over a NIC in every table that the kernel will not make by itself, as `ip` takes them."""
    found = []
    for family in _FAMILIES:
        try:
            # Not asked by NIC: those with several ways would not be told.
            listed = run("ip", "-o", family, "route", "show", "table", "all")
        except CommandFailed:
            continue
        for line in listed.splitlines():
            words = re.sub(r" (linkdown|dead|pref \w+|expires \w+)", "", " ".join(line.replace("\\", " ").split()))
            if f" dev {nic} " in f"{words} " and not re.search(r" proto (kernel|ra|dhcp)\b", words):
                found.append(f"{family} {words}")
    return found


def _neighbours(nic: str) -> list[list[str]]:
    """Neighbours that somebody wrote down for good: [address, MAC]."""
    try:
        listed = json.loads(run("ip", "-j", "neigh", "show", "dev", nic, "nud", "permanent") or "[]")
    except (CommandFailed, ValueError):
        return []
    return [[str(n["dst"]), str(n["lladdr"])] for n in listed if "dst" in n and "lladdr" in n]


def restore_link(image: Record) -> None:
    """Bring link flag, addresses and (where the image has them) routes and neighbours of a NIC back to what was
    seen, whatever it is called now. A NIC that is gone has nothing to give back."""
    nic = called_now(image)
    now = link_state(nic)
    if not image.get("present") or not now["present"]:
        return
    wanted = {a["cidr"] for a in image["addresses"]}
    for address in now["addresses"]:
        if address["cidr"] not in wanted and not _made_by_kernel(address):
            run("ip", "addr", "del", address["cidr"], "dev", nic, ok=(0, 2))
    if image["up"] != now["up"]:
        run("ip", "link", "set", "dev", nic, "up" if image["up"] else "down")
    present = {a["cidr"] for a in link_state(nic)["addresses"]}
    for address in image["addresses"]:
        if address["cidr"] not in present and not _made_by_kernel(address):
            # An address with a peer has its prefix there.
            cidr = address["cidr"].partition("/")[0] if "peer" in address["more"] else address["cidr"]
            run("ip", "addr", "add", cidr, *address["more"], "dev", nic, "scope", address["scope"])
    if image["up"]:
        _restore_ways(nic, image)
    _await_link_local(nic, image)


def _restore_ways(nic: str, image: Record) -> None:
    old = str(image["nic"])
    for route in (re.sub(rf" dev {re.escape(old)}(?= |$)", f" dev {nic}", r) for r in image.get("routes", [])):
        if route not in _routes_over(nic):
            family, *words = route.split()
            run("ip", family, "route", "replace", *words)
    for address, mac in image.get("neighbours", []):
        if [address, mac] not in _neighbours(nic):
            run("ip", "neigh", "replace", address, "lladdr", mac, "dev", nic, "nud", "permanent")


def called_now(image: Record) -> str:
    """The name by which the NIC of an image goes now: its own, unless that is another NIC's and it has a new one."""
    nic, macs = str(image["nic"]), image.get("macs") or []
    now = link_state(nic)
    if not macs or (now["present"] and macs[0] in now["macs"]):
        return nic
    try:
        links = json.loads(run("ip", "-j", "-d", "link", "show"))
    except (CommandFailed, ValueError):
        return nic
    # Bridges, VLANs and the like repeat the MAC of what they are made of.
    same = [str(e["ifname"]) for e in links if macs[0] in _macs(e) and not _is_made_of_others(e)]
    return same[0] if len(same) == 1 else nic


def _is_made_of_others(entry: Record) -> bool:
    return entry.get("linkinfo", {}).get("info_kind") in ("bridge", "bond", "vlan", "macvlan", "ipvlan", "team")


def _made_by_kernel(address: Record) -> bool:
    """IPv6 link-local addresses come and go with the link."""
    return address["scope"] == "link" and ":" in address["cidr"]


def _await_link_local(nic: str, image: Record) -> None:
    """Where the NIC had its IPv6 link-local address, wait until the kernel has made and proven it again."""
    wanted = {a["cidr"] for a in image["addresses"] if _made_by_kernel(a)}
    deadline = time.monotonic() + _LINK_LOCAL_PATIENCE_S
    while image["up"] and wanted and time.monotonic() < deadline:
        listed = run("ip", "-6", "addr", "show", "dev", nic, "scope", "link")
        if all(cidr in listed for cidr in wanted) and "tentative" not in listed:
            return
        time.sleep(0.05)
