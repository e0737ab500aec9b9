"""The cluster NIC's address, in the language of whoever configures networks on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

from wizard.host import interfaces_file
from wizard.host.commands import CommandFailed, find, run
from wizard.host.files import make_directory, read_text, write_atomic
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.text import clean

Record = dict[str, Any]
_LINK_LOCAL_PATIENCE_S = 3.0
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.:][A-Za-z0-9_.:-]*")


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
    """Link flag and addresses of a NIC: {nic, present, up, addresses: [{cidr, scope, more}]}, where `more` are the
    words that `ip` needs beside; {nic, present: False}."""
    try:
        found = json.loads(run("ip", "-j", "addr", "show", "dev", nic))
    except CommandFailed:
        return {"nic": nic, "present": False}
    entry: Record = next((e for e in found if e.get("ifname")), {})
    addresses = [
        {
            "cidr": f"{a['local']}/{a['prefixlen']}",
            "scope": a.get("scope", "global"),
            "more": _words_beside(a, nic),
        }
        for a in entry.get("addr_info", [])
        if "local" in a and not a.get("dynamic")
    ]
    return {"nic": nic, "present": True, "up": "UP" in entry.get("flags", []), "addresses": addresses}


def _words_beside(address: Record, nic: str) -> list[str]:
    words = [word for word in ("nodad", "noprefixroute", "mngtmpaddr") if address.get(word)]
    words += ["peer", f"{address['address']}/{address['prefixlen']}"] if "address" in address else []
    words += ["broadcast", address["broadcast"]] if "broadcast" in address else []
    words += ["label", address["label"]] if address.get("label", nic) != nic else []
    return words


def routes_over(nic: str) -> list[str]:
    """The routes over a NIC that the kernel will not make by itself, as `ip` takes them."""
    found = []
    for family in ("-4", "-6"):
        try:
            listed = run("ip", family, "route", "show", "dev", nic)
        except CommandFailed:
            continue
        lines = [re.sub(r" (linkdown|dead|pref \w+|expires \w+)", "", line).strip() for line in listed.splitlines()]
        found += [f"{family} {line}" for line in lines if not re.search(r" proto (kernel|ra|dhcp)\b", line)]
    return found


def has_address(nic: str, cidr: str) -> bool:
    state = link_state(nic)
    return bool(state.get("up")) and any(a["cidr"] == cidr for a in state.get("addresses", []))


def restore_link(image: Record) -> None:
    """Bring link flag, addresses and (where the image has them) routes of a NIC back to what was seen. A NIC that
    is gone has nothing to give back."""
    nic = str(image["nic"])
    now = link_state(nic)
    if not image.get("present") or not now["present"]:
        return
    wanted = {a["cidr"] for a in image["addresses"]}
    for address in now["addresses"]:
        if address["cidr"] not in wanted and not _made_by_kernel(address):
            run("ip", "addr", "del", address["cidr"], "dev", nic, ok=(0, 2))
    if image["up"] != now["up"]:
        run("ip", "link", "set", "dev", nic, "up" if image["up"] else "down")
    present = {a["cidr"] for a in link_state(nic)["addresses"]}
    for address in image["addresses"]:
        if address["cidr"] not in present and not _made_by_kernel(address):
            # An address with a peer has its prefix there.
            cidr = address["cidr"].partition("/")[0] if "peer" in address["more"] else address["cidr"]
            run("ip", "addr", "add", cidr, *address["more"], "dev", nic, "scope", address["scope"])
    for route in image.get("routes", []) if image["up"] else []:
        if route not in routes_over(nic):
            family, *words = route.split()
            run("ip", family, "route", "replace", *words, "dev", nic)
    _await_link_local(nic, image)


def _made_by_kernel(address: Record) -> bool:
    """IPv6 link-local addresses come and go with the link."""
    return address["scope"] == "link" and ":" in address["cidr"]


def _await_link_local(nic: str, image: Record) -> None:
    """Where the NIC had its IPv6 link-local address, wait until the kernel has made and proven it again."""
    wanted = {a["cidr"] for a in image["addresses"] if _made_by_kernel(a)}
    deadline = time.monotonic() + _LINK_LOCAL_PATIENCE_S
    while image["up"] and wanted and time.monotonic() < deadline:
        listed = run("ip", "-6", "addr", "show", "dev", nic, "scope", "link")
        if all(cidr in listed for cidr in wanted) and "tentative" not in listed:
            return
        time.sleep(0.05)


def nic_of(config: str) -> str:
    """The NIC that our configuration text is for; "" where it names none."""
    found = re.search(r"^iface (\S+) inet ", config, re.MULTILINE)
    return found[1] if found else ""


def release(nic: str, config: str) -> bool:
    """Take a NIC out of its manager's hands, whatever `config` it was raised with; whether it was in them."""
    if not keeper().holds(nic):
        return False
    try:
        keeper().down(nic, config)
    except CommandFailed:
        # A NIC that is gone has nothing to give back.
        if link_state(nic)["present"]:
            raise
    return True


def take_down(config: str) -> bool:
    """Take away what our configuration file gave to its NIC, whoever raised it; whether there was anything."""
    text = Path(config).read_text(encoding="utf-8", errors="replace")
    nic = nic_of(text)
    address = re.search(r"^\s+address (\S+)", text, re.MULTILINE)
    cidr = address[1] if address else ""
    held = bool(nic) and release(nic, config)
    if held and not (read_text(state_file(nic)) or "x").strip():
        # What ifdown leaves of it: an empty line.
        Path(state_file(nic)).unlink()
    if any(a["cidr"] == cidr for a in link_state(nic).get("addresses", [])):
        run("ip", "addr", "del", cidr, "dev", nic)
        return True
    return held


def read_main_file() -> str | None:
    """/etc/network/interfaces to the byte (what is no UTF-8 as surrogates); None where there is none."""
    try:
        return Path(paths.INTERFACES_MAIN).read_bytes().decode("utf-8", "surrogateescape")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        return None


def write_main_file(text: str) -> None:
    """Write what `read_main_file` read, or what was made of it; mode and owner stay. Raises WizardError."""
    mode, owner = 0o644, None
    if (main := Path(paths.INTERFACES_MAIN)).exists():
        info = main.stat()
        mode, owner = info.st_mode & 0o7777, (info.st_uid, info.st_gid)
    make_directory(main.parent)
    write_atomic(str(main), main_file_bytes(text), mode, owner)


def main_file_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def main_file_for(text: str, nic: str) -> str:
    """/etc/network/interfaces, in whatever way we changed it before, as we need it for this NIC."""
    return interfaces_file.edited_anew(text, nic)


def main_file_restored(text: str, _keep_source: bool = False) -> str:
    """The text without what we did to it, whatever else has been changed in it since."""
    return interfaces_file.restored(text)


def main_file_wanted(nic: str) -> tuple[str, str]:
    """/etc/network/interfaces as it is and as we need it for this NIC, which ifupdown has read by then.

    Raises WizardError where our change would take anything away from the other interfaces, or cannot be read.
    """
    now = read_main_file() or ""
    wanted = main_file_for(now, nic)
    if wanted != now:
        # A plan for another NIC than before: both are ours to change.
        ours = {nic, nic_of(read_text(paths.INTERFACES_FILE) or "")}
        _refuse_to_break(interfaces_file.restored(now), wanted, nic, ours)
    return now, wanted


def _refuse_to_break(before: str, after: str, nic: str, ours: set[str]) -> None:
    if heirs := interfaces_file.heirs(before, nic):
        raise WizardError(
            f"{paths.INTERFACES_MAIN}: the stanza of {nic} has to go, and {', '.join(map(clean, heirs))} "
            "inherits from it",
            f"Write what it inherits into its own stanza, or give the stanza of {nic} another name.",
        )
    if find("ifquery") is None:
        return
    remedy = f"Nothing was changed. Take {nic} out of {paths.INTERFACES_MAIN} by hand, then run it again."
    # A file that is sourced and cannot be read is no error to ifquery: what is in there is asked for by name.
    texts = [before, *(read_text(file) or "" for file in other_files())]
    others = sorted({name for text in texts for name in interfaces_file.ifaces(text)} - ours)
    classes = interfaces_file.classes(before)
    seen = _as_ifupdown_reads(before, others, classes, ours, "as it is", "Mend it, then run it again.")
    coming = _as_ifupdown_reads(after, others, classes, ours, f"without {nic}", remedy)
    changed = [what for what in seen if seen[what] != coming[what]]
    if changed:
        raise WizardError(
            f"{paths.INTERFACES_MAIN}: to take {nic} out of it would change {', '.join(changed)} for others", remedy
        )


def _as_ifupdown_reads(
    text: str, names: list[str], classes: list[str], ours: set[str], state: str, remedy: str
) -> dict[str, Any]:
    """What ifupdown makes of a text: by class the interfaces it names, by name the stanza; without `ours`."""
    directory = Path(paths.RUN) if os.geteuid() == 0 else Path(tempfile.gettempdir())
    made = make_directory(directory)
    try:
        fd, file = tempfile.mkstemp(prefix="interfaces.", dir=directory)
        try:
            with os.fdopen(fd, "wb") as handle:
                handle.write(main_file_bytes(interfaces_file.from_anywhere(text)))
            return _asked_of_ifquery(file, names, classes, ours)
        except CommandFailed as error:
            said = next(iter(error.stderr.splitlines()), error.message).replace(file, paths.INTERFACES_MAIN)
            raise WizardError(
                f"{paths.INTERFACES_MAIN}: ifupdown cannot read it {state}: {clean(said)}", remedy
            ) from error
        finally:
            Path(file).unlink()
    except OSError as error:
        raise WizardError(f"{directory}: {error.strerror}", "Make it writable, with room on it.") from error
    finally:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                Path(path).rmdir()


def _asked_of_ifquery(file: str, names: list[str], classes: list[str], ours: set[str]) -> dict[str, Any]:
    try:
        run("ifquery", "--list", "-i", file)
    except CommandFailed as error:
        # An `auto` line for what has no stanza hinders nobody.
        if not all("unknown interface" in line for line in error.stderr.splitlines() or [""]):
            raise
    found: dict[str, Any] = {}
    for name in filter(_PLAIN_NAME.fullmatch, classes):
        listed = run("ifquery", "--list", "--all", "--allow", name, "-i", file, ok=(0, 1))
        found["auto" if name == "auto" else f"allow-{name}"] = set(listed.split()) - ours
    for name in filter(_PLAIN_NAME.fullmatch, names):
        try:
            # Without their scripts: a mapping is somebody's program.
            found[f"iface {name}"] = run("ifquery", "--no-mappings", "-i", file, name)
        except CommandFailed:
            found[f"iface {name}"] = None
    return found


def other_files() -> list[str]:
    """Files of other people under interfaces.d."""
    found = Path(paths.INTERFACES_FILE).parent.glob("*")
    return sorted(str(f) for f in found if str(f) != paths.INTERFACES_FILE)


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
