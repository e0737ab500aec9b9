"""Takes snapshots of a NIC (link flag, addresses, routes and neighbours over it), and restores them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from wizard.host import shapes
from wizard.host.commands import CommandFailed, find, run
from wizard.host.net import rtnetlink

Record = dict[str, Any]
LINK_LOCAL_PATIENCE_S = 3.0
_FAMILIES = ("-4", "-6")
_BEHIND = ("nexthops", "routes", "neighbours", "proxies")


def link_state(nic: str) -> Record:
    """Link flag and addresses of a NIC: {nic, present, up, macs, addresses: [{cidr, scope, more}]};
    {nic, present: False} if there is none.

    `macs` has the permanent MAC first; `more` are further words for `ip addr add`. Addresses with a lifetime, from DHCP
    or a router, are left out.
    """
    if not _has_ip():
        return rtnetlink.link_state(nic)
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


def is_image(value: Any) -> bool:
    """Whether a record of the journal is what `whole_state` makes, or `link_state`."""
    if not shapes.has(value, nic=shapes.is_text, present=shapes.is_flag):
        return False
    if not value["present"]:
        return True
    texts = shapes.are_texts
    return shapes.has(value, up=shapes.is_flag, macs=texts, addresses=_are_addresses) and shapes.may_have(
        value, nexthops=texts, routes=texts, proxies=texts, neighbours=_are_neighbours
    )


def _are_neighbours(value: Any) -> bool:
    return isinstance(value, list) and all(shapes.are_texts(pair) and len(pair) == 2 for pair in value)


def _are_addresses(value: Any) -> bool:
    shape: dict[str, shapes.Predicate] = {
        "cidr": lambda cidr: shapes.is_text(cidr) and "/" in cidr,
        "scope": shapes.is_text,
        "more": shapes.are_texts,
    }
    return isinstance(value, list) and all(shapes.has(address, **shape) for address in value)


def has_address(nic: str, cidr: str) -> bool:
    """Whether the NIC is up and has this address, "address/prefix"."""
    state = link_state(nic)
    return bool(state.get("up")) and any(a["cidr"] == cidr for a in state.get("addresses", []))


def _has_ip() -> bool:
    return find("ip") is not None


def whole_state(nic: str) -> Record:
    """`link_state`, and what leads over the NIC: nexthops, routes, permanent neighbours, proxy neighbours."""
    return link_state(nic) | {
        "nexthops": _nexthops(nic),
        "routes": _routes_over(nic),
        "neighbours": _neighbours(nic),
        "proxies": _proxies(nic),
    }


def _macs(entry: Record) -> list[str]:
    return [str(entry[key]).lower() for key in ("permaddr", "address") if entry.get(key)]


def _words_beside(address: Record, nic: str) -> list[str]:
    words = [word for word in ("nodad", "noprefixroute", "mngtmpaddr") if address.get(word)]
    words += ["peer", f"{address['address']}/{address['prefixlen']}"] if "address" in address else []
    words += ["broadcast", address["broadcast"]] if "broadcast" in address else []
    words += ["label", address["label"]] if address.get("label", nic) != nic else []
    return words


def _routes_over(nic: str) -> list[str]:
    """The routes over a NIC, of every table, that the kernel does not make by itself: "-4 WORDS" as `ip route` takes
    them."""
    found = []
    for family in _FAMILIES:
        try:
            # Not filtered by NIC: `ip` then leaves out routes with several next hops.
            listed = run("ip", "-o", family, "route", "show", "table", "all")
        except CommandFailed:
            continue
        for line in listed.splitlines():
            words = _without_state(line.replace("\\", " "))
            if f" dev {nic} " in f"{words} " and not re.search(r" proto (kernel|ra|dhcp)\b", words):
                found.append(f"{family} {words}")
    return found


def _nexthops(nic: str) -> list[str]:
    """The nexthop objects over a NIC, then the groups that one of them is in, as `ip nexthop` takes them."""
    try:
        listed = [_without_state(line) for line in run("ip", "nexthop", "show").splitlines()]
    except CommandFailed:
        return []
    own = [line for line in listed if f" dev {nic} " in f"{line} "]
    ids = {line.split()[1] for line in own}
    groups = [line for line in listed if (found := re.search(r" group (\S+)", line)) and ids & _members(found[1])]
    return [*own, *groups]


def _members(group: str) -> set[str]:
    return {member.partition(",")[0] for member in group.split("/")}


def _without_state(line: str) -> str:
    """A line of `ip` without the words that are state and not a setting."""
    return re.sub(r" (linkdown|dead|pref \w+|expires \w+)(?!\S)", "", " ".join(line.split()))


def _neighbours(nic: str) -> list[list[str]]:
    """The permanent neighbours: [address, MAC]."""
    listed = _listed_neighbours("dev", nic, "nud", "permanent")
    return [[str(n["dst"]), str(n["lladdr"])] for n in listed if "dst" in n and "lladdr" in n]


def _proxies(nic: str) -> list[str]:
    """The addresses that the NIC answers for as a proxy."""
    return [str(n["dst"]) for n in _listed_neighbours("proxy", "dev", nic) if "dst" in n]


def _listed_neighbours(*which: str) -> list[Record]:
    try:
        return list(json.loads(run("ip", "-j", "neigh", "show", *which) or "[]"))
    except (CommandFailed, ValueError):
        return []


def added_since(image: Record, now: Record, ours: Collection[str]) -> Record:
    """What others added to a NIC: in `now` (its `whole_state`), not in the image, and not one of the addresses `ours`.

    {addresses, nexthops, routes, neighbours, proxies}, each as in `whole_state`.
    """
    had = {a["cidr"] for a in image["addresses"]} | set(ours)
    found: Record = {
        "addresses": [a for a in now.get("addresses", []) if a["cidr"] not in had and not _made_by_kernel(a)]
    }
    old, new = str(image["nic"]), str(now["nic"])
    for kind in _BEHIND:
        known = [_renamed(line, old, new) for line in image.get(kind, [])]
        found[kind] = [line for line in now.get(kind, []) if line not in known]
    return found


def restore_link(image: Record, ours: Collection[str] = (), seen: Record | None = None) -> list[str]:
    """Bring a NIC back to its image, whatever its name is now; returns what could not be put back, and why.

    Of what was added since, only the addresses `ours` are removed. `seen` is its `whole_state` before the undo began:
    what others had added by then stays, and so does the link that carries it. A NIC that is gone is no problem.
    """
    nic = current_name(image)
    now = link_state(nic)
    if not image.get("present") or not now["present"]:
        return []
    seen = seen or whole_state(nic)
    added = added_since(image, seen, ours)
    problems: list[str] = []
    wanted = {a["cidr"] for a in image["addresses"]}
    for cidr in {a["cidr"] for a in now["addresses"]} & set(ours) - wanted:
        remove_address(problems, nic, cidr)
    up = bool(image["up"] or (seen.get("up") and any(added.values())))
    if up != now["up"]:
        _set_link(problems, nic, up)
    whole: Record = {"nic": image["nic"], "up": up}
    for kind in ("addresses", *_BEHIND):
        whole[kind] = [*image.get(kind, []), *added[kind]]
    return [*problems, *put_back(nic, whole)]


def put_back(nic: str, image: Record, without: Collection[str] = ()) -> list[str]:
    """Add to a NIC what it lacks of an image, except the addresses `without`; returns what could not be, and why."""
    problems: list[str] = []
    present = {a["cidr"] for a in link_state(nic).get("addresses", [])} | set(without)
    for address in image["addresses"]:
        if address["cidr"] not in present and not _made_by_kernel(address):
            if not _has_ip():
                _try_kernel(problems, f"{address['cidr']} on {nic}", rtnetlink.add_address, nic, address)
                continue
            # An address with a peer has its prefix there.
            cidr = address["cidr"].partition("/")[0] if "peer" in address["more"] else address["cidr"]
            failed: list[str] = []
            _try(failed, "ip", "addr", "add", cidr, *address["more"], "dev", nic, "scope", address["scope"])
            # Its network manager may have been sooner.
            if failed and address["cidr"] not in {a["cidr"] for a in link_state(nic).get("addresses", [])}:
                problems += failed
    if not image["up"]:
        return problems
    failed = _restore_routes(nic, image)
    _await_link_local(nic, image)
    # Some routes need an IPv6 address that the kernel had not finished checking for duplicates.
    return [*problems, *(_restore_routes(nic, image) if failed else [])]


def _try(problems: list[str], *argv: str, ok: Sequence[int] = (0,)) -> None:
    try:
        run(*argv, ok=ok)
    except CommandFailed as error:
        problems.append(error.message)


def add_address_command(nic: str, cidr: str) -> tuple[str, ...]:
    """The command of `add_address`, for a preview."""
    return "ip", "address", "add", cidr, "broadcast", "+", "dev", nic


def add_address(nic: str, cidr: str) -> None:
    """Add an address with its broadcast address. Raises CommandFailed."""
    run(*add_address_command(nic, cidr))


def remove_address(problems: list[str], nic: str, cidr: str) -> None:
    """Remove an address from a NIC, with or without `ip`; a failure is appended to `problems`."""
    if _has_ip():
        _try(problems, "ip", "addr", "del", cidr, "dev", nic, ok=(0, 2))
    else:
        _try_kernel(problems, f"{cidr} on {nic}", rtnetlink.delete_address, nic, cidr)


def _set_link(problems: list[str], nic: str, up: bool) -> None:
    if _has_ip():
        _try(problems, "ip", "link", "set", "dev", nic, "up" if up else "down")
    else:
        _try_kernel(problems, f"the link of {nic}", rtnetlink.set_link, nic, up)


def _try_kernel(problems: list[str], what: str, act: Callable[..., None], *args: Any) -> None:
    try:
        act(*args)
    except OSError as error:
        problems.append(f"{what}: {error.strerror}")


def _restore_routes(nic: str, image: Record) -> list[str]:
    """Add the missing nexthops, routes and neighbours, in the order they need. Returns what failed, in words."""
    old = str(image["nic"])
    todo = [_renamed(line, old, nic) for kind in ("nexthops", "routes") for line in image.get(kind, [])]
    # A route through a gateway needs the route to that gateway first.
    todo.sort(key=lambda line: line.startswith("-") and " via " in line)
    problems: list[str] = []
    while todo:
        here, failed, problems = {*_nexthops(nic), *_routes_over(nic)}, [], []
        for line in todo:
            if line not in here:
                before = len(problems)
                _try(problems, *_replacing(line))
                failed += [line] if len(problems) > before else []
        if len(failed) == len(todo):
            break
        todo = failed
    here_now = _neighbours(nic)
    for address, mac in image.get("neighbours", []):
        if [address, mac] not in here_now:
            _try(problems, "ip", "neigh", "replace", address, "lladdr", mac, "dev", nic, "nud", "permanent")
    answered = _proxies(nic)
    for address in image.get("proxies", []):
        if address not in answered:
            _try(problems, "ip", "neigh", "replace", "proxy", address, "dev", nic)
    return problems


def _replacing(line: str) -> list[str]:
    """The command that adds a nexthop or a route as it was listed."""
    if line.startswith("id "):
        return ["ip", "nexthop", "replace", *re.sub(r" scope \S+", "", line).split()]
    family, _, words = line.partition(" ")
    if " nhid " in words:
        # `ip` also lists what the nexthop object holds, and does not accept it back.
        words = re.sub(r" (nexthop|onlink|via inet6? \S+|(via|dev|weight) \S+)(?!\S)", "", words)
    return ["ip", family, "route", "replace", *words.split()]


def _renamed(line: Any, old: str, new: str) -> Any:
    """A line of an image, with the NIC's new name in place of the old one."""
    return re.sub(rf" dev {re.escape(old)}(?!\S)", f" dev {new}", line) if isinstance(line, str) else line


def current_name(image: Record) -> str:
    """The present name of an image's NIC, found by its permanent MAC; its old name if no other NIC has that MAC."""
    nic, macs = str(image["nic"]), image.get("macs") or []
    now = link_state(nic)
    if not macs or (now["present"] and macs[0] in now["macs"]):
        return nic
    try:
        links = json.loads(run("ip", "-j", "-d", "link", "show"))
    except (CommandFailed, ValueError):
        return nic
    # Bridges, VLANs and the like repeat the MAC of a NIC below.
    same = [str(e["ifname"]) for e in links if macs[0] in _macs(e) and not _is_made_of_others(e)]
    return same[0] if len(same) == 1 else nic


def _is_made_of_others(entry: Record) -> bool:
    return entry.get("linkinfo", {}).get("info_kind") in ("bridge", "bond", "vlan", "macvlan", "ipvlan", "team")


def _made_by_kernel(address: Record) -> bool:
    """True for IPv6 link-local addresses: they come and go with the link."""
    return address["scope"] == "link" and ":" in address["cidr"]


def _await_link_local(nic: str, image: Record) -> None:
    """If the NIC had an IPv6 link-local address, wait until the kernel has assigned it and checked for duplicates."""
    wanted = {a["cidr"] for a in image["addresses"] if _made_by_kernel(a)}
    deadline = time.monotonic() + LINK_LOCAL_PATIENCE_S
    while image["up"] and wanted and _has_ip() and time.monotonic() < deadline:
        listed = run("ip", "-6", "addr", "show", "dev", nic, "scope", "link")
        if all(cidr in listed for cidr in wanted) and "tentative" not in listed:
            return
        time.sleep(0.05)
