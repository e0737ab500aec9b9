"""The check of the time: whether whoever is named to the nodes answers, and by how much their clocks could be off."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from wizard.host.facts.routes import read_routes
from wizard.host.ntp.applied import applied_time, time_for
from wizard.host.ntp.own_server import is_running, restart_command
from wizard.host.ntp.query import NoTime, NtpAnswer, ask
from wizard.plan.addresses import default_routes
from wizard.plan.checks import FAILED, OK, UNTRIED, Check
from wizard.plan.model import Plan
from wizard.plan.ntp import CHRONY, NTPSEC, NtpMode, TimeServer, TimeSource
from wizard.plan.text import clean
from wizard.plan.time_source import REMEDY

NAME = "time"
_NOBODY = "not announced: none runs here that could serve the nodes, and the company's DHCP names none."
_REMEDY = REMEDY.replace("`", "'")
_ASKED_AGAIN_S = 64.0
"""Others' servers are asked no more often than this by one process: who asks more is refused."""

Answer = NtpAnswer | str
"""What a server said, or why it gave no time."""


class SeldomAsked:
    """Others' servers, and what they said the last time."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[float, Answer]] = {}

    def ask(self, server: str) -> Answer:
        asked = self.answers.get(server)
        if asked is None or time.monotonic() - asked[0] > _ASKED_AGAIN_S:
            asked = self.answers[server] = (time.monotonic(), _ask(server))
        return asked[1]


others = SeldomAsked()


def check_time(plan: Plan, in_force: bool = True) -> list[Check]:
    """The check, in a list; [] where the plan names no time server. A failure reverts no trial."""
    if plan.network.ntp is NtpMode.OFF:
        return []
    source = applied_time()
    if not source.servers:
        return [Check(NAME, UNTRIED, f"{_NOBODY} {_REMEDY}{_changed(plan, source) if in_force else ''}")]
    found = _own(plan, source.server) if source.server is not None else _others(source.servers)
    detail = f"{found.detail}{_changed(plan, source) if in_force else ''}"
    return [Check(NAME, found.outcome, clean(detail, 700), found.remedy, blocks=in_force)]


def _own(plan: Plan, server: TimeServer) -> Check:
    at = f"{server.kind} on this machine"
    answer = _ask(str(plan.network.gateway))
    if isinstance(answer, NtpAnswer):
        return Check(NAME, OK, f"{at} serves the nodes: {words(answer)}")
    if not is_running(server.kind):
        return Check(NAME, FAILED, f"{at} does not run: the nodes get no time", _start_remedy(server))
    log = f"See 'journalctl -u {server.unit}'. " if server.unit else ""
    sources = "'chronyc -n sources'" if server.kind == CHRONY else "'ntpq -pn'"
    return Check(
        NAME,
        FAILED,
        f"{at} {answer} at {plan.network.gateway}: the nodes get no time",
        f"{log}{sources} shows whom it asks. Restart it: '{_restart_words(server)}'.",
    )


def _restart_words(server: TimeServer) -> str:
    return " ".join(("sudo", *(restart_command(server) or ("systemctl", "restart", server.kind)))).replace("try-", "")


def _start_remedy(server: TimeServer) -> str:
    unit = server.unit or {CHRONY: "chrony.service", NTPSEC: "ntpsec.service"}[server.kind]
    return (
        f"Start it: 'sudo systemctl start {unit}'. Or run 'sudo ciao-wizard apply', which asks who else has the time."
    )


def _others(servers: Sequence[str]) -> Check:
    named = ", ".join(servers)
    if not list(default_routes(read_routes())):
        return Check(NAME, UNTRIED, f"the nodes ask {named}; not tried, as this machine has no default route")
    with ThreadPoolExecutor(len(servers)) as pool:
        told = dict(zip(servers, pool.map(others.ask, servers), strict=True))
    good = {server: answer for server, answer in told.items() if isinstance(answer, NtpAnswer)}
    silent = [f"{server} {answer}" for server, answer in told.items() if isinstance(answer, str)]
    if not good:
        return Check(
            NAME,
            FAILED,
            f"the nodes ask {named}: {'; '.join(silent)}",
            "Look at the way there (UDP port 123), or name others: `ntp` under [network].",
        )
    best = min(good.values(), key=lambda answer: answer.error)
    more = f"; {'; '.join(silent)}" if silent else ""
    far = f"; this machine's own clock is {_amount(abs(best.offset))} off that" if abs(best.offset) > 1 else ""
    return Check(NAME, OK, f"the nodes ask {named}: {words(best)}{far}{more}")


def words(answer: NtpAnswer) -> str:
    """By how much clocks that are set by an answer could be off."""
    if answer.own_clock:
        return "by its own clock alone, which nobody sets: how far that is off is not known"
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
        return str(error)
