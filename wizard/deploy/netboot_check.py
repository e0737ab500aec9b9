"""Whether the armed nodes would be served what they boot: for `status` and `boot status`."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from wizard.deploy import runtime_state
from wizard.deploy.armed import read_armed
from wizard.deploy.guard import control
from wizard.deploy.shapes import GuardState, NetbootState
from wizard.host.commands import CommandFailed
from wizard.host.facts.udp_sockets import inodes_of, sockets_on_port, tcp_backlog
from wizard.host.net import gateway_rules
from wizard.host.plan_in_force import Unreadable, running_plan
from wizard.plan import paths
from wizard.plan.checks import FAILED, OK, Check
from wizard.plan.images import (
    ADD,
    GRUB,
    HTTP_PORT,
    IPXE_LOADERS_OF,
    LOADER_REMEDY,
    SHIM,
    SIGNED_REMEDY,
    TFTP_PORT,
)
from wizard.plan.model import Plan
from wizard.plan.netboot import Stage
from wizard.plan.text import clean

_STARTS_WITHIN_S = 3.0
_BY_ITSELF = "The guard starts the server by itself."
_IN_A_WHILE = "The guard mends that by itself within half a minute: look again then."


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
        return [_failed(f"the netboot server does not answer at {gateway}, TCP port {HTTP_PORT}", _remedy(""))]
    if os.geteuid() == 0 and not _has_tftp(gateway):
        return [_failed(f"dnsmasq does not serve TFTP at {gateway}", "Run 'sudo ciao-wizard reset --only dhcp'.")]
    if os.geteuid() == 0 and (wrong := _gone(plan) or _kept_out()):
        return [wrong]
    return [Check("netboot", OK, f"{armed} {'node is' if armed == 1 else 'nodes are'} armed, and would be served")]


def _answers(gateway: str) -> bool:
    """Whether our own server listens, and accepts who comes; one that was started just now has a moment.

    No packet is sent: the packet filter lets it answer armed nodes alone, and not this machine.
    """
    until = time.monotonic() + _STARTS_WITHIN_S
    while True:
        process = runtime_state.netboot_process()
        try:
            if process and (os.geteuid() != 0 or tcp_backlog(process.pid, gateway, HTTP_PORT) == 0):
                return True
        except OSError:
            return False
        if time.monotonic() > until:
            return False
        time.sleep(0.05)


def _gone(plan: Plan) -> Check | None:
    """What an armed node would ask for in vain: a file of its image, or every boot loader for its kind of firmware."""
    images = {image.name: image for image in plan.images}
    for node in read_armed():
        for each in node.paths.values():
            if each.stage is not Stage.LOADER and each.file and not Path(each.file).is_file():
                add = f"Add its image again: {ADD} {node.image} …; or: sudo ciao-wizard boot disarm {node.name}"
                return _failed(f"{node.name} would not get {each.file}: it is not there", add)
        image = images.get(node.image)
        loaders = (SHIM, GRUB) if node.secure_boot else IPXE_LOADERS_OF[image.architecture] if image else ()
        present = [loader for loader in loaders if Path(paths.BOOT_LOADERS, loader).is_file()]
        if loaders and (not present or (node.secure_boot and len(present) < len(loaders))):
            return _failed(
                f"{node.name} would get no boot loader: {', '.join(loaders)} are not there",
                SIGNED_REMEDY if node.secure_boot else LOADER_REMEDY,
            )
    return None


def _kept_out() -> Check | None:
    """An armed node that the packet filter does not let through: somebody emptied its set. One that was armed just now
    has a moment."""
    until = time.monotonic() + _STARTS_WITHIN_S
    while True:
        try:
            reaching = gateway_rules.reaching_netboot()
        except CommandFailed as error:
            return _failed(f"the packet filter lets no armed node through: {error.message}", _IN_A_WHILE)
        out = [node.name for node in read_armed() if any((node.address, mac) not in reaching for mac in node.macs)]
        if not out:
            return None
        if time.monotonic() > until:
            return _failed(f"the packet filter does not let through what is armed: {', '.join(out)}", _IN_A_WHILE)
        time.sleep(0.05)


def netboot_trouble() -> str:
    """Why armed nodes of the plan in force are not served, with its remedy; "" where they are."""
    plan = running_plan(Unreadable.SKIP)
    guard = runtime_state.running_guard()
    armed = bool(plan and plan.images and os.geteuid() == 0 and read_armed())
    if armed and (guard is None or guard.get("mode") != "armed"):
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
