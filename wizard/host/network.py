"""The cluster NIC's address, in the language of whoever configures networks on this machine."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any, Protocol

from wizard.host.commands import CommandFailed, find, run
from wizard.plan import paths
from wizard.plan.findings import WizardError

Record = dict[str, Any]
_LINK_LOCAL_PATIENCE_S = 3.0
SOURCE_LINE = "source /etc/network/interfaces.d/*"
_STANZA = re.compile(r"^(iface|mapping|auto|allow-\S+|no-auto-down|no-scripts|source|source-directory|rename)\b")


class Keeper(Protocol):
    """What a network manager must be able to do for us. `config` is the path of its configuration text."""

    name: str

    def up(self, nic: str, config: str) -> None:
        """Give the NIC the address that `config` says, and raise the link."""

    def down(self, nic: str, config: str) -> None:
        """Take that address away again."""

    def holds(self, nic: str) -> bool:
        """Whether this manager believes that it has configured the NIC."""


class Ifupdown:
    """Debian's ifup and ifdown. A trial gives them a file under /run, so that /etc stays as it is."""

    name = "ifupdown"

    def up(self, nic: str, config: str) -> None:
        Path("/run/network").mkdir(parents=True, exist_ok=True)
        run("ifup", "--interfaces", config, nic, timeout=30)

    def down(self, nic: str, config: str) -> None:
        run("ifdown", "--force", "--interfaces", config, nic, timeout=30)

    def holds(self, nic: str) -> bool:
        try:
            return bool(run("ifquery", "--state", nic, ok=(0, 1)).strip())
        except CommandFailed:
            return False


def state_file(nic: str) -> str:
    """Where ifupdown remembers that it raised a NIC; it leaves an empty one behind."""
    return f"/run/network/ifstate.{nic}"


def keeper() -> Keeper:
    """The manager that keeps the cluster NIC on this machine. Raises WizardError where we know none."""
    if find("ifup") is None:
        raise WizardError(
            "no network manager that ciao-wizard can work with: ifup is not installed",
            "Install it beside the one you have: sudo apt install ifupdown",
        )
    return Ifupdown()


def link_state(nic: str) -> Record:
    """Link flag and addresses of a NIC: {nic, present, up, addresses: [{cidr, scope}]}; {nic, present: False}."""
    try:
        found = json.loads(run("ip", "-j", "addr", "show", "dev", nic))
    except CommandFailed:
        return {"nic": nic, "present": False}
    entry: Record = next((e for e in found if e.get("ifname")), {})
    addresses = [
        {"cidr": f"{a['local']}/{a['prefixlen']}", "scope": a.get("scope", "global")}
        for a in entry.get("addr_info", [])
        if "local" in a and not a.get("dynamic")
    ]
    return {"nic": nic, "present": True, "up": "UP" in entry.get("flags", []), "addresses": addresses}


def has_address(nic: str, cidr: str) -> bool:
    state = link_state(nic)
    return bool(state.get("up")) and any(a["cidr"] == cidr for a in state.get("addresses", []))


def restore_link(image: Record) -> None:
    """Bring link flag and addresses of a NIC back to what `link_state` saw. A NIC that is gone is restored."""
    nic = str(image["nic"])
    now = link_state(nic)
    if not image.get("present") or not now["present"]:
        return
    wanted = {a["cidr"] for a in image["addresses"]}
    for address in now["addresses"]:
        # The kernel makes link-local addresses itself as the link goes up and down.
        if address["cidr"] not in wanted and address["scope"] != "link":
            run("ip", "addr", "del", address["cidr"], "dev", nic, ok=(0, 2))
    if image["up"] != now["up"]:
        run("ip", "link", "set", "dev", nic, "up" if image["up"] else "down")
    present = {a["cidr"] for a in link_state(nic)["addresses"]}
    for address in image["addresses"]:
        if address["cidr"] not in present and address["scope"] != "link":
            run("ip", "addr", "replace", address["cidr"], "dev", nic)
    _await_link_local(nic, image)


def _await_link_local(nic: str, image: Record) -> None:
    """Where the NIC had its IPv6 link-local address, wait until the kernel has made and proven it again."""
    wanted = {a["cidr"] for a in image["addresses"] if a["scope"] == "link"}
    deadline = time.monotonic() + _LINK_LOCAL_PATIENCE_S
    while image["up"] and wanted and time.monotonic() < deadline:
        listed = run("ip", "-6", "addr", "show", "dev", nic, "scope", "link")
        if all(cidr in listed for cidr in wanted) and "tentative" not in listed:
            return
        time.sleep(0.05)


def main_file_edited(text: str, nic: str) -> str:
    """/etc/network/interfaces as we need it: with a `source` line for interfaces.d, and with no stanza of its own
    for the cluster NIC (those are commented out, line by line). The same text where there is nothing to do."""
    lines: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        word = line.strip()
        if _STANZA.match(word):
            inside = re.match(rf"(iface|mapping)\s+{re.escape(nic)}(\s|$)", word) is not None
            names = word.split()
            if names[0] in ("auto",) or names[0].startswith("allow-"):
                if names[1:] == [nic]:
                    lines.append(f"# ciao-wizard: {line}")
                    continue
                if nic in names[1:]:
                    line = line.replace(word, " ".join(n for n in names if n != nic))
        if inside and word and not word.startswith("#"):
            line = f"# ciao-wizard: {line}"
        lines.append(line)
    edited = "".join(lines)
    if not sources_directory(edited):
        edited = edited.rstrip("\n") + f"\n\n{SOURCE_LINE}\n" if edited else f"{SOURCE_LINE}\n"
    return edited


def sources_directory(text: str) -> bool:
    """Whether an interfaces file reads /etc/network/interfaces.d."""
    found = re.search(r"^\s*source(-directory)?\s+(/etc/network/)?interfaces\.d(/\*?)?\s*$", text, re.MULTILINE)
    return found is not None


def other_stanzas(nic: str, directory: str = "/etc/network/interfaces.d") -> list[str]:
    """Files of other people under interfaces.d that configure this NIC too."""
    pattern = re.compile(rf"^\s*iface\s+{re.escape(nic)}(\s|$)", re.MULTILINE)
    found = []
    for file in sorted(Path(directory).glob("*")):
        if str(file) != paths.INTERFACES_FILE and file.is_file():
            try:
                if pattern.search(file.read_text(errors="replace")):
                    found.append(str(file))
            except OSError:
                continue
    return found
