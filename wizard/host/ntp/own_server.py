"""The time server that runs on this machine: which it is, where it reads further settings, and having it follow them.

Debian's and Ubuntu's chrony read /etc/chrony/conf.d, openSUSE's /etc/chrony.d, Fedora's nothing; ntpsec reads the
directory ntp.d beside its configuration, which on Debian is another one once a DHCP server has named time servers.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from pwd import getpwuid

from wizard.host import commands, systemd
from wizard.host.commands import CommandFailed
from wizard.host.facts.listeners import unit_of
from wizard.host.facts.nics import read_sysfs
from wizard.host.facts.processes import RunningProcess, read_processes
from wizard.host.files import read_text
from wizard.plan.findings import WizardError
from wizard.plan.ntp import (
    CHRONY,
    CHRONY_DIRECTORIES,
    DROP_IN,
    LOCAL_STRATUM,
    NTPSEC,
    NTPSEC_DIRECTORIES,
    TimeServer,
)

DAEMONS = {"chronyd": CHRONY, "ntpd": NTPSEC}
"""By the names of their processes. An ntpd that is not ntpsec's reads no directory of settings, and is left alone."""
_ACCOUNTS = frozenset({"root", "_chrony", "chrony", "ntpsec", "ntp"})
_CHRONY_FILES = ("/etc/chrony/chrony.conf", "/etc/chrony.conf")
_NTPSEC_FILES = ("/etc/ntpsec/ntp.conf", "/etc/ntp.conf")
_INIT_SCRIPTS = Path("/etc/init.d")
STARTS_WITHIN_S = 5.0


def read_time_server(processes: Iterable[RunningProcess], root: Path = Path("/")) -> TimeServer | None:
    """The time server among these processes, chrony before ntpsec; None for none. Never raises."""
    found = {
        DAEMONS[process.name]: process
        for process in reversed([*processes])
        if process.name in DAEMONS and _is_this_machines(process.pid, root)
    }
    if CHRONY in found:
        return TimeServer(CHRONY, _unit(found[CHRONY], "chrony", root), _chrony_drop_in(found[CHRONY], root))
    if NTPSEC in found and _is_ntpsec():
        return TimeServer(NTPSEC, _unit(found[NTPSEC], "ntpsec", root), _ntpsec_drop_in(found[NTPSEC], root))
    return None


def _is_this_machines(pid: int, root: Path) -> bool:
    """Whether a process is a daemon of this machine, and neither a user's nor one of a container with its network."""
    at = root / "proc" / str(pid)
    uid = re.search(r"^Uid:\s+([0-9]+)", read_sysfs(at / "status"), re.MULTILINE)
    if uid is None or _account(int(uid[1])) not in _ACCOUNTS:
        return False
    ours, theirs = _mounts(root / "proc/self"), _mounts(at)
    # Whose mounts we may not see is believed: nobody without root applies anything.
    if not ours or not theirs or ours == theirs:
        return True
    # A unit with PrivateTmp= and the like has mounts of its own, over the same root.
    return unit_of(root, pid) != "" and _root_of(at) == _root_of(root / "proc/self")


def _account(uid: int) -> str:
    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return ""


def _mounts(at: Path) -> str:
    try:
        return os.readlink(at / "ns/mnt")
    except OSError:
        return ""


def _root_of(at: Path) -> tuple[int, int]:
    try:
        status = (at / "root").stat()
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _unit(process: RunningProcess, script: str, root: Path) -> str:
    unit = unit_of(root, process.pid)
    # It names what is restarted, and goes into a file of ours.
    if re.fullmatch(r"[A-Za-z0-9@._-]+\.service", unit):
        return unit
    return f"{script}.service" if (root / "etc/init.d" / script).exists() else ""


def _is_ntpsec() -> bool:
    try:
        return "ntpsec" in commands.run("ntpd", "--version", timeout=5)
    except CommandFailed:
        return False


def _option(process: RunningProcess, letter: str) -> str:
    """The value of an option of one letter, "" where it was not given."""
    words = process.argv[1:]
    for number, word in enumerate(words):
        if word == letter:
            return words[number + 1] if number + 1 < len(words) else ""
        if word.startswith(letter):
            return word.removeprefix(letter)
    return ""


def _first_file(given: str, usual: Iterable[str], root: Path) -> str:
    return given or next((path for path in usual if (root / path.lstrip("/")).exists()), "")


def _chrony_drop_in(process: RunningProcess, root: Path) -> str:
    configuration = _first_file(_option(process, "-f"), _CHRONY_FILES, root)
    for line in read_sysfs(root / configuration.lstrip("/")).splitlines() if configuration else ():
        word, *values = line.split() or [""]
        for directory in CHRONY_DIRECTORIES:
            path = f"{directory}/{DROP_IN}"
            if word.lower() == "confdir" and directory in (value.rstrip("/") for value in values):
                return path
            if word.lower() == "include" and any(fnmatchcase(path, value) for value in values):
                return path
    return ""


def _ntpsec_drop_in(process: RunningProcess, root: Path) -> str:
    configuration = _first_file(_option(process, "-c"), _NTPSEC_FILES, root)
    directory = str(Path(configuration).parent / "ntp.d") if configuration else ""
    return f"{directory}/{DROP_IN}" if directory in NTPSEC_DIRECTORIES else ""


def open_commands(server: TimeServer, cidr: str) -> list[tuple[str, ...]]:
    """What has a server serve a network at once, until it is restarted; [] where only a restart can."""
    if server.kind != CHRONY:
        return []
    return [("chronyc", "allow", cidr), ("chronyc", "local", "stratum", str(LOCAL_STRATUM))]


def restart_command(server: TimeServer) -> tuple[str, ...]:
    """What has a server read its files; () where nobody here can restart it."""
    if not server.unit:
        return ()
    if systemd.running():
        return ("systemctl", "try-restart", server.unit)
    script = _INIT_SCRIPTS / server.unit.removesuffix(".service")
    return (str(script), "restart") if script.exists() else ()


def is_running(kind: str) -> bool:
    """Whether this machine's own server of a kind runs."""
    root = Path("/")
    return any(DAEMONS.get(each.name) == kind and _is_this_machines(each.pid, root) for each in read_processes(root))


def open_now(server: TimeServer, cidr: str) -> None:
    """Have a server serve a network, as far as it can without a restart. Raises CommandFailed."""
    for command in open_commands(server, cidr):
        commands.run(*command, timeout=10)


def start(server: TimeServer) -> None:
    """Have a server run by its files as they are now, from whatever state a failed restart left. Raises WizardError."""
    program, *words = restart_command(server) or ("",)
    if not program:
        raise WizardError(f"nobody here can start {server.kind}", "Start it by hand.")
    if program == "systemctl":
        commands.run(program, "reset-failed", server.unit, ok=(0, 1, 5))
        words = ["restart", server.unit]
    commands.run(program, *words, timeout=60)
    _await(server)


def _await(server: TimeServer) -> None:
    """Wait until a server runs. Raises WizardError: what starts it may not notice that it ends at once."""
    deadline = time.monotonic() + STARTS_WITHIN_S
    while not is_running(server.kind):
        if time.monotonic() > deadline:
            raise WizardError(f"{server.kind} does not run after its restart", "Look at its log.")
        time.sleep(0.1)


def reread(server: TimeServer, cidr: str) -> None:
    """Have a server, if it runs, go by its files as they are now. `cidr`: what was opened to it.

    Raises WizardError.
    """
    if not is_running(server.kind):
        return
    if command := restart_command(server):
        commands.run(*command, timeout=60)
        _await(server)
        return
    if server.kind != CHRONY:
        raise WizardError(
            f"{server.kind} runs, and nobody here can restart it", "Restart it by hand: it reads its files then."
        )
    # Its own lines, if our file is there still: that of an earlier apply.
    lines = [line.split() for line in (read_text(server.drop_in) or "").splitlines()]
    closed = [["deny", cidr]] if cidr else []
    for words in (*closed, ["local", "off"], *(line for line in lines if line and line[0] != "#")):
        commands.run("chronyc", *words, timeout=10)
