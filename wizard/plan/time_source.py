"""Who gives the nodes the time, by the plan and by what runs on this machine. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from netaddr import IPAddress

from wizard.plan import fields
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.ntp import MOST_SERVERS, NO_TIME, NtpMode, TimeSource, is_server_address
from wizard.plan.uplinks import resolved

NO_SERVER = (
    "The nodes are told no time server: none runs here that could serve them, and the company's DHCP names none."
)
REMEDY = "Run `sudo apt install chrony`, and then `sudo ciao-wizard apply`."


def company_servers(plan: Plan, facts: Facts) -> tuple[str, ...]:
    """The servers that the DHCP of the corporate wire named, dotted; without those that nodes would seek in vain."""
    told = dict(facts.time_servers)
    named = told.get(resolved(plan, facts).interfaces.corporate) or told.get("", ())
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
