"""Our own dnsmasq: under a user of its own, with three capabilities, and dying with its parent."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from wizard.host import processes
from wizard.host.commands import environment, find, run
from wizard.host.files import make_directory, write_atomic
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.lease_parser import leased_address, parse_line
from wizard.plan.render import DHCP_UID

CONF = paths.LIVE_CONF
HOSTS = paths.LIVE_HOSTS
CONFS = (CONF, paths.DNS_CONF)
_DHCP_CAPABILITIES = ("net_raw", "net_admin", "net_bind_service")
_DNS_CAPABILITIES = ("net_bind_service",)
_UID_RANGE = range(DHCP_UID, 61184)
_LOG_LIMIT = 1_000_000


def user_id() -> int:
    """The number our dnsmasq runs as: the first of its range that nobody has, or 0 where this user namespace has
    no other (an unprivileged laboratory)."""
    if not _mapped(DHCP_UID):
        return 0
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    return next((uid for uid in _UID_RANGE if uid not in taken), DHCP_UID)


def _mapped(uid: int) -> bool:
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        inside, _, count = (int(n) for n in line.split())
        if inside <= uid < inside + count:
            return True
    return False


def prepare(uid: int) -> None:
    """Directories, lease file and log, owned by the user that dnsmasq runs as.

    Raises WizardError where the lease file is something else than a plain file: dnsmasq would follow a link.
    """
    for directory in (Path(paths.DNSMASQ_RUN), Path(paths.LEASES).parent):
        make_directory(directory)
    os.chown(paths.DNSMASQ_RUN, uid, uid)
    for file in (paths.LEASES, paths.DNSMASQ_LOG):
        own(file, uid)


def own(file: str, uid: int) -> None:
    """Have a plain file there that is the user's. Raises WizardError where there is something else: dnsmasq would
    follow a link."""
    try:
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    except OSError as error:
        raise WizardError(f"{file} cannot be opened: {error.strerror}", f"Look at what {file} is.") from error
    try:
        os.fchown(fd, uid, uid)
    finally:
        os.close(fd)


def check(conf: str) -> None:
    """Have dnsmasq itself read the configuration. Raises CommandFailed with what it says."""
    run("dnsmasq", "--test", f"--conf-file={conf}")


def spawn(uid: int, no_dhcp_on: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start the DHCP server on the live configuration, without the DNS that is in it too.

    `no_dhcp_on`: NICs to give no DHCP on, beside those that the configuration says: the ones that happen to be
    here now, which a file would have to be written anew for each time.
    """
    options = [f"--conf-file={CONF}", f"--log-facility={paths.DNSMASQ_LOG}", "--port=0"]
    return _spawn(uid, _DHCP_CAPABILITIES, [*options, *(f"--no-dhcp-interface={nic}" for nic in no_dhcp_on)])


def spawn_dns(uid: int) -> subprocess.Popen[bytes]:
    """Start the name server, which may not so much as open what DHCP needs."""
    options = [f"--conf-file={paths.DNS_CONF}", f"--log-facility={paths.DNS_LOG}", "--pid-file="]
    return _spawn(uid, _DNS_CAPABILITIES, options)


def _spawn(uid: int, capabilities: Sequence[str], options: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start dnsmasq in the foreground, as our child.

    A plain Popen and not sh: the child must be ours to wait for, and it dies with the thread that starts it.
    """
    path = find("dnsmasq")
    if path is None:
        raise WizardError("dnsmasq is not installed", "sudo apt install dnsmasq-base")
    argv = [path, "--keep-in-foreground", *options]
    if uid == 0:
        # One user only: there is nobody to change to, and setgroups is forbidden.
        argv += ["--user=root", "--group="]
    lower = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
    if uid:
        kept = ",".join(("-all", *(f"+{name}" for name in capabilities)))
        lower += [f"--{kind}={kept}" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    argv = ["setpriv", *lower, "--pdeathsig=KILL", "--", *argv]
    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(), cwd="/"
    )


def reload_hosts(process: processes.Process | None) -> bool:
    """Have dnsmasq read its hosts (and servers) again, and forget what it has cached. One that only just starts has
    yet to read them, and the signal would end it."""
    if process is None or not processes.catches(process.pid, signal.SIGHUP):
        return False
    return processes.send(process, signal.SIGHUP, paths.LIVE)


def trim_log(process: processes.Process | None, file: str = paths.DNSMASQ_LOG) -> None:
    """Start the log anew once it is large; the former one is kept beside it."""
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


def last_words(file: str = paths.DNSMASQ_LOG, pid: int | None = None, lines: int = 3) -> str:
    """The end of dnsmasq's log, or of what one process wrote there: why it would not start."""
    try:
        text = Path(file).read_text(errors="replace")
    except OSError:
        return ""
    own = [line for line in text.splitlines() if pid is None or f"[{pid}]: " in line]
    return "; ".join(line.partition("]: ")[2] or line for line in own[-lines:])


def conflicts(hosts_text: str, leases_text: str) -> set[str]:
    """Addresses that are reserved for one machine and leased to another: dnsmasq would not honour those."""
    reserved = {}
    for line in hosts_text.splitlines():
        parts = line.split(",")
        if len(parts) >= 2 and not line.startswith("#"):
            reserved[parts[1]] = parts[0].lower()
    taken = set()
    for line in leases_text.splitlines():
        address, lease = leased_address(line), parse_line(line)
        if address in reserved and (lease is None or lease.mac != reserved[address]):
            taken.add(address)
    return taken


def drop_leases(addresses: set[str]) -> None:
    """Take leases out of the lease file. Only while dnsmasq is not running: it would not notice. Raises WizardError."""
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
