"""Who gives the nodes the time, by the plan and by what runs on this machine. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from netaddr import IPAddress

from wizard.plan import fields
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.ntp import MOST_SERVERS, NO_TIME, NtpMode, TimeSource, is_server_address

REMEDY = "Run `sudo apt install chrony`, and then `sudo ciao-wizard apply`."

TIMESYNCD = "/etc/systemd/timesyncd.conf"
"""Stands for a NIC in `Facts.time_servers`: what a person wrote there, and not what a DHCP server named."""


def why_nobody(plan: Plan) -> str:
    """Why no server is found for a plan, half a sentence."""
    company = "the company's DHCP names none"
    if plan.interfaces.follows_default_route:
        company = 'those of the company\'s DHCP differ by place (corporate = "auto")'
    return f"none runs here that could serve the nodes, and {company}"


def company_servers(plan: Plan, facts: Facts) -> tuple[str, ...]:
    """The servers that the nodes could ask, dotted; without those that they would seek in vain: those of the corporate
    wire's DHCP where that wire is always the same one, else those that systemd-timesyncd was told to ask."""
    return _usable(plan, _by_dhcp(plan, facts)) or _usable(plan, dict(facts.time_servers).get(TIMESYNCD, ()))


def who_names_them(plan: Plan, facts: Facts) -> str:
    """Where `choose_time` has others' servers from, for people."""
    if not isinstance(plan.network.ntp, NtpMode):
        return "the plan"
    return "the company's DHCP" if _usable(plan, _by_dhcp(plan, facts)) else TIMESYNCD


def _by_dhcp(plan: Plan, facts: Facts) -> tuple[str, ...]:
    # Nodes keep what they were told, and this machine is elsewhere tomorrow.
    if plan.interfaces.follows_default_route:
        return ()
    told = dict(facts.time_servers)
    return told.get(plan.interfaces.corporate) or told.get("", ())


def _usable(plan: Plan, named: Iterable[str]) -> tuple[str, ...]:
    return tuple(text for text in usable_servers(named) if IPAddress(text) not in plan.network.cidr)[:MOST_SERVERS]


def usable_servers(texts: Iterable[str]) -> list[str]:
    """Those of these texts that are addresses of servers, each once."""
    addresses = [text for text in texts if fields.is_address(text)]
    return [text for text in dict.fromkeys(addresses) if is_server_address(IPAddress(text))]


def choose_time(plan: Plan, facts: Facts) -> TimeSource:
    """Who gives the nodes the time, by the plan and by what runs here."""
    setting, gateway = plan.network.ntp, plan.network.gateway
    here = facts.time_server if facts.time_server is not None and facts.time_server.can_be_opened else None
    if not isinstance(setting, NtpMode):
        return TimeSource(tuple(map(str, setting)), here if gateway in setting else None)
    if setting is NtpMode.OFF:
        return NO_TIME
    if here is not None:
        return TimeSource((str(gateway),), here)
    return TimeSource(company_servers(plan, facts))
