"""Checks whether this machine can run the laboratory, and names the remedy if not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from wizard.lab.tools import find
from wizard.plan.tools import PACKAGES

NEEDED = ("unshare", "setpriv", "nsenter", "mount", "ip", "dnsmasq", "ifup", "udhcpc")
"""Programs that the laboratory itself runs, beside those of an apply in it."""

LIMITS = (
    "kernel/apparmor_restrict_unprivileged_userns",
    "kernel/unprivileged_userns_clone",
    "user/max_user_namespaces",
    "user/max_net_namespaces",
    "user/max_mnt_namespaces",
    "user/max_pid_namespaces",
)

AS_ROOT = "or run it as root: sudo ciao-wizard lab"


def namespaces(root: bool) -> list[str]:
    """The unshare command that makes the laboratory's namespaces; a caller who is not root plays root in there."""
    user = [] if root else ["--user", "--map-root-user"]
    return ["unshare", *user, "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]


def is_root() -> bool:
    return os.geteuid() == 0


def missing() -> list[str]:
    """What keeps the laboratory from running here, a text each with its remedy; [] if it can run."""
    absent = sorted({PACKAGES.get(tool, tool) for tool in NEEDED if find(tool) is None})
    found = []
    if absent:
        found.append(f"programs are missing; install them: sudo apt-get install {' '.join(absent)}")
    if find("unshare") is None:
        return found
    trial = [find("unshare") or "", *namespaces(is_root())[1:], "true"]
    done = subprocess.run(trial, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        found.append(why_no_namespaces(done.stderr.strip(), _limits(), is_root(), _in_container()))
    return found


def why_no_namespaces(error: str, limits: Mapping[str, str], root: bool, container: bool) -> str:
    """Why unshare failed, and the remedy.

    `error` is unshare's message, `limits` the sysctls of LIMITS that exist, `container` whether this is one.
    """
    if container:
        return (
            f"this container may not make namespaces ({error}); start it with --privileged, or with "
            "--security-opt seccomp=unconfined --cap-add SYS_ADMIN --cap-add NET_ADMIN"
        )
    for limit in LIMITS:
        if limit.startswith("user/max_") and limits.get(limit) == "0":
            key = limit.replace("/", ".")
            return f"{key} is 0: no such namespaces on this machine; allow them: sudo sysctl -w {key}=10000"
    if root:
        return f"root may not make namespaces here ({error}); CAP_SYS_ADMIN is needed"
    if limits.get("kernel/unprivileged_userns_clone") == "0":
        return (
            "plain users may not make namespaces (kernel.unprivileged_userns_clone is 0); allow it: "
            f"sudo sysctl -w kernel.unprivileged_userns_clone=1, {AS_ROOT}"
        )
    if limits.get("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor keeps plain users from using namespaces (Ubuntu since 23.10: "
            "kernel.apparmor_restrict_unprivileged_userns is 1); allow it until the next boot: "
            f"sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, {AS_ROOT}"
        )
    return f"this user may not make namespaces ({error}); ask whoever runs this machine, {AS_ROOT}"


def _limits() -> dict[str, str]:
    found = {}
    for limit in LIMITS:
        path = Path("/proc/sys") / limit
        if path.is_file():
            found[limit] = path.read_text().strip()
    return found


def _in_container() -> bool:
    return Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()
