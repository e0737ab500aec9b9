"""The cluster NIC's address, in the language of whoever configures networks on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any, Protocol

from wizard.host import interfaces_file
from wizard.host.commands import CommandFailed, find, run
from wizard.host.files import make_directory, read_text, write_atomic
from wizard.host.link_image import link_state
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.text import clean

Record = dict[str, Any]
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


def has_address(nic: str, cidr: str) -> bool:
    state = link_state(nic)
    return bool(state.get("up")) and any(a["cidr"] == cidr for a in state.get("addresses", []))


def nic_of(config: str) -> str:
    """The NIC that our configuration text is for; "" where it names none."""
    found = re.search(r"^iface (\S+) inet ", config, re.MULTILINE)
    return found[1] if found else ""


def given_by(config: str) -> set[str]:
    """The address that a configuration file of ours gives to its NIC, as "address/prefix"."""
    return set(re.findall(r"^\s+address (\S+/\d+)$", read_text(config) or "", re.MULTILINE))


def release(nic: str, config: str) -> bool:
    """Take a NIC out of its manager's hands, whatever `config` it was raised with; whether it was in them.

    Where that name belongs to another NIC by now than the one that `config` is for, it is only forgotten.
    """
    if not keeper().holds(nic):
        return False
    if _names_another(nic, read_text(config) or ""):
        Path(state_file(nic)).write_text("", encoding="utf-8")
        return True
    try:
        keeper().down(nic, config)
    except CommandFailed:
        # A NIC that is gone has nothing to give back.
        if link_state(nic)["present"]:
            raise
    return True


def _names_another(nic: str, config: str) -> bool:
    wanted = re.search(r"^\s+pre-up ip -o link show dev (\S+) \| grep -qiF (\S+)$", config, re.MULTILINE)
    if wanted is None or wanted[1] != nic:
        return False
    now = link_state(nic)
    return bool(now["present"]) and wanted[2].lower() not in now["macs"]


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


def main_file() -> str:
    """Where /etc/network/interfaces really lies: it may be a link to where somebody keeps it."""
    return os.path.realpath(paths.INTERFACES_MAIN)


def read_main_file(path: str = "") -> str | None:
    """/etc/network/interfaces to the byte (what is no UTF-8 as surrogates); None where there is none."""
    try:
        return Path(path or main_file()).read_bytes().decode("utf-8", "surrogateescape")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        return None


def write_main_file(text: str, path: str = "") -> None:
    """Write what `read_main_file` read, or what was made of it; mode and owner stay, and a link stays a link.

    Raises WizardError.
    """
    mode, owner = 0o644, None
    if (main := Path(path or main_file())).exists():
        info = main.stat()
        mode, owner = info.st_mode & 0o7777, (info.st_uid, info.st_gid)
    make_directory(main.parent)
    write_atomic(str(main), main_file_bytes(text), mode, owner)


def main_file_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def main_file_for(text: str, nic: str) -> str:
    """/etc/network/interfaces, in whatever way we changed it before, as we need it for this NIC."""
    return interfaces_file.edited_anew(text, nic)


def main_file_restored(text: str) -> str:
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
