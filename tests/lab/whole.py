"""The whole of a machine, as one JSON object on stdout: run before and after, compare as a whole."""

import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

TREES = ("/etc", "/run", "/var/lib")
# Written by others while nothing of ours happens: lease renewals of the corporate NIC, and the laboratory itself.
OTHERS = (
    "/run/ciao-lab",
    "/run/netns",
    "/run/xtables.lock",
    "/run/network/.ifstate",
    "/var/lib/dhcp",
    "/etc/resolv.conf",
    "/etc/netns",
)
RANDOM = ("_secret", "uuid", "fastopen_key")
ADDRESS_PATIENCE_S = 5.0


def files() -> dict[str, object]:
    """Path -> mode, owner, group, time of change (of files), content or target. Everything but directories' times."""
    found: dict[str, object] = {}
    for tree in TREES:
        for directory, names, leaves in os.walk(tree):
            names[:] = [n for n in names if not f"{directory}/{n}".startswith(OTHERS)]
            for name in [*names, *leaves]:
                path = f"{directory}/{name}"
                if path.startswith(OTHERS):
                    continue
                info = os.lstat(path)
                content, changed = "", 0
                if stat.S_ISLNK(info.st_mode):
                    content = os.readlink(path)
                elif stat.S_ISREG(info.st_mode):
                    content = Path(path).read_bytes().hex() if info.st_size < 100_000 else str(info.st_size)
                    # Programs rewrite their state under /run with the same words.
                    changed = 0 if tree == "/run" else info.st_mtime_ns
                found[path] = [oct(info.st_mode), info.st_uid, info.st_gid, changed, content]
    return found


def told(*argv: str) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""


def settled() -> None:
    """Wait until the kernel has proven its IPv6 addresses: one that is tentative now is not in a moment."""
    deadline = time.monotonic() + ADDRESS_PATIENCE_S
    while told("ip", "-6", "address", "show", "tentative") and time.monotonic() < deadline:
        time.sleep(0.05)


def rules(program: str) -> list[str]:
    """What an iptables-save says, in order, without comments and without packet counters."""
    lines = [line for line in told(program).splitlines() if not line.startswith("#")]
    return [re.sub(r"\[\d+:\d+\]", "", line).rstrip() for line in lines]


def network() -> dict[str, object]:
    links = json.loads(told("ip", "-j", "addr"))
    # Every guard has one of its own.
    links = [{"ifname": link["ifname"]} if link["ifname"] == "ciao-path" else link for link in links]
    for link in links:
        for address in link.get("addr_info", ()):
            # A lease's time runs.
            address.pop("valid_life_time", None)
            address.pop("preferred_life_time", None)
    sysctls = {}
    for path in sorted(Path("/proc/sys/net").rglob("*")):
        # Random ones change by themselves, and connection tracking counts.
        if path.is_file() and not path.name.endswith(RANDOM) and "netfilter" not in str(path):
            try:
                sysctls[str(path)] = path.read_text()
            except OSError:
                continue
    programs = ("iptables-nft-save", "iptables-legacy-save", "ip6tables-nft-save", "ip6tables-legacy-save")
    return {
        "links": links,
        "routes": sorted(told("ip", "route", "show", "table", "all").splitlines()),
        "routes6": sorted(told("ip", "-6", "route", "show", "table", "all").splitlines()),
        "rules": told("ip", "rule"),
        "nft": told("nft", "-s", "list", "ruleset"),
        "iptables": {program: rules(program) for program in programs},
        "sysctls": sysctls,
    }


def processes() -> list[str]:
    lines, parents = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            parents[entry.name] = (entry / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        # What asks is no part of the answer: the shells and commands of the test itself.
        if line and "whole.py" not in line:
            lines[entry.name] = line
    # A child has its parent's words for the moment until it becomes the program it was made for.
    return sorted(line for pid, line in lines.items() if lines.get(parents[pid]) != line)


if __name__ == "__main__":
    settled()
    sys.stdout.write(json.dumps({"files": files(), "network": network(), "processes": processes()}))
