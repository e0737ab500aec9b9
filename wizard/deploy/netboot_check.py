"""Whether the armed nodes would be served what they boot: for `status` and `boot status`."""

from __future__ import annotations

import os
import socket
import time

from wizard.deploy import runtime_state
from wizard.deploy.guard import control
from wizard.deploy.shapes import GuardState, NetbootState
from wizard.host.facts.udp_sockets import inodes_of, listens, sockets_on_port
from wizard.host.plan_in_force import Unreadable, running_plan
from wizard.plan.checks import FAILED, OK, Check
from wizard.plan.images import HTTP_PORT, TFTP_PORT
from wizard.plan.model import Plan
from wizard.plan.text import clean

_STARTS_WITHIN_S = 3.0
_BY_ITSELF = "The guard starts the server by itself."


def check_netboot(plan: Plan) -> list[Check]:
    """A check of a plan with images in force, none while the guard is not armed: then its own check says why.

    Without root it is not known who has a socket: whether the server runs is all that is looked at.
    """
    guard = runtime_state.running_guard() or GuardState()
    if not plan.images or guard.get("mode") != "armed":
        return []
    state = guard.get("netboot") or NetbootState()
    armed = state.get("armed") or 0
    stale = ", ".join(state.get("stale") or ())
    if failure := state.get("failure"):
        return [_failed(f"armed nodes are not served: {failure}", state.get("remedy") or _remedy(failure))]
    if stale:
        return [
            _failed(
                f"armed as in another plan, and not served: {stale}",
                f"Arm again, or: sudo ciao-wizard boot disarm {stale.replace(',', '')}",
            )
        ]
    if not armed:
        return [Check("netboot", OK, "no node is armed")]
    gateway = str(plan.network.gateway)
    if not _answers(gateway):
        return [_failed(f"the netboot server does not listen at {gateway}, TCP port {HTTP_PORT}", _remedy(""))]
    if os.geteuid() == 0 and not _has_tftp(gateway):
        return [_failed(f"dnsmasq does not serve TFTP at {gateway}", "Run 'sudo ciao-wizard reset --only dhcp'.")]
    return [Check("netboot", OK, f"{armed} {'node is' if armed == 1 else 'nodes are'} armed, and would be served")]


def _answers(gateway: str) -> bool:
    """Whether our own server listens; one that was started just now has a moment.

    No packet is sent: the packet filter lets it answer armed nodes alone, and not this machine.
    """
    until = time.monotonic() + _STARTS_WITHIN_S
    while True:
        process = runtime_state.netboot_process()
        try:
            if process and (os.geteuid() != 0 or listens(process.pid, gateway, HTTP_PORT)):
                return True
        except OSError:
            return False
        if time.monotonic() > until:
            return False
        time.sleep(0.05)


def netboot_trouble() -> str:
    """Why armed nodes of the plan in force are not served, with its remedy; "" where they are."""
    plan = running_plan(Unreadable.SKIP)
    guard = runtime_state.running_guard()
    if plan and plan.images and (guard is None or guard.get("mode") != "armed"):
        reason = clean(guard.get("reason") or "", 300) if guard else "it does not run"
        return f"Nobody is served while the guard is not armed: {reason}. See 'ciao-wizard status'."
    wrong = [each for each in check_netboot(plan) if each.ok is False] if plan else []
    return " ".join(f"{each.detail}. {each.remedy}" for each in wrong)


def _has_tftp(gateway: str) -> bool:
    process = runtime_state.dnsmasq_process()
    if process is None:
        return False
    try:
        own, here = inodes_of(process.pid), (socket.inet_aton(gateway), bytes(4))
        return any(each.inode in own and each.address in here for each in sockets_on_port(TFTP_PORT))
    except OSError:
        return False


def _failed(detail: str, remedy: str) -> Check:
    return Check("netboot", FAILED, clean(detail, 600), clean(remedy, 300))


def _remedy(failure: str) -> str:
    if "aiohttp" in failure:
        return f"Run \"pip install 'ciao-wizard[boot]'\" where ciao-wizard is installed. {_BY_ITSELF}"
    if "in use" in failure:
        return f"Stop the program that has the port, or bind it elsewhere. {_BY_ITSELF}"
    return f"{_BY_ITSELF} Its log is {control.guard_log()}."
