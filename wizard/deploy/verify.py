"""Is what runs what the plan says? Asked from outside, not of the code that did it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from wizard.deploy import gateway, path_told, state
from wizard.deploy.journal import Journal
from wizard.deploy.road import nameservers
from wizard.host import dnsmasq, firewall, network, systemd
from wizard.host.commands import CommandFailed
from wizard.host.facts_nics import read_nics
from wizard.host.facts_routes import read_routes
from wizard.host.files import read_text
from wizard.host.path_probe import Found
from wizard.host.tcp_ports import answering
from wizard.plan import addresses, paths
from wizard.plan.machine import Facts
from wizard.plan.model import Plan, Protocol
from wizard.plan.text import clean

_ANSWERS_WITHIN_S = 0.3
_MUTE_FOR_NOW_S = 120
"""How long a wire may take to be proven; a link that just came up is listened to for 35 seconds."""
WALK_S, WISHED_WALK_S = 4.0, 15.0
"""How long to wait for a walk of what is so now; and for one that was asked for, on a machine that is busy."""
APPLY_AGAIN = "Run 'ciao-wizard apply' to bring it back."
_BY_ITSELF = "The guard goes on by itself."
_PASSING = {
    "address-conflict": "Give that machine another address. The guard goes on by itself, ten seconds after.",
    "second-server": f"Stop that program. {_BY_ITSELF}",
    "foreign-armed": f"Find the program that changes the table inet ciao_gateway. {_BY_ITSELF}",
    "changing": _BY_ITSELF,
    "starting": _BY_ITSELF,
}
"""What a mute guard waits for, by its code, and an apply would not bring about."""


@dataclass(frozen=True, slots=True)
class Check:
    """One verification. `ok` is None where we may not look (no root), and for what was not tried."""

    name: str
    ok: bool | None
    detail: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "ok": self.ok, "detail": self.detail, "remedy": self.remedy}


def default_routes(facts: Facts) -> list[str]:
    """The main table's IPv4 default routes: "NIC via GATEWAY"."""
    return _default_routes(facts.routes)


def _default_routes(routes: Any) -> list[str]:
    return sorted(
        {f"{r.nic} via {r.gateway}" for r in routes if r.table == "main" and str(r.destination) == "0.0.0.0/0"}
    )


def checks(plan: Plan, in_force: bool = False, since: float | None = None) -> list[Check]:
    """Every check of a plan that is applied, or on trial. `in_force`: cables, and who has a node's address, too; no
    trial goes back for them.

    `since` (state.boottime): a node's path is to be walked anew after that; else the latest walk counts.
    """
    root = os.geteuid() == 0
    found = [_address(plan), _forwarding(plan)]
    found.append(_rules() if root else Check("rules", None, "needs root to see"))
    found += [_dnsmasq(), _guard(in_force)]
    found += check_path(since, in_force)
    found += check_conflicts() if in_force else []
    found.append(_socket(plan) if root else Check("dhcp-socket", None, "needs root to see"))
    found.append(check_corporate())
    found += _cables(plan) if in_force else []
    found += _forwards(plan)
    if systemd.running():
        found.append(_service())
    return found


def _address(plan: Plan) -> Check:
    net, nic = plan.network, plan.interfaces.cluster
    cidr = f"{net.gateway}/{net.cidr.prefixlen}"
    on = sorted({n.name for n in read_nics() for a in n.addresses if str(a.network.ip) == str(net.gateway)})
    if on == [nic] and network.has_address(nic, cidr):
        return Check("address", True, f"{cidr} on {nic}")
    where = f"it is on {', '.join(on)}" if on else "no NIC has it"
    return Check("address", False, f"{cidr} should be on {nic} alone; {where}", APPLY_AGAIN)


def _forwarding(plan: Plan) -> Check:
    off = []
    for nic in (plan.interfaces.corporate, plan.interfaces.cluster):
        if (read_text(f"/proc/sys/net/ipv4/conf/{nic}/forwarding") or "0").strip() != "1":
            off.append(nic)
    if off:
        return Check("forwarding", False, f"IPv4 forwarding is off on {', '.join(off)}", APPLY_AGAIN)
    return Check("forwarding", True, "on for the two NICs")


def _rules() -> Check:
    script = paths.LIVE_SCRIPT
    try:
        loaded = firewall.table_text()
        if loaded is None:
            return Check("rules", False, "the table inet ciao_gateway is not loaded", APPLY_AGAIN)
        if loaded != firewall.expected_table_text(script):
            return Check("rules", False, "the table inet ciao_gateway was changed by somebody", APPLY_AGAIN)
        # Forwarding has a check of its own.
        wrong = [line for line in firewall.troubles(script) if not line.startswith("forward ")]
    except CommandFailed as error:
        return Check("rules", False, str(error), APPLY_AGAIN)
    if wrong:
        return Check("rules", False, "; ".join(wrong), APPLY_AGAIN)
    return Check("rules", True, "as rendered")


def _dnsmasq() -> Check:
    if state.dnsmasq_process() is None:
        return Check("dnsmasq", False, "not running", f"Its log is {paths.DNSMASQ_LOG}. {APPLY_AGAIN}")
    told = state.serve()
    if told is not None and told.get("digest") != gateway.digest():
        return Check("dnsmasq", False, "runs with another configuration than the plan's", APPLY_AGAIN)
    return Check("dnsmasq", True, "runs with the plan's configuration")


def _socket(plan: Plan) -> Check:
    process = state.dnsmasq_process()
    cluster = plan.interfaces.cluster
    if process is None:
        return Check("dhcp-socket", False, "there is none: dnsmasq is not running", APPLY_AGAIN)
    bound = dnsmasq.dhcp_sockets(process.pid)
    if bound == [cluster]:
        return Check("dhcp-socket", True, f"one, bound to {cluster}")
    seen = ", ".join(name or "every NIC" for name in bound) or "nothing"
    return Check("dhcp-socket", False, f"bound to {seen}, should be to {cluster} alone", APPLY_AGAIN)


def _guard(in_force: bool) -> Check:
    """Mute is no fault of a trial's where the wire has only to be proven; but who is mute serves nobody."""
    told = state.serve()
    if told is None:
        return Check("guard", False, "not running; our DHCP is mute", APPLY_AGAIN)
    reason = str(told.get("reason"))
    if told.get("mode") == "armed":
        return _astray()
    if told.get("code") not in gateway.HARMLESS:
        return Check("guard", False, reason, _PASSING.get(str(told.get("code")), APPLY_AGAIN))
    if _seconds_since(told.get("since")) > _MUTE_FOR_NOW_S:
        remedy = "Look at the cable of the cluster NIC, and at what is behind it."
        return Check("guard", False, f"mute since {told.get('since')}: {reason}", remedy)
    if in_force:
        return Check("guard", False, f"mute for now: {reason}", f"{_BY_ITSELF} A wire is listened to for up to 35 s.")
    return Check("guard", True, f"mute for now: {reason}")


def check_path(since: float | None, in_force: bool = True) -> list[Check]:
    """What a node meets, as the guard walked it last; and what the rules hold against the plan by now."""
    if since is not None:
        path_told.wish()
    walked = path_told.await_walk(WALK_S if since is None else WISHED_WALK_S, since)
    told = state.serve()
    if walked is not None:
        why = str((told or {}).get("dns_reason") or "")
        said = (*walked.found, *walked.findings)
        # A VPN that takes everything is no reason to refuse a gateway that serves the company's network.
        return [
            Check(
                f.name,
                None if f.name == "path-world" and not in_force and f.ok is False else f.ok,
                f"{f.detail}: {why}" if why and _dns_fails(f) else f.detail,
                f.remedy,
            )
            for f in said
        ]
    if told is None or told.get("mode") not in ("armed", "muted"):
        # Its own check says so.
        return []
    remedy = f"Its log is {gateway.SERVE_LOG}. {APPLY_AGAIN}"
    return [Check("path", False, "the guard has not walked a node's path lately: nobody knows what one meets", remedy)]


def check_conflicts() -> list[Check]:
    """A failed check for each address of the plan's that another machine has as well."""
    told = (state.serve() or {}).get("conflicts") or []
    return [
        Check(
            "address-conflict",
            False,
            f"{clean(str(each.get('ip')), 40)}, the address of {clean(str(each.get('name')), 64)}, is also at "
            f"{clean(str(each.get('mac')), 40)}",
            "Find that machine on the cluster's wire, and give it another address.",
        )
        for each in told
        if isinstance(each, dict)
    ]


def _dns_fails(found: Found) -> bool:
    return found.name == "path-dns" and found.ok is False


def _astray() -> Check:
    """Armed; and whether anybody made our dnsmasq answer where it should not."""
    counted = firewall.counters() if os.geteuid() == 0 else {}
    astray = counted.get("astray", 0)
    if astray:
        return Check(
            "guard",
            False,
            f"armed; {astray} DHCP answers of ours were held back that would have left by another NIC",
            f"Look at who made dnsmasq answer there ({paths.DNSMASQ_LOG}); 'sudo nft reset counters table inet "
            "ciao_gateway' starts the count anew.",
        )
    muted = counted.get("muted", 0)
    # While the wire is being proven they are held back by design.
    return Check("guard", True, f"armed; {muted} answers held back so far" if muted else "armed")


def _seconds_since(moment: object) -> float:
    try:
        return (datetime.now().astimezone() - datetime.fromisoformat(str(moment))).total_seconds()
    except (TypeError, ValueError):
        return 0.0


def check_corporate() -> Check:
    """The way out and the company's DNS, against what they were before this was applied."""
    now, servers = _default_routes(read_routes()), nameservers()
    before: dict[str, Any] = {}
    if os.geteuid() == 0:
        last = Journal().read().last
        if last is not None and last.same_boot:
            before = last.begin
    lost = [
        f"{what}; it was {', '.join(map(str, before[key]))}"
        for key, seen, what in (
            ("default_routes", now, "the default route is gone"),
            ("nameservers", servers, "no DNS server is configured any more"),
        )
        if before.get(key) and not seen
    ]
    if lost:
        return Check("corporate", False, "; ".join(lost), "Look at the corporate cable.")
    unchanged = ", as before" if before.get("default_routes") == [] else ""
    told = ", ".join(now) or f"no default route{unchanged}"
    return Check("corporate", True, f"{told}; DNS {', '.join(servers)}" if servers else told)


def _cables(plan: Plan) -> list[Check]:
    """A failed check for each cable that is out; none where both are in."""
    nics = {nic.name: nic for nic in read_nics()}
    corporate, cluster = nics.get(plan.interfaces.corporate), nics.get(plan.interfaces.cluster)
    found = []
    if cluster is not None and not cluster.carrier:
        told = f"{cluster.name} has no link: nobody in the cluster is reached"
        found.append(Check("cable", False, told, "Look at its cable and the switch; the guard goes on by itself."))
    # On the road nobody is missing a way out that was not there before.
    way_out = any(
        route.nic == plan.interfaces.corporate and route.destination.prefixlen == 0 for route in read_routes()
    )
    if corporate is not None and way_out and not corporate.carrier:
        told = f"{corporate.name} has no link: there is no way out"
        found.append(Check("way-out", False, told, "Look at the corporate cable."))
    return found


def _forwards(plan: Plan) -> list[Check]:
    by_name = {n.name: str(n.ip) for n in addresses.assign(plan).nodes}
    where = {forward: (by_name.get(forward.to, forward.to), forward.to_port) for forward in plan.forwards}
    answers = answering((where[f] for f in plan.forwards if f.protocol is Protocol.TCP), _ANSWERS_WITHIN_S)
    found = []
    for forward in plan.forwards:
        address, port = where[forward]
        told = "answers" if where[forward] in answers else "waiting"
        what = f"{forward.port} to {forward.to} {address}:{port}"
        if forward.protocol is Protocol.TCP:
            found.append(Check(f"forward-{forward.port}", True, f"{what}: {told}"))
        else:
            found.append(Check(f"forward-{forward.port}-udp", None, f"not tried: {what}, UDP"))
    return found


def _service() -> Check:
    if Path(paths.SERVICE_WANTED).is_symlink() or state.work() is not None:
        return Check("service", True, "starts at boot")
    return Check("service", False, f"{paths.SERVICE_NAME} would not start at boot", APPLY_AGAIN)
