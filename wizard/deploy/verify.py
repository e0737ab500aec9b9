"""Is what runs what the plan says? Asked from outside, not of the code that did it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from wizard.deploy import runtime_state
from wizard.deploy.guard import control, path_report
from wizard.deploy.journal import Journal
from wizard.deploy.shapes import GuardState
from wizard.host import systemd
from wizard.host.commands import CommandFailed
from wizard.host.dhcp.packet import SERVER_PORT
from wizard.host.facts.nics import read_nics
from wizard.host.facts.resolver import nameservers
from wizard.host.facts.routes import read_routes
from wizard.host.facts.udp_sockets import bound_names
from wizard.host.files import read_text
from wizard.host.net import gateway_rules, link_image
from wizard.host.net.tcp_ports import answering
from wizard.plan import addresses, paths
from wizard.plan.checks import FAILED, OK, UNSEEN, UNTRIED, Check
from wizard.plan.machine import Route
from wizard.plan.model import Plan, Protocol
from wizard.plan.text import clean

_ANSWERS_WITHIN_S = 0.3
_MUTE_FOR_NOW_S = 120
"""How long a wire may take to be proven; a link that just came up is listened to for 35 seconds."""
WALK_S, WISHED_WALK_S = 4.0, 15.0
"""How long to wait for a walk of what is so now; and for one that was asked for, on a machine that is busy."""
REAPPLY_HINT = "Run 'ciao-wizard apply' to bring it back."
_BY_ITSELF = "The guard goes on by itself."
_PASSING = {
    "address-conflict": "Give that machine another address. The guard goes on by itself, ten seconds after.",
    "second-server": f"Stop that program. {_BY_ITSELF}",
    "foreign-armed": f"Find the program that changes the table inet ciao_gateway. {_BY_ITSELF}",
    "changing": _BY_ITSELF,
    "starting": _BY_ITSELF,
}
"""What a mute guard waits for, by its code, and an apply would not bring about."""


def default_route_texts(routes: Iterable[Route]) -> list[str]:
    """The main table's IPv4 default routes: "NIC via GATEWAY"."""
    return sorted({f"{route.nic} via {route.gateway}" for route in addresses.default_routes(routes)})


def run_checks(plan: Plan, in_force: bool = False, since: float | None = None) -> list[Check]:
    """Every check of a plan that is applied, or on trial. `in_force`: cables, and who has a node's address, too; no
    trial goes back for them.

    `since` (state.boottime): a node's path is to be walked anew after that; else the latest walk counts.
    """
    root = os.geteuid() == 0
    found = [_address(plan), _forwarding(plan)]
    found.append(_rules() if root else Check("rules", UNSEEN, "needs root to see"))
    found += [_dnsmasq(), _guard(in_force)]
    found += check_path(since, in_force)
    found += check_conflicts() if in_force else []
    found.append(_socket(plan) if root else Check("dhcp-socket", UNSEEN, "needs root to see"))
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
    if on == [nic] and link_image.has_address(nic, cidr):
        return Check("address", OK, f"{cidr} on {nic}")
    where = f"it is on {', '.join(on)}" if on else "no NIC has it"
    return Check("address", FAILED, f"{cidr} should be on {nic} alone; {where}", REAPPLY_HINT)


def _forwarding(plan: Plan) -> Check:
    off = []
    for nic in (plan.interfaces.corporate, plan.interfaces.cluster):
        if (read_text(f"/proc/sys/net/ipv4/conf/{nic}/forwarding") or "0").strip() != "1":
            off.append(nic)
    if off:
        return Check("forwarding", FAILED, f"IPv4 forwarding is off on {', '.join(off)}", REAPPLY_HINT)
    return Check("forwarding", OK, "on for the two NICs")


def _rules() -> Check:
    script = paths.LIVE_SCRIPT
    try:
        loaded = gateway_rules.table_text()
        if loaded is None:
            return Check("rules", FAILED, "the table inet ciao_gateway is not loaded", REAPPLY_HINT)
        if loaded != gateway_rules.expected_table_text(script):
            return Check("rules", FAILED, "the table inet ciao_gateway was changed by somebody", REAPPLY_HINT)
        # Forwarding has a check of its own.
        wrong = [line for line in gateway_rules.troubles(script) if not line.startswith("forward ")]
    except CommandFailed as error:
        return Check("rules", FAILED, str(error), REAPPLY_HINT)
    if wrong:
        return Check("rules", FAILED, "; ".join(wrong), REAPPLY_HINT)
    return Check("rules", OK, "as rendered")


def _dnsmasq() -> Check:
    if runtime_state.dnsmasq_process() is None:
        return Check("dnsmasq", FAILED, "not running", f"Its log is {paths.DNSMASQ_LOG}. {REAPPLY_HINT}")
    told = runtime_state.running_guard()
    if told is not None and told.get("digest") != control.configuration_fingerprint():
        return Check("dnsmasq", FAILED, "runs with another configuration than the plan's", REAPPLY_HINT)
    return Check("dnsmasq", OK, "runs with the plan's configuration")


def _socket(plan: Plan) -> Check:
    process = runtime_state.dnsmasq_process()
    cluster = plan.interfaces.cluster
    if process is None:
        return Check("dhcp-socket", FAILED, "there is none: dnsmasq is not running", REAPPLY_HINT)
    try:
        bound = bound_names(process.pid, SERVER_PORT)
    except OSError as error:
        return Check("dhcp-socket", FAILED, f"the kernel does not tell of sockets: {error.strerror}", REAPPLY_HINT)
    if bound == [cluster]:
        return Check("dhcp-socket", OK, f"one, bound to {cluster}")
    seen = ", ".join(name or "every NIC" for name in bound) or "nothing"
    return Check("dhcp-socket", FAILED, f"bound to {seen}, should be to {cluster} alone", REAPPLY_HINT)


def _guard(in_force: bool) -> Check:
    """Mute is no fault of a trial's where the wire has only to be proven; but who is mute serves nobody."""
    told = runtime_state.running_guard()
    if told is None:
        return Check("guard", FAILED, "not running; our DHCP is mute", REAPPLY_HINT)
    reason = str(told.get("reason"))
    if told.get("mode") == "armed":
        return _astray()
    if told.get("code") not in control.MUTE_WITHOUT_FAULT:
        return Check("guard", FAILED, reason, _PASSING.get(str(told.get("code")), REAPPLY_HINT))
    if _seconds_since(told.get("since")) > _MUTE_FOR_NOW_S:
        remedy = "Look at the cable of the cluster NIC, and at what is behind it."
        return Check("guard", FAILED, f"mute since {told.get('since')}: {reason}", remedy)
    if in_force:
        return Check("guard", FAILED, f"mute for now: {reason}", f"{_BY_ITSELF} A wire is listened to for up to 35 s.")
    return Check("guard", OK, f"mute for now: {reason}")


def check_path(since: float | None, in_force: bool = True) -> list[Check]:
    """What a node meets, as the guard walked it last; and what the rules hold against the plan by now."""
    if since is not None:
        path_report.request()
    walked = path_report.wait_for_report(WALK_S if since is None else WISHED_WALK_S, since)
    told = runtime_state.running_guard()
    if walked is not None:
        why = str((told or GuardState()).get("dns_reason") or "")
        said = (*walked.found, *walked.findings)
        # A VPN that takes everything is no reason to refuse a gateway that serves the company's network.
        return [
            replace(
                f,
                detail=f"{f.detail}: {why}" if why and _dns_fails(f) else f.detail,
                blocks=in_force or f.name != "path-world",
            )
            for f in said
        ]
    if told is None or told.get("mode") not in ("armed", "muted"):
        # Its own check says so.
        return []
    remedy = f"Its log is {control.SERVE_LOG}. {REAPPLY_HINT}"
    return [Check("path", FAILED, "the guard has not walked a node's path lately: nobody knows what one meets", remedy)]


def check_conflicts() -> list[Check]:
    """A failed check for each address of the plan's that another machine has as well."""
    told = (runtime_state.running_guard() or GuardState()).get("conflicts") or []
    return [
        Check(
            "address-conflict",
            FAILED,
            f"{clean(str(each.get('ip')), 40)}, the address of {clean(str(each.get('name')), 64)}, is also at "
            f"{clean(str(each.get('mac')), 40)}",
            "Find that machine on the cluster's wire, and give it another address.",
        )
        for each in told
        if isinstance(each, dict)
    ]


def _dns_fails(found: Check) -> bool:
    return found.name == "path-dns" and found.ok is False


def _astray() -> Check:
    """Armed; and whether anybody made our dnsmasq answer where it should not."""
    counted = gateway_rules.counters() if os.geteuid() == 0 else {}
    astray = counted.get("astray", 0)
    if astray:
        return Check(
            "guard",
            FAILED,
            f"armed; {astray} DHCP answers of ours were held back that would have left by another NIC",
            f"Look at who made dnsmasq answer there ({paths.DNSMASQ_LOG}); 'sudo nft reset counters table inet "
            "ciao_gateway' starts the count anew.",
        )
    muted = counted.get("muted", 0)
    # While the wire is being proven they are held back by design.
    return Check("guard", OK, f"armed; {muted} answers held back so far" if muted else "armed")


def _seconds_since(moment: object) -> float:
    try:
        return (datetime.now().astimezone() - datetime.fromisoformat(str(moment))).total_seconds()
    except (TypeError, ValueError):
        return 0.0


def check_corporate() -> Check:
    """The way out and the company's DNS, against what they were before this was applied."""
    now, servers = default_route_texts(read_routes()), nameservers()
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
        return Check("corporate", FAILED, "; ".join(lost), "Look at the corporate cable.")
    unchanged = ", as before" if before.get("default_routes") == [] else ""
    told = ", ".join(now) or f"no default route{unchanged}"
    return Check("corporate", OK, f"{told}; DNS {', '.join(servers)}" if servers else told)


def _cables(plan: Plan) -> list[Check]:
    """A failed check for each cable that is out; none where both are in."""
    nics = {nic.name: nic for nic in read_nics()}
    corporate, cluster = nics.get(plan.interfaces.corporate), nics.get(plan.interfaces.cluster)
    found = []
    if cluster is not None and not cluster.carrier:
        told = f"{cluster.name} has no link: nobody in the cluster is reached"
        found.append(Check("cable", FAILED, told, "Look at its cable and the switch; the guard goes on by itself."))
    # On the road nobody is missing a way out that was not there before.
    way_out = any(
        route.nic == plan.interfaces.corporate and route.destination.prefixlen == 0 for route in read_routes()
    )
    if corporate is not None and way_out and not corporate.carrier:
        told = f"{corporate.name} has no link: there is no way out"
        found.append(Check("way-out", FAILED, told, "Look at the corporate cable."))
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
            found.append(Check(f"forward-{forward.port}", OK, f"{what}: {told}"))
        else:
            found.append(Check(f"forward-{forward.port}-udp", UNTRIED, f"not tried: {what}, UDP"))
    return found


def _service() -> Check:
    if Path(paths.SERVICE_WANTED).is_symlink() or runtime_state.running_engine() is not None:
        return Check("service", OK, "starts at boot")
    return Check("service", FAILED, f"{paths.SERVICE_NAME} would not start at boot", REAPPLY_HINT)
