"""Our own dnsmasq: under a user of its own, with only the capabilities it needs, and dying with its parent."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from wizard.host import processes
from wizard.host.commands import CommandFailed, environment, find, run
from wizard.host.files import make_directory, write_atomic
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.lease_parser import leased_address, parse_line
from wizard.plan.render import DHCP_UID
from wizard.plan.text import clean

CONF = paths.LIVE_CONF
HOSTS = paths.LIVE_HOSTS
CONFS = (CONF, paths.DNS_CONF)
_DHCP_CAPABILITIES = ("net_raw", "net_admin", "net_bind_service")
_DNS_CAPABILITIES = ("net_bind_service",)
_STOPPED = ("sh", "-c", 'kill -STOP $$; exec "$@"', "sh")
"""A program that stops itself, and goes on as the one that the words behind it name."""
_UID_RANGE = range(DHCP_UID, 61184)
_BELOW = range(60578, DHCP_UID)
_LOG_LIMIT = 1_000_000


def user_id() -> int:
    """The uid for our dnsmasq: the first free one of its range, or 0 if this user namespace has no other (an
    unprivileged laboratory)."""
    if not _mapped(DHCP_UID):
        return 0
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    return next((uid for uid in _UID_RANGE if uid not in taken), DHCP_UID)


def netboot_user_id() -> int:
    """The uid for the netboot server, another one than dnsmasq's; 0 where this user namespace has no other."""
    if not _mapped(DHCP_UID - 1):
        return 0
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    return next((uid for uid in reversed(_BELOW) if uid not in taken), DHCP_UID - 1)


def _mapped(uid: int) -> bool:
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        inside, _, count = (int(n) for n in line.split())
        if inside <= uid < inside + count:
            return True
    return False


def prepare(uid: int) -> None:
    """Make the directories, the lease file and the log, owned by the user that dnsmasq runs as.

    Raises WizardError if one of the files is not a plain file: dnsmasq would follow a link.
    """
    for directory in (Path(paths.DNSMASQ_RUN), Path(paths.LEASES).parent):
        make_directory(directory)
    os.chown(paths.DNSMASQ_RUN, uid, uid)
    for file in (paths.LEASES, paths.DNSMASQ_LOG):
        ensure_owned_file(file, uid)


def ensure_owned_file(file: str, uid: int) -> None:
    """Create the file if it is missing, and give it to the user. Raises WizardError if it is not a plain file: dnsmasq
    would follow a link."""
    try:
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    except OSError as error:
        raise WizardError(f"{file} cannot be opened: {error.strerror}", f"Look at what {file} is.") from error
    try:
        os.fchown(fd, uid, uid)
    finally:
        os.close(fd)


def check(conf: str) -> None:
    """Have dnsmasq check the configuration (--test). Raises CommandFailed with its message."""
    run("dnsmasq", "--test", f"--conf-file={conf}")


def refused_line(lines: Sequence[str]) -> tuple[int, str] | None:
    """The index of the first of these lines of a configuration that dnsmasq refuses, and its words; None if it takes
    all of them, or says nothing of a line."""
    try:
        run("dnsmasq", "--test", "--conf-file=-", stdin="\n".join(lines) + "\n")
    except CommandFailed as error:
        found = re.search(r"dnsmasq: (.+) at line ([0-9]+) of ", error.stderr)
        if found is not None and 0 < int(found[2]) <= len(lines):
            return int(found[2]) - 1, clean(found[1], 200)
    return None


def spawn(uid: int, no_dhcp_on: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start the DHCP server on the live configuration, without its DNS part. Raises WizardError, OSError.

    It stops itself (SIGSTOP) before it becomes dnsmasq: it must not run before the muter watches it.

    `no_dhcp_on`: NICs to serve no DHCP on, besides those in the configuration: the ones present now, which the file
    cannot know.
    """
    options = [f"--conf-file={CONF}", f"--log-facility={paths.DNSMASQ_LOG}", "--port=0"]
    child = _spawn(uid, _DHCP_CAPABILITIES, [*options, *(f"--no-dhcp-interface={nic}" for nic in no_dhcp_on)], _STOPPED)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    return child


def spawn_dns(uid: int) -> subprocess.Popen[bytes]:
    """Start the name server, without the capabilities that DHCP needs. Raises WizardError, OSError."""
    options = [f"--conf-file={paths.DNS_CONF}", f"--log-facility={paths.DNS_LOG}", "--pid-file="]
    return _spawn(uid, _DNS_CAPABILITIES, options)


def _spawn(
    uid: int, capabilities: Sequence[str], options: Sequence[str], through: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """Start dnsmasq in the foreground, as our child; `through`: by this program, which executes the words behind it.

    With Popen, not sh: we must wait for the child ourselves, and it dies with the thread that starts it.
    """
    path = find("dnsmasq")
    if path is None:
        raise WizardError("dnsmasq is not installed", "sudo apt install dnsmasq-base")
    argv = [path, "--keep-in-foreground", *options]
    if uid == 0:
        # The namespace has one user only: no other to change to, and setgroups is forbidden.
        argv += ["--user=root", "--group="]
    lower = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
    if uid:
        kept = ",".join(("-all", *(f"+{name}" for name in capabilities)))
        lower += [f"--{kind}={kept}" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    argv = ["setpriv", *lower, "--pdeathsig=KILL", "--", *through, *argv]
    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(), cwd="/"
    )


def reload_hosts(process: processes.Process | None) -> bool:
    """Have dnsmasq reread its hosts (and servers) and drop its cache (SIGHUP). Returns whether it was sent: not to one
    that is starting, which has yet to read them and which the signal would kill."""
    if process is None or not processes.catches(process.pid, signal.SIGHUP):
        return False
    return processes.send(process, signal.SIGHUP, paths.LIVE)


def trim_log(process: processes.Process | None, file: str = paths.DNSMASQ_LOG) -> None:
    """Rotate the log once it is large; the previous one is kept as FILE.1."""
    log = Path(file)
    try:
        if log.stat().st_size < _LOG_LIMIT:
            return
        info = log.stat()
        log.replace(f"{log}.1")
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.fchown(fd, info.st_uid, info.st_gid)
        os.close(fd)
    except OSError:
        return
    processes.send(process, signal.SIGUSR2, paths.LIVE)


def log_tail(file: str = paths.DNSMASQ_LOG, pid: int | None = None, lines: int = 3) -> str:
    """The last lines of dnsmasq's log, or of one process in it, joined by "; ": why it did not start. "" if none."""
    try:
        text = Path(file).read_text(errors="replace")
    except OSError:
        return ""
    wanted = [line for line in text.splitlines() if pid is None or f"[{pid}]: " in line]
    return "; ".join(line.partition("]: ")[2] or line for line in wanted[-lines:])


def conflicts(hosts_text: str, leases_text: str) -> set[str]:
    """Addresses reserved for one machine and leased to another: dnsmasq would ignore those reservations.

    Both texts are dnsmasq's files: dhcp-hostsfile and lease file.
    """
    reserved: dict[str, set[str]] = {}
    for line in hosts_text.splitlines():
        parts = [part for part in line.split(",") if not part.startswith("set:")]
        if len(parts) >= 2 and not line.startswith("#"):
            # MACs, address, name.
            reserved[parts[-2]] = {part.lower() for part in parts[:-2]}
    taken = set()
    for line in leases_text.splitlines():
        address, lease = leased_address(line), parse_line(line)
        if address in reserved and (lease is None or lease.mac not in reserved[address]):
            taken.add(address)
    return taken


def drop_leases(addresses: set[str]) -> None:
    """Remove leases from the lease file. Only while dnsmasq is not running: it would not notice. Raises WizardError."""
    if not addresses:
        return
    path = Path(paths.LEASES)
    kept = [
        line
        for line in path.read_text(errors="replace").splitlines(keepends=True)
        if leased_address(line) not in addresses
    ]
    info = path.stat()
    write_atomic(str(path), "".join(kept).encode("utf-8", "replace"), info.st_mode & 0o7777, (info.st_uid, info.st_gid))
