"""The whole of a machine, as one JSON object on stdout: run before and after, compare as a whole."""

import json
import os
import stat
import subprocess
from pathlib import Path

TREES = ("/etc", "/run", "/var/lib")
# Written by others while nothing of ours happens: lease renewals of the corporate NIC, and what this script makes.
OTHERS = ("/run/ciao-lab", "/run/netns", "/run/xtables.lock", "/run/network/.ifstate", "/var/lib/dhcp", "/etc/resolv.conf", "/etc/netns")


def files() -> dict[str, object]:
    found: dict[str, object] = {}
    for tree in TREES:
        for directory, names, leaves in os.walk(tree):
            names[:] = [n for n in names if not f"{directory}/{n}".startswith(OTHERS)]
            for name in [*names, *leaves]:
                path = f"{directory}/{name}"
                if path.startswith(OTHERS):
                    continue
                info = os.lstat(path)
                content = ""
                if stat.S_ISLNK(info.st_mode):
                    content = os.readlink(path)
                elif stat.S_ISREG(info.st_mode):
                    content = Path(path).read_bytes().hex() if info.st_size < 100_000 else str(info.st_size)
                found[path] = [oct(info.st_mode), info.st_uid, info.st_gid, content]
    return found


def told(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def network() -> dict[str, object]:
    links = json.loads(told("ip", "-j", "addr"))
    for link in links:
        for address in link["addr_info"]:
            # A lease's time runs.
            address.pop("valid_life_time", None)
            address.pop("preferred_life_time", None)
    sysctls = {}
    for path in sorted(Path("/proc/sys/net").rglob("*")):
        # The kernel makes conf directories for NICs as it sees fit; random ones change by themselves.
        if path.is_file() and not path.name.endswith(("_secret", "uuid", "fastopen_key")) and "netfilter" not in str(path):
            try:
                sysctls[str(path)] = path.read_text()
            except OSError:
                continue
    return {
        "links": links,
        "routes": sorted(told("ip", "route", "show", "table", "all").splitlines()),
        "rules": told("ip", "rule"),
        "nft": told("nft", "-s", "list", "ruleset"),
        "iptables": [line for line in told("iptables-save").splitlines() if not line.startswith("#")],
        "sysctls": sysctls,
    }


def processes() -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except OSError:
            continue
        # What asks is no part of the answer: the shells and commands of the test itself.
        if line and "whole.py" not in line:
            found.append(line)
    return sorted(found)


if __name__ == "__main__":
    print(json.dumps({"files": files(), "network": network(), "processes": processes()}))
