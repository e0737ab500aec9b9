"""The DNS servers of this machine's own resolver, from resolv.conf."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from wizard.host.facts.nics import read_sysfs
from wizard.host.files import read_text
from wizard.plan.names import nameserver_words, upstream_servers
from wizard.plan.text import clean

RESOLV_CONF = "/etc/resolv.conf"
# Where a local stub resolver (systemd-resolved, NetworkManager's dnsmasq) keeps its upstream servers: when they change
# so do its answers, though resolv.conf still names the stub.
_BEHIND_A_STUB = (
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
    "/run/NetworkManager/resolv.conf",
    "/run/resolvconf/resolv.conf",
)
_MOST_BYTES = 65536

Fingerprint = tuple[tuple[int, int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class SystemResolver:
    """The servers that our name server may ask (dotted); if there are none, `reason` says why."""

    servers: tuple[str, ...] = ()
    reason: str = ""


def nameservers_in(resolv_conf: str) -> list[str]:
    """The servers in the text of a resolv.conf, in its order, safe to show."""
    return [clean(word, 60) for word in nameserver_words(resolv_conf)]


def nameservers() -> list[str]:
    """The servers in this machine's resolv.conf, safe to show; [] if it cannot be read."""
    return nameservers_in(read_text(RESOLV_CONF) or "")


def read_nameservers(root: Path = Path("/")) -> tuple[str, ...]:
    """The servers that this machine asks: those of resolv.conf, or, if that names only a local stub, the stub's own."""
    for path in (RESOLV_CONF, _BEHIND_A_STUB[0]):
        found = tuple(nameservers_in(read_sysfs(root / path.lstrip("/"))))
        if any(not address.startswith("127.") for address in found):
            return found
    return ()


def read_resolvers(root: Path = Path("/")) -> tuple[str, ...]:
    """Every DNS server that this machine's programs ask, stubs and local ones too: what must go on answering."""
    asked = nameservers_in(read_sysfs(root / RESOLV_CONF.lstrip("/")))
    # Without a server in resolv.conf the C library asks this machine itself, see resolv.conf(5).
    behind = [nameservers_in(read_sysfs(root / path.lstrip("/"))) for path in _BEHIND_A_STUB]
    return tuple(dict.fromkeys([*(asked or ["127.0.0.1"]), *(address for each in behind for address in each)]))


def fingerprint() -> Fingerprint:
    """Compares unequal after the resolver configuration has changed; cheap enough for every second."""
    return tuple(_file_fingerprint(path) for path in (RESOLV_CONF, *_BEHIND_A_STUB))


def _file_fingerprint(path: str) -> tuple[int, int, int, int] | None:
    try:
        seen = Path(path).stat()
    except OSError:
        return None
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns


def read_resolver(gateway: str) -> SystemResolver:
    """The resolver's servers but `gateway`, our own address (dotted): it must not ask itself. Never raises."""
    try:
        fd = os.open(RESOLV_CONF, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return SystemResolver(reason=f"{RESOLV_CONF} {_why_missing()}")
    except OSError as error:
        return SystemResolver(reason=f"{RESOLV_CONF} cannot be read: {error.strerror}")
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return SystemResolver(reason=f"{RESOLV_CONF} is not a regular file")
        text = os.read(fd, _MOST_BYTES).decode("utf-8", "replace")
    except OSError as error:
        return SystemResolver(reason=f"{RESOLV_CONF} cannot be read: {error.strerror}")
    finally:
        os.close(fd)
    servers = upstream_servers(text, gateway)
    if servers:
        return SystemResolver(servers)
    alone = " but this gateway itself" if "nameserver" in text and gateway in text else ""
    return SystemResolver(reason=f"{RESOLV_CONF} names no DNS server{alone}")


def _why_missing() -> str:
    try:
        target = os.readlink(RESOLV_CONF)
    except OSError:
        return "does not exist"
    return f"is a link to {clean(target, 100)}, which does not exist"
