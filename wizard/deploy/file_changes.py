"""The files that an apply would change on this machine, as unified diffs.

For the review screen and `diff`; the engine renders its files by `render_for_this_machine` too.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass

from wizard.host.dhcp import dnsmasq
from wizard.host.facts.nics import has_permanent_mac, read_nics
from wizard.host.files import read_text
from wizard.host.net.managers.ifupdown.interfaces_change import interfaces_wanted
from wizard.host.net.managers.ifupdown.main_file import main_file_bytes
from wizard.host.ntp.applied import applied_time, time_for
from wizard.plan import paths
from wizard.plan.backends import Backend
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.ntp import TimeSource
from wizard.plan.render import File, render, render_identity, render_live_address


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file: `before` is None where it does not exist yet, `diff` is "" where nothing changes."""

    path: str
    before: str | None
    after: str
    diff: str


def render_for_this_machine(
    plan: Plan, plan_text: str, backend: Backend, time: TimeSource | None = None
) -> tuple[File, ...]:
    """Every file of the plan as rendered for this machine and backend, that of the cluster NIC's address last.

    `time`: who gives the nodes the time; None for what the last apply chose.
    """
    time = applied_time() if time is None else time
    facts = Facts(nics=read_nics())
    mac = _cluster_mac(plan.interfaces.cluster, facts)
    if backend is Backend.NETPLAN and not _can_be_matched(plan.interfaces.cluster, facts):
        mac = ""
    *files, address = render(plan, plan_text, dnsmasq.user_id(), mac, backend, time)
    identity = render_identity(plan, facts, backend, time)
    named = () if plan.interfaces.follows_default_route else (plan.interfaces.corporate,)
    if any(facts.nic(name) is None for name in (*named, plan.interfaces.cluster)):
        # Keep the recorded identity of a NIC that is not plugged in.
        identity = File(identity.path, read_text(identity.path) or identity.text)
    return (*files, identity, address)


def render_live_address_here(plan: Plan, backend: Backend) -> File:
    """The file of the cluster NIC's address that a trial on this machine writes."""
    mac = _cluster_mac(plan.interfaces.cluster, Facts(nics=read_nics()))
    return render_live_address(plan, mac, backend)


def _cluster_mac(name: str, facts: Facts) -> str:
    """The permanent MAC of the cluster NIC; where it is not plugged in, the recorded one. "" where unknown."""
    nic = facts.nic(name)
    if nic is not None:
        return nic.permanent_mac
    try:
        known = tomllib.loads(read_text(paths.IDENTITY) or "").get("cluster", {})
    except tomllib.TOMLDecodeError:
        return ""
    return str(known.get("mac", "")) if known.get("name") == name else ""


def _can_be_matched(name: str, facts: Facts) -> bool:
    """Whether netplan's `macaddress` can match a NIC: it has networkd look at the permanent MAC, which a veth lacks."""
    nic = facts.nic(name)
    return nic is None or nic.permanent_mac != nic.mac or has_permanent_mac(name)


def file_changes(plan: Plan, plan_text: str, backend: Backend) -> tuple[FileChange, ...]:
    """Every file of the plan, and every shared file that must change, compared with what is there now."""
    files = render_for_this_machine(plan, plan_text, backend, time_for(plan))
    found = [_change(f.path, read_text(f.path), f.text) for f in files]
    for text in interfaces_wanted(plan.interfaces.cluster) if backend is Backend.IFUPDOWN else ():
        if text.wanted != text.now:
            found.append(_change(text.path, _shown(text.now) or None, _shown(text.wanted)))
    return tuple(found)


def _shown(text: str) -> str:
    """A file's text, decoded for display; undecodable bytes are replaced."""
    return main_file_bytes(text).decode("utf-8", "replace").replace("\r\n", "\n")


def _change(path: str, before: str | None, after: str) -> FileChange:
    lines = difflib.unified_diff(
        (before or "").splitlines(keepends=True),
        after.splitlines(keepends=True),
        fromfile=path if before is not None else "/dev/null",
        tofile=path,
    )
    return FileChange(path, before, after, "".join(line if line.endswith("\n") else f"{line}\n" for line in lines))
