"""The cluster NIC's address, in the language of whoever configures networks on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from wizard.host import ifstate, interfaces_file
from wizard.host.commands import CommandFailed, find, run
from wizard.host.files import blocked, make_directory, read_text, write_atomic
from wizard.host.interfaces_file import reads_ours
from wizard.host.interfaces_tree import DEEPEST, interfaces_lines, named_by, read_tree
from wizard.host.net.link_image import link_state, remove_address
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.ifupdown import claims, is_of
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
        Path(ifstate.DIRECTORY).mkdir(parents=True, exist_ok=True)
        run("ifup", "--interfaces", config, nic, timeout=30)

    def down(self, nic: str, config: str) -> None:
        run("ifdown", "--force", "--interfaces", config, nic, timeout=30)

    def holds(self, nic: str) -> bool:
        return bool(ifstate.raised_as(nic))


def state_file(nic: str) -> str:
    """Where ifupdown remembers that it raised a NIC; it leaves an empty one behind."""
    return ifstate.own_file(nic)


def is_held(nic: str) -> bool:
    """Whether the manager that keeps, or kept, the cluster NIC here believes that it has configured a NIC."""
    return Ifupdown().holds(nic)


def raised_as(nic: str) -> str:
    """The stanza that the manager has raised a NIC with, which may bear another name; "" where it has not."""
    return ifstate.raised_as(nic)


def raise_again(nic: str, config: str, stanza: str) -> list[str]:
    """Have the manager raise a NIC as it had before, with that stanza; what it did not do. It is remembered as raised
    in any case, as it was."""
    problems: list[str] = []
    try:
        keeper().up(nic if stanza in ("", nic) else f"{nic}={stanza}", config)
    except WizardError as error:
        unknown = "unknown interface" in error.message
        problems = [f"ifupdown no longer knows {nic}" if unknown else f"ifup did not raise {nic}: {error.message}"]
        ifstate.note(nic, stanza or nic)
    return problems


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

    Where that name belongs to another NIC by now than the one that `config` is for, it is only forgotten, and so where
    its manager does not let go of it or is gone: what the NIC has then is the kernel's to take back.
    """
    if not is_held(nic):
        return False
    if not _names_another(nic, read_text(config) or ""):
        with contextlib.suppress(WizardError):
            keeper().down(nic, config)
    ifstate.note(nic, "")
    return True


def _names_another(nic: str, config: str) -> bool:
    wanted = re.search(r"^\s+pre-up ip -o link show dev (\S+) \| grep -qiF (\S+)$", config, re.MULTILINE)
    if wanted is None or wanted[1] != nic:
        return False
    now = link_state(nic)
    return bool(now["present"]) and wanted[2].lower() not in now["macs"]


def take_down(config: str) -> bool:
    """Take away what our configuration file gave to its NIC, whoever raised it; whether there was anything.

    Raises WizardError where the kernel does not give it up.
    """
    text = read_text(config) or ""
    nic = nic_of(text)
    address = re.search(r"^\s+address (\S+)", text, re.MULTILINE)
    cidr = address[1] if address else ""
    held = bool(nic) and release(nic, config)
    if held and not (read_text(state_file(nic)) or "x").strip():
        # What ifdown leaves of it: an empty line.
        Path(state_file(nic)).unlink()
    if any(a["cidr"] == cidr for a in link_state(nic).get("addresses", [])):
        problems: list[str] = []
        remove_address(problems, nic, cidr)
        if problems:
            raise WizardError("; ".join(problems))
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


@dataclass(frozen=True, slots=True)
class InterfacesText:
    """A file that ifupdown reads: its `path` as ifupdown names it, `real` where it lies, its text as it is and as we
    need it."""

    path: str
    real: str
    now: str
    wanted: str


def interfaces_texts(nic: str) -> tuple[InterfacesText, ...]:
    """Every file that ifupdown reads, but ours, as we need it for this NIC; /etc/network/interfaces first."""
    files = {paths.INTERFACES_MAIN: read_main_file() or ""}
    files |= {f.path: f.text for f in read_tree(paths.INTERFACES_MAIN).files() if f.text is not None}
    by_place: dict[str, InterfacesText] = {}
    elsewhere = any(reads_ours(text, path) for path, text in files.items() if path != paths.INTERFACES_MAIN)
    for path, text in files.items():
        real = os.path.realpath(path)
        if real in by_place or _is_our_file(path):
            continue
        if path == paths.INTERFACES_MAIN and not elsewhere:
            wanted = main_file_for(text, nic)
        else:
            wanted = interfaces_file.without_nic_anew(text, nic)
        by_place[real] = InterfacesText(os.path.normpath(path), real, text, wanted)
    return tuple(by_place.values())


def interfaces_wanted(nic: str) -> tuple[InterfacesText, ...]:
    """`interfaces_texts`, all of which ifupdown has read by then.

    Raises WizardError where other stanzas would configure the NIC at the next boot, and where our change would take
    anything away from the other interfaces, or cannot be read.
    """
    _refuse_blocked_directory()
    texts = interfaces_texts(nic)
    # A plan for another NIC than before: both are ours to change.
    ours = {nic, nic_of(read_text(paths.INTERFACES_FILE) or "")} - {""}
    before = {text.real: interfaces_file.restored(text.now) for text in texts}
    _refuse_claims(before, nic)
    if find("ifquery") is not None:
        _refuse_to_break(before, {text.real: text.wanted for text in texts}, nic, ours)
    return texts


def main_file_wanted(nic: str) -> tuple[str, str]:
    """/etc/network/interfaces as it is and as we need it for this NIC. Raises WizardError as `interfaces_wanted`."""
    main = interfaces_wanted(nic)[0]
    return main.now, main.wanted


def _is_our_file(path: str) -> bool:
    return os.path.normpath(path) == paths.INTERFACES_FILE


def _refuse_blocked_directory() -> None:
    if why := blocked(paths.INTERFACES_FILE):
        raise WizardError(
            f"{paths.INTERFACES_FILE} cannot be written: {why}", "Make it a directory; nothing was changed."
        )


def _refuse_claims(texts: Mapping[str, str], nic: str) -> None:
    macs = link_state(nic).get("macs") or [""]
    with _private_copy(texts, None) as (_, read):
        lines = [line for path, text in read for line in interfaces_lines(path, text)]
    refused = [c for c in claims(lines, nic, macs[0]) if c.harmful and not c.can_go]
    if refused:
        told = "; ".join(f"{clean(c.line.place)} {clean(c.what)}" for c in refused)
        raise WizardError(f"{nic} is configured by other stanzas: {told}", clean(refused[0].remedy))


def _refuse_to_break(before: Mapping[str, str], after: Mapping[str, str], nic: str, ours: set[str]) -> None:
    remedy = f"Nothing was changed. Take {nic} out of {paths.INTERFACES_MAIN} by hand, then run it again."
    _refuse_unseen()
    names: set[str] = set()
    classes: set[str] = set()
    for text in before.values():
        names |= set(interfaces_file.ifaces(text))
        classes |= set(interfaces_file.classes(text))
    others = sorted(name for name in names if not any(is_of(name, own) for own in ours))
    with _private_copy(before, None) as (file, read):
        seen = _as_ifupdown_reads(file, read, others, sorted(classes), ours, "as it is", "Mend it, then run it again.")
    with _private_copy(after, _STAND_IN.format(nic=nic)) as (file, read):
        coming = _as_ifupdown_reads(file, read, others, sorted(classes), ours, f"without {nic}", remedy)
        given = _asked(file, nic) or ""
    changed = [what for what in seen if seen[what] != coming[what]]
    if changed:
        raise WizardError(
            f"{paths.INTERFACES_MAIN}: to take {nic} out of it would change {', '.join(changed)} for others", remedy
        )
    if given.count(f"address: {_STAND_IN_ADDRESS}\n") > 1:
        raise WizardError(
            f"{paths.INTERFACES_FILE} would be read twice, under two paths, and ifup fails at the second",
            f"Take out one of the `source` lines in {paths.INTERFACES_MAIN} and the files that it reads.",
        )
    keys = [line.partition(":")[0] for line in given.splitlines()]
    if keys.count("address") != 1 or f"address: {_STAND_IN_ADDRESS}\n" not in given or "gateway" in keys:
        raise WizardError(
            f"{paths.INTERFACES_MAIN}: with our file beside it ifupdown would give {nic} something else than the "
            f"gateway's address alone ({clean(', '.join(given.splitlines()) or 'nothing at all')})",
            remedy,
        )


def _refuse_unseen() -> None:
    """Raises WizardError where ifupdown reads a file that we do not."""
    try:
        told = run("sh", "-c", 'exec ifquery -v --list -i "$1" 2>&1', "sh", paths.INTERFACES_MAIN, ok=(0, 1))
    except CommandFailed:
        return
    read = {line.partition(": parsing file ")[2] for line in told.splitlines()} - {""}
    known = {os.path.realpath(file.path) for file in read_tree(paths.INTERFACES_MAIN).files()}
    for path in sorted(read):
        if Path(path).is_file() and os.path.realpath(path) not in known and not _is_our_file(path):
            raise WizardError(
                f"ifupdown reads {clean(path)} too, by a line that ciao-wizard cannot follow",
                "Name that file in full in a `source` line of its own.",
            )


_STAND_IN_ADDRESS = "192.0.2.1"
_STAND_IN = f"allow-hotplug {{nic}}\niface {{nic}} inet static\n    address {_STAND_IN_ADDRESS}/24\n"
"""For our own file, which is not rendered by then."""


@contextlib.contextmanager
def _private_copy(texts: Mapping[str, str], ours: str | None) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """What ifupdown reads, with these texts (by where they lie) and with our file as given, in a directory of ours;
    the file to begin with, and each that is read as (path, text). Raises WizardError where there is no room for it."""
    parent = Path(paths.RUN) if os.geteuid() == 0 else Path(tempfile.gettempdir())
    made: list[str] = []
    directory = ""
    try:
        try:
            made = make_directory(parent)
            directory = tempfile.mkdtemp(prefix="interfaces.", dir=parent)
            copy = _Copy(Path(directory), texts, ours)
            first = copy.of(paths.INTERFACES_MAIN, 0)
        except OSError as error:
            raise WizardError(f"{parent}: {error.strerror}", "Make it writable, with room on it.") from error
        yield first, copy.read
    finally:
        if directory:
            shutil.rmtree(directory, ignore_errors=True)
        for path in reversed(made):
            with contextlib.suppress(OSError):
                Path(path).rmdir()


class _Copy:
    """A copy in the making. `read` grows in the order in which ifupdown reads."""

    def __init__(self, directory: Path, texts: Mapping[str, str], ours: str | None) -> None:
        self.directory = directory
        self.texts = texts
        self.ours = ours
        self.read: list[tuple[str, str]] = []
        self.copies: dict[str, str] = {}

    def of(self, path: str, depth: int) -> str:
        """The copy of the file at `path`, and of all that it reads; "" where it is not read."""
        text = self.ours if _is_our_file(path) else self.texts.get(os.path.realpath(path))
        if text is None or depth > DEEPEST:
            return ""
        # Of a file that it reads twice by one path ifupdown takes everything once.
        if path in self.copies:
            return self.copies[path]
        copy = self.directory / f"{len(self.read)}"
        self.copies[path] = str(copy)
        self.read.append((os.path.normpath(path), text))
        # So that nobody else takes the number meanwhile.
        copy.touch()
        sources: dict[int, list[str]] = {}
        for place, line in enumerate(interfaces_file.lines_of(text)):
            if line.words[:1] in (("source",), ("source-directory",)):
                named = named_by(line.words, path)
                named += [name for name in interfaces_file.ours_as_named(line, path) if name not in named]
                sources[place] = [file for file in (self.of(name, depth + 1) for name in named) if file]
        copy.write_bytes(main_file_bytes(interfaces_file.with_sources(text, sources)))
        return str(copy)


def _as_ifupdown_reads(
    file: str,
    read: Sequence[tuple[str, str]],
    names: list[str],
    classes: list[str],
    ours: set[str],
    state: str,
    remedy: str,
) -> dict[str, Any]:
    """What ifupdown makes of a copy: by class the interfaces it names, by name the stanza; without `ours`."""
    try:
        return _asked_of_ifquery(file, names, classes, ours)
    except CommandFailed as error:
        said = next(iter(error.stderr.splitlines()), error.message)
        for number, (path, _) in reversed(list(enumerate(read))):
            said = said.replace(f"{Path(file).parent}/{number}:", f"{path}:")
        raise WizardError(f"{paths.INTERFACES_MAIN}: ifupdown cannot read it {state}: {clean(said)}", remedy) from error


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
        others = {one for one in listed.split() if not any(is_of(one, own) for own in ours)}
        found["auto" if name == "auto" else f"allow-{name}"] = others
    for name in filter(_PLAIN_NAME.fullmatch, names):
        found[f"iface {name}"] = _asked(file, name)
    return found


def _asked(file: str, name: str) -> str | None:
    """The stanza of an interface, or None where ifupdown knows none."""
    try:
        # Without their scripts: a mapping is somebody's program, which ifquery runs else, and ifup --no-act as well.
        return run("ifquery", "--no-mappings", "-i", file, name)
    except CommandFailed:
        return None
