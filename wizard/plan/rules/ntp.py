"""The time: the servers of a plan's list, and who gives the nodes the time on this machine."""

from __future__ import annotations

from collections.abc import Iterator

from wizard.plan.fields import shown
from wizard.plan.findings import Finding, error, note, warning
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.ntp import CHRONY, NtpMode, TimeServer
from wizard.plan.time_source import REMEDY, choose_time, who_names_them, why_nobody

_FIELD = "network.ntp"


def of_plan(plan: Plan) -> Iterator[Finding]:
    setting, cidr = plan.network.ntp, plan.network.cidr
    for address in () if isinstance(setting, NtpMode) else setting:
        if address in cidr and int(address) in (cidr.first, cidr.last):
            yield error(
                "time-server-not-host",
                _FIELD,
                f"The time server {address} is no machine's address in {cidr}.",
                f"Use one from {cidr[1]} to {cidr[-2]}, or one outside of it.",
            )
        holder = next((machine.name for machine in plan.machines if machine.ip == address), "")
        if holder:
            yield warning(
                "time-server-is-machine",
                _FIELD,
                f"The time server {address} is {shown(holder)}; this gateway is {plan.network.gateway}.",
                "If the gateway is meant, write its address; otherwise a time server has to run there.",
            )


def against_machine(plan: Plan, facts: Facts) -> Iterator[Finding]:
    setting, server = plan.network.ntp, facts.time_server
    if not facts.time_known or setting is NtpMode.OFF:
        return
    chosen = choose_time(plan, facts)
    if not isinstance(setting, NtpMode) and plan.network.gateway in setting and chosen.server is None:
        yield warning(
            "time-not-served",
            _FIELD,
            f"The nodes are told to ask {plan.network.gateway} for the time, and no server of this machine gives it.",
            _closed_remedy(server) if server is not None else REMEDY,
        )
    elif setting is NtpMode.AUTO and server is not None and not server.can_be_opened:
        yield note(
            "time-server-closed",
            _FIELD,
            f"{server.kind} runs here and {_why_closed(server)}, so it is not opened to the cluster.",
            _closed_remedy(server),
        )
    if chosen.server is not None:
        yield note("time", _FIELD, f"Time: this laptop's {chosen.server.kind}, for the cluster.", "Nothing to do.")
    elif chosen.servers:
        named = f"{', '.join(chosen.servers)}, as {who_names_them(plan, facts)} names them"
        yield note("time", _FIELD, f"Time: {named}.", "Nothing to do.")
    elif server is None:
        yield note(
            "time-unknown",
            _FIELD,
            f"The nodes are told no time server: {why_nobody(plan)}. One without a clock, such as a Raspberry Pi, "
            "starts in the past.",
            REMEDY,
        )


def _why_closed(server: TimeServer) -> str:
    return "no service or init script restarts it" if server.drop_in else "reads no directory of further settings"


def _closed_remedy(server: TimeServer) -> str:
    if server.drop_in:
        return f"Start it by its service instead, {server.kind}.service, and apply."
    if server.kind == CHRONY:
        line = "echo 'confdir /etc/chrony.d' | sudo tee -a /etc/chrony.conf"
        return f"Run `sudo mkdir -p /etc/chrony.d && {line}`, restart it, and apply."
    return (
        "Write `IGNORE_DHCP=yes` into /etc/default/ntpsec, so that it reads /etc/ntpsec/ntp.conf and what is beside "
        "that; restart it, and apply."
    )
