"""Verification: checks from outside that the machine is as the plan says, independent of the code that set it up.

`engine` calls it in a trial, `status` (the command line and the TUI) at any time. Without root some checks are UNSEEN.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from wizard.deploy import dhcp_service, runtime_state
from wizard.deploy.guard import control, metrics_file, path_report
from wizard.deploy.guard.address_watch import CONTESTED, clock_text, lost_words
from wizard.deploy.journal import Journal
from wizard.deploy.shapes import AddressLoss, GuardState
from wizard.deploy.time_check import check_time
from wizard.host import systemd
from wizard.host.commands import CommandFailed
from wizard.host.dhcp.packet import SERVER_PORT
from wizard.host.facts.nics import read_nics
from wizard.host.facts.resolver import nameservers
from wizard.host.facts.routes import read_routes
from wizard.host.facts.udp_sockets import bound_names
from wizard.host.facts.uplinks import uplinks_now
from wizard.host.net import forwarding, gateway_rules, link_image
from wizard.host.net.tcp_ports import answering
from wizard.plan import addresses, paths
from wizard.plan.checks import FAILED, OK, UNSEEN, UNTRIED, Check
from wizard.plan.machine import Route
from wizard.plan.model import Plan, Protocol
from wizard.plan.text import clean

_ANSWERS_WITHIN_S = 0.3
_MUTED_TOO_LONG_S = 120
"""How long the guard may be muted before that counts as a fault; a fresh link is probed for up to 47 s."""
REPORT_PATIENCE_S, NEW_REPORT_PATIENCE_S = 4.0, 15.0
"""How long to wait for the present path report; and for one of a requested probe, on a busy machine."""
_PATH_PREFIX = "path-"
REAPPLY_HINT = "Run 'ciao-wizard apply' to bring it back."
_BY_ITSELF = "The guard goes on by itself."
_REMEDY_BY_CODE = {
    "address-conflict": "Give that machine another address. The guard goes on by itself, ten seconds after.",
    "second-server": f"Stop that program. {_BY_ITSELF}",
    "foreign-armed": f"Find the program that changes the table inet ciao_gateway. {_BY_ITSELF}",
    "changing": _BY_ITSELF,
    "enslaved": f"Take it out: 'sudo ip link set NIC nomaster', and see who put it there. {_BY_ITSELF}",
    "starting": _BY_ITSELF,
}
"""The remedies for codes of a muted guard that an apply would not cure. NIC stands for the cluster NIC."""
_GIVES_BACK = "The guard gives it back by itself."


def default_route_texts(routes: Iterable[Route]) -> list[str]:
    """The main table's IPv4 default routes: "NIC via GATEWAY"."""
    return sorted({f"{route.nic} via {route.gateway}" for route in addresses.default_routes(routes)})


def run_checks(plan: Plan, in_force: bool = False, since: float | None = None) -> list[Check]:
    """Every check of a plan that is in force or on trial.

    `in_force`: with the checks that do not revert a trial, on cables and address conflicts. `since`
    (runtime_state.boottime in s): require a path probe that began after that; else the latest report counts.
    """
    root = os.geteuid() == 0
    checks = [_address(plan), _forwarding(plan)]
    checks.append(_rules() if root else Check("rules", UNSEEN, "needs root to see"))
    checks += [_dnsmasq(), _guard(in_force)]
    checks += check_path(since, in_force)
    checks += check_conflicts() if in_force else []
    checks.append(_socket(plan) if root else Check("dhcp-socket", UNSEEN, "needs root to see"))
    checks.append(check_corporate())
    checks += _way_out(plan, in_force) if plan.interfaces.follows_default_route else []
    checks += _cables(plan) if in_force else []
    checks += check_time(plan, in_force)
    checks += _forwards(plan)
    checks += _metrics(plan) if in_force else []
    if systemd.running():
        checks.append(_service())
    return checks


def run_checks_twice(plan: Plan) -> list[Check]:
    """`run_checks` with a new path probe; once more where only the path fails, as a machine may be busy for seconds."""
    checks = run_checks(plan, since=runtime_state.boottime())
    failed = [check for check in checks if check.ok is False]
    if failed and all(check.name.startswith(_PATH_PREFIX) for check in failed):
        return run_checks(plan, since=runtime_state.boottime())
    return checks


def _metrics(plan: Plan) -> list[Check]:
    """The gateway works without: nothing is held against it."""
    if not plan.textfile:
        return []
    if metrics_file.written_lately(plan.textfile):
        return [Check("metrics", OK, f"written to {plan.textfile}")]
    detail = f"{plan.textfile} is not written; the guard says why in {control.guard_log()}"
    return [
        Check(
            "metrics",
            FAILED,
            detail,
            "Check that its directory exists and no other program wrote the file.",
            blocks=False,
        )
    ]


def _address(plan: Plan) -> Check:
    net, nic = plan.network, plan.interfaces.cluster
    cidr = net.gateway_cidr
    nics = read_nics()
    held = sorted({(n.name, str(a.network)) for n in nics for a in n.addresses if a.network.ip == net.gateway})
    last = (runtime_state.running_guard() or GuardState()).get("address")
    if {name for name, _ in held} == {nic} and link_image.has_address(nic, cidr):
        return Check("address", OK, f"{cidr} on {nic}{_was_lost(last)}")
    wanted = f"{cidr} should be on {nic} alone"
    others = [(name, has) for name, has in held if name != nic]
    if others:
        remedy = " ".join(f"Take it off {name}: 'sudo ip address del {has} dev {name}'." for name, has in others)
        return Check("address", FAILED, f"{wanted}; it is on {', '.join(sorted({name for name, _ in held}))}", remedy)
    down = any(n.name == nic and not n.up for n in nics)
    where = f"{nic} is set down" if down else f"it has {held[0][1]}" if held else "no NIC has it"
    away = clean(f": {lost_words(last, _today())}", 300) if last and not last.get("back") else ""
    return Check("address", FAILED, f"{wanted}; {where}{away}", _address_remedy(last))


def _was_lost(last: AddressLoss | None) -> str:
    """What happened to the address the last time that somebody took it, "" if nobody has."""
    if not last or not last.get("back"):
        return ""
    back = f"{'given back' if last.get('given_back') else 'back'} at {clock_text(last.get('back'), _today())}"
    return clean(f"; was {lost_words(last, _today())}; {back}", 300)


def _address_remedy(last: AddressLoss | None) -> str:
    if not last or last.get("back"):
        return REAPPLY_HINT
    if last.get("contested") or last.get("failure"):
        return str(last.get("remedy") or REAPPLY_HINT)
    return _GIVES_BACK


def _today() -> date:
    return datetime.now().astimezone().date()


def _forwarding(plan: Plan) -> Check:
    if off := [nic for nic in (*uplinks_now(plan), plan.interfaces.cluster) if not forwarding.is_on(nic)]:
        return Check("forwarding", FAILED, f"IPv4 forwarding is off on {', '.join(off)}", REAPPLY_HINT)
    if plan.interfaces.follows_default_route:
        return Check("forwarding", OK, "on for the cluster's NIC and those that lead out")
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
        troubles, notes = gateway_rules.troubles_and_notes(script)
        wrong = [line for line in troubles if not line.startswith("forward ")]
    except CommandFailed as error:
        return Check("rules", FAILED, str(error), REAPPLY_HINT)
    if wrong:
        return Check("rules", FAILED, "; ".join(wrong), REAPPLY_HINT)
    return Check("rules", OK, "; ".join(["as rendered", *notes]))


def _dnsmasq() -> Check:
    if runtime_state.dnsmasq_process() is None:
        return Check("dnsmasq", FAILED, "not running", f"Its log is {paths.DNSMASQ_LOG}. {REAPPLY_HINT}")
    guard = runtime_state.running_guard()
    if guard is not None and guard.get("digest") != control.configuration_fingerprint():
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
        return Check(
            "dhcp-socket", FAILED, f"the kernel's list of sockets cannot be read: {error.strerror}", REAPPLY_HINT
        )
    if bound == [cluster]:
        return Check("dhcp-socket", OK, f"one, bound to {cluster}")
    seen = ", ".join(name or "every NIC" for name in bound) or "nothing"
    return Check("dhcp-socket", FAILED, f"bound to {seen}, should be to {cluster} alone", REAPPLY_HINT)


def _guard(in_force: bool) -> Check:
    """The guard's state. Muted until the wire is proven is OK in a trial, a fault in force."""
    guard = runtime_state.running_guard()
    if guard is None:
        return Check("guard", FAILED, "not running; our DHCP is mute", REAPPLY_HINT)
    reason = str(guard.get("reason"))
    if guard.get("mode") == "armed":
        return _armed()
    if guard.get("code") not in control.MUTE_WITHOUT_FAULT:
        return Check("guard", FAILED, reason, _guards_remedy(guard))
    if _seconds_since(guard.get("since")) > _MUTED_TOO_LONG_S:
        remedy = "Look at the cable of the cluster NIC, and at what is behind it."
        return Check("guard", FAILED, f"mute since {guard.get('since')}: {reason}", remedy)
    if in_force:
        return Check("guard", FAILED, f"mute for now: {reason}", f"{_BY_ITSELF} A wire is listened to for 12 to 47 s.")
    return Check("guard", OK, f"mute for now: {reason}")


def _guards_remedy(guard: GuardState) -> str:
    """What to do about a muted guard."""
    code = str(guard.get("code"))
    if code in ("address", CONTESTED):
        return _address_remedy(guard.get("address"))
    return _REMEDY_BY_CODE.get(code, REAPPLY_HINT).replace("NIC", str(guard.get("nic") or "NIC"))


def check_path(since: float | None, in_force: bool = True) -> list[Check]:
    """The latest path report: the checks of a node's path, and the errors of the plan's rules on the machine now.

    `since`, `in_force`: see `run_checks`.
    """
    if since is not None:
        path_report.request()
    report = path_report.wait_for_report(REPORT_PATIENCE_S if since is None else NEW_REPORT_PATIENCE_S, since)
    guard = runtime_state.running_guard()
    if report is not None:
        reason = str((guard or GuardState()).get("dns_reason") or "")
        checks = (*report.found, *report.findings)
        # A VPN that takes all traffic does not revert a trial: the gateway still serves the company's network. Nor does
        # a full range, which a trial may be about to enlarge.
        return [
            replace(
                f,
                detail=f"{f.detail}: {reason}" if reason and _dns_fails(f) else f.detail,
                blocks=in_force or f.name not in ("path-world", dhcp_service.RANGE, dhcp_service.SERVED),
            )
            for f in checks
        ]
    if guard is None or guard.get("mode") not in ("armed", "muted"):
        # The check "guard" reports that.
        return []
    remedy = f"Its log is {control.guard_log()}. {REAPPLY_HINT}"
    return [Check("path", FAILED, "the guard has not probed a node's path lately", remedy)]


def check_conflicts() -> list[Check]:
    """A failed check for each address of the plan's that another machine uses too."""
    conflicts = (runtime_state.running_guard() or GuardState()).get("conflicts") or []
    return [
        Check(
            "address-conflict",
            FAILED,
            f"{clean(str(each.get('ip')), 40)}, the address of {clean(str(each.get('name')), 64)}, is also at "
            f"{clean(str(each.get('mac')), 40)}",
            "Find that machine in the cluster's network and give it another address.",
        )
        for each in conflicts
        if isinstance(each, dict)
    ]


def _dns_fails(found: Check) -> bool:
    return found.name == "path-dns" and found.ok is False


def _armed() -> Check:
    """The check of an armed guard: fails where the packet filter dropped answers of ours on another NIC."""
    counted = gateway_rules.counters() if os.geteuid() == 0 else {}
    misrouted = counted.get("astray", 0)
    if misrouted:
        return Check(
            "guard",
            FAILED,
            f"armed; {misrouted} DHCP answers of ours were held back that would have left by another NIC",
            f"Look at who made dnsmasq answer there ({paths.DNSMASQ_LOG}); 'sudo nft reset counters table inet "
            "ciao_gateway' resets the count.",
        )
    muted = counted.get("muted", 0)
    # Answers dropped while the wire is being proven are by design.
    return Check("guard", OK, f"armed; {muted} answers held back so far" if muted else "armed")


def _seconds_since(moment: object) -> float:
    try:
        return (datetime.now().astimezone() - datetime.fromisoformat(str(moment))).total_seconds()
    except (TypeError, ValueError):
        return 0.0


def check_corporate() -> Check:
    """The default route and the DNS servers, compared with those before the apply."""
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
    detail = ", ".join(now) or f"no default route{unchanged}"
    return Check("corporate", OK, f"{detail}; DNS {', '.join(servers)}" if servers else detail)


def _way_out(plan: Plan, in_force: bool) -> list[Check]:
    """Where a plan that follows the default route leads now. That there is none does not revert a trial."""
    names = uplinks_now(plan)
    if not names:
        remedy = "Plug in the company's cable or join a Wi-Fi network: the gateway follows by itself."
        return [Check("way-out", FAILED, "no way out now: this machine has no default route", remedy, blocks=in_force)]
    loaded = gateway_rules.loaded_uplinks() if os.geteuid() == 0 else None
    if loaded is not None and loaded != sorted(names):
        detail = f"the nodes go out by {clean(', '.join(loaded)) or 'no NIC'}; the way out is {', '.join(names)}"
        return [Check("way-out", FAILED, detail, f"{_BY_ITSELF} Its log is {control.guard_log()}.", blocks=in_force)]
    return [Check("way-out", OK, f"the nodes go out by {', '.join(names)}, where the default route leads")]


def _cables(plan: Plan) -> list[Check]:
    """A failed check for each cable that is out."""
    nics = {nic.name: nic for nic in read_nics()}
    corporate, cluster = nics.get(plan.interfaces.corporate), nics.get(plan.interfaces.cluster)
    found = []
    if cluster is not None and not cluster.carrier:
        detail = f"{cluster.name} has no link: the cluster is unreachable"
        found.append(Check("cable", FAILED, detail, "Look at its cable and the switch; the guard goes on by itself."))
    # Without a default route over it, a missing corporate cable is no fault: the laptop is travelling.
    has_default_route = any(
        route.nic == plan.interfaces.corporate and route.destination.prefixlen == 0 for route in read_routes()
    )
    if corporate is not None and has_default_route and not corporate.carrier:
        detail = f"{corporate.name} has no link: the company's network is unreachable"
        found.append(Check("way-out", FAILED, detail, "Look at the corporate cable."))
    return found


def _forwards(plan: Plan) -> list[Check]:
    by_name = {n.name: str(n.ip) for n in addresses.assign(plan).machines}
    where = {forward: (by_name.get(forward.to, forward.to), forward.to_port) for forward in plan.forwards}
    answers = answering((where[f] for f in plan.forwards if f.protocol is Protocol.TCP), _ANSWERS_WITHIN_S)
    found = []
    for forward in plan.forwards:
        address, port = where[forward]
        state = "answers" if where[forward] in answers else "waiting"
        what = f"{forward.port_text} to {forward.to} {address}:{port}"
        if forward.protocol is Protocol.TCP:
            found.append(Check(f"forward-{forward.port}", OK, f"{what}: {state}"))
        else:
            found.append(Check(f"forward-{forward.port}-udp", UNTRIED, f"not tried: {what}, UDP"))
    return found


def _service() -> Check:
    if Path(paths.SERVICE_WANTED).is_symlink() or runtime_state.running_engine() is not None:
        return Check("service", OK, "starts at boot")
    return Check("service", FAILED, f"{paths.SERVICE_NAME} would not start at boot", REAPPLY_HINT)
