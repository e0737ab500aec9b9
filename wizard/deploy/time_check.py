"""The check of the time: whether whoever is named to the nodes answers, and by how much their clocks could be off."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations

from wizard.host.facts.routes import read_routes
from wizard.host.ntp.applied import applied_time, is_recorded, time_for
from wizard.host.ntp.own_server import is_running, restart_command
from wizard.host.ntp.query import AskedTooOften, NoTime, NtpAnswer, ask, is_here
from wizard.plan.addresses import default_routes
from wizard.plan.checks import FAILED, OK, UNTRIED, Check
from wizard.plan.model import Plan
from wizard.plan.ntp import CHRONY, NTPSEC, NtpMode, TimeServer, TimeSource
from wizard.plan.text import clean
from wizard.plan.time_source import why_nobody

NAME = "time"
_REMEDY = "'sudo apt install chrony' and 'sudo ciao-wizard apply' bring a server"
"""First, as the dashboard has room for so much."""
_ASKED_AGAIN_S = 64.0
"""Others' servers are asked no more often than this by one process: who asks more is refused."""

MOST_ERROR_S = 1.5
"""How far off a server may be by its own word (root distance): ntpd and ntpsec refuse one beyond that."""
_ASKED_APART_S = 0.05
"""By how much this machine's clock could be slewed between two questions."""
_SOURCES = {CHRONY: "'chronyc -n sources'", NTPSEC: "'ntpq -pn'"}
_WAY_THERE = "Look at the way there (UDP port 123), or name others: `ntp` under [network]."
_EARLIER_VERSION = "not announced: the plan was applied by an earlier version; apply again"


class NotTried(NoTime):
    """A server that was not asked; the text says why. A "{}" in it stands for the server."""


Answer = NtpAnswer | NoTime
"""What a server said, or why it gave no time."""


class SeldomAsked:
    """Others' servers, and what they said the last time."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[float, float, Answer]] = {}

    def ask(self, server: str) -> Answer:
        asked = self.answers.get(server)
        if asked is None or time.monotonic() - asked[0] > _ASKED_AGAIN_S:
            asked = self.answers[server] = (time.monotonic(), _clock(), _ask(server))
        _, clock_then, answer = asked
        if isinstance(answer, NtpAnswer):
            # This machine's clock may have been set since.
            return replace(answer, offset=answer.offset - (_clock() - clock_then))
        return answer


def _clock() -> float:
    """The time since the boot at 0, by this machine's clock; it changes where the clock is set."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


others = SeldomAsked()


def check_time(plan: Plan, in_force: bool = True) -> list[Check]:
    """The check, in a list; [] where the plan names no time server. A failure reverts no trial."""
    if plan.network.ntp is NtpMode.OFF:
        return []
    source = applied_time()
    if source.servers:
        found = _judged(plan, source, _told(plan, source.servers))
    elif not is_recorded():
        found = Check(NAME, UNTRIED, _EARLIER_VERSION)
    else:
        found = Check(NAME, UNTRIED, f"none; {_REMEDY} ({why_nobody(plan)})")
    detail = f"{found.detail}{_changed(plan, source) if in_force and is_recorded() else ''}"
    return [Check(NAME, found.outcome, clean(detail, 700), found.remedy, blocks=in_force)]


def _told(plan: Plan, servers: Sequence[str]) -> dict[str, Answer]:
    """What each server says. The gateway's own is asked each time, and only over this machine's own `lo`."""
    gateway = str(plan.network.gateway)
    distant = [server for server in servers if server != gateway]
    told: dict[str, Answer] = {}
    if gateway in servers:
        told[gateway] = _ask(gateway) if is_here(gateway) else NotTried("not tried: {} is not on this machine")
    if distant and not list(default_routes(read_routes())):
        told |= dict.fromkeys(distant, NotTried("not tried, as this machine has no default route"))
    elif distant:
        with ThreadPoolExecutor(len(distant)) as pool:
            told |= zip(distant, pool.map(others.ask, distant), strict=True)
    return {server: told[server] for server in servers}


def _judged(plan: Plan, source: TimeSource, told: Mapping[str, Answer]) -> Check:
    gateway, server = str(plan.network.gateway), source.server
    good = {name: answer for name, answer in told.items() if isinstance(answer, NtpAnswer)}
    silent = {name: answer for name, answer in told.items() if isinstance(answer, NoTime)}
    who = f"{server.kind} on this machine serves the nodes" if server is not None and len(told) == 1 else ""
    who = who or f"the nodes ask {', '.join(told)}"
    if not good:
        unknown = any(isinstance(answer, NotTried | AskedTooOften) for answer in silent.values())
        if server is not None and not unknown and len(told) == 1:
            return _own_is_silent(server, gateway, silent[gateway])
        return Check(NAME, UNTRIED if unknown else FAILED, f"{who}: {_texts(silent)}", "" if unknown else _WAY_THERE)
    apart = next((pair for pair in combinations(good.values(), 2) if _contradict(*pair)), None)
    more = f"; {_texts(silent)}" if silent else ""
    if apart is not None:
        one, other = apart
        by = _amount(abs(one.offset - other.offset))
        detail = f"{who}: {one.server} and {other.server} are {by} apart, more than either says it could be off{more}"
        return Check(NAME, FAILED, detail, "Find out which one is wrong, and name others: `ntp` under [network].")
    near = [answer for answer in good.values() if not _is_far(answer)]
    told_by_others = [answer for answer in near if not answer.own_clock]
    best = min(told_by_others or near or good.values(), key=lambda answer: answer.error)
    ahead = abs(best.offset) > 1 and best.server != gateway
    far = f"; this machine's own clock is {_amount(abs(best.offset))} off that" if ahead else ""
    detail = f"{who}: {words(best)}{far}{more}"
    if not near:
        remedy = f"See whom it asks, and that it reaches them: {_SOURCES[server.kind]}." if server is not None else ""
        return Check(NAME, FAILED, f"{detail}; clients refuse more than {MOST_ERROR_S:g} s", remedy or _WAY_THERE)
    return Check(NAME, OK if told_by_others else UNTRIED, detail)


def _texts(silent: Mapping[str, NoTime]) -> str:
    return "; ".join(str(why).format(name) if "{}" in str(why) else f"{name} {why}" for name, why in silent.items())


def _contradict(one: NtpAnswer, other: NtpAnswer) -> bool:
    return abs(one.offset - other.offset) > one.error + other.error + _ASKED_APART_S


def _is_far(answer: NtpAnswer) -> bool:
    return answer.error > MOST_ERROR_S and not answer.own_clock


def _own_is_silent(server: TimeServer, gateway: str, why: NoTime) -> Check:
    at = f"{server.kind} on this machine"
    if not is_running(server.kind):
        return Check(NAME, FAILED, f"{at} does not run: the nodes get no time", _start_remedy(server))
    log = f"See 'journalctl -u {server.unit}'. " if server.unit else ""
    return Check(
        NAME,
        FAILED,
        f"{at} {why} at {gateway}: the nodes get no time",
        f"{log}{_SOURCES[server.kind]} shows whom it asks. Restart it: '{_restart_words(server)}'.",
    )


def _restart_words(server: TimeServer) -> str:
    return " ".join(("sudo", *(restart_command(server) or ("systemctl", "restart", server.kind)))).replace("try-", "")


def _start_remedy(server: TimeServer) -> str:
    unit = server.unit or {CHRONY: "chrony.service", NTPSEC: "ntpsec.service"}[server.kind]
    return (
        f"Start it: 'sudo systemctl start {unit}'. Or run 'sudo ciao-wizard apply', which asks who else has the time."
    )


def words(answer: NtpAnswer) -> str:
    """By how much clocks that are set by an answer could be off."""
    if answer.own_clock:
        return "by its own clock alone: how far off is not known"
    return f"clocks within {_amount(answer.error)} of the true time (stratum {answer.stratum})"


def _amount(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.0f} s" if seconds < 3600 else f"{seconds / 3600:.1f} h"
    return f"{max(seconds * 1000, 0.1):.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"


def _changed(plan: Plan, source: TimeSource) -> str:
    """What an apply would do otherwise now, "" for nothing. Not everybody may read what the company's DHCP said."""
    if os.geteuid() != 0:
        return ""
    now = time_for(plan)
    if now.servers == source.servers and now.server == source.server:
        return ""
    who = f"{now.server.kind} on this machine" if now.server is not None else ", ".join(now.servers) or "nobody"
    return f"; now it would be {who}: 'sudo ciao-wizard apply' tells the nodes"


def _ask(server: str) -> Answer:
    try:
        return ask(server)
    except NoTime as error:
        return error
