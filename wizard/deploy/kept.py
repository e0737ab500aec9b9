"""What is kept on this machine: what the journal says of it, what bears our names, and what differs from it."""

from __future__ import annotations

from pathlib import Path

from wizard.deploy.journal import Journal, Reading
from wizard.host.files import digest_of, read_text
from wizard.plan import paths
from wizard.plan.render import HEADER

KEPT_FILES = (
    paths.PLAN_IN_FORCE,
    paths.DNSMASQ_CONF,
    paths.DNSMASQ_HOSTS,
    paths.NAT_SCRIPT,
    paths.IDENTITY,
)
"""Files that are kept under /etc and run from their twins under /run."""
ALL_FILES = (*KEPT_FILES, paths.INTERFACES_FILE, paths.SERVICE_FILE)
LIVE_INTERFACES = f"{paths.LIVE}/interfaces"
LIVE_PLAN = f"{paths.LIVE}/gateway.toml"


def live_path(path: str) -> str:
    return path.replace(paths.ETC, paths.LIVE)


def is_ours(path: str) -> bool:
    """Whether the file at `path` says in its first line that we wrote it."""
    return (read_text(path) or "").removeprefix("#!/bin/sh\n").startswith(HEADER)


def traces() -> list[str]:
    """Files of ours that are there, kept or live, by name and header."""
    return [p for p in (*ALL_FILES, *map(live_path, KEPT_FILES), LIVE_INTERFACES) if is_ours(p)]


def read_journal(journal: Journal) -> Reading:
    """The journal; one that is gone where something of ours is there is damaged."""
    if not journal.exists() and traces():
        return Reading((), damage=("the journal is missing",))
    return journal.read()


def kept_state() -> str:
    """What the journal says of this machine: "absent", "applied", or "interrupted" where something is to be
    taken back. Needs root."""
    journal = Journal()
    reading = read_journal(journal)
    if not journal.exists() and not reading.damage:
        return "absent"
    return "applied" if reading.settled else "interrupted"


def digests() -> dict[str, str]:
    """The files that are kept, as they are now: path -> SHA-256."""
    found = {path: digest_of(path) for path in ALL_FILES}
    return {path: digest for path, digest in found.items() if digest is not None}


def not_as_kept(written: dict[str, str]) -> list[str]:
    """Which live files are not what their kept twins say, of those that nobody has changed since we wrote them."""
    found = []
    for path in KEPT_FILES:
        if digest_of(path) != written.get(path):
            continue
        expected = (read_text(path) or "").replace(paths.DNSMASQ_HOSTS, live_path(paths.DNSMASQ_HOSTS))
        if read_text(live_path(path)) != expected:
            found.append(f"{live_path(path)} is not what {path} says")
    return found


def changed_since(written: dict[str, str]) -> list[str]:
    """Kept files that are no longer as our last apply left them."""
    found = []
    for path, digest in written.items():
        if digest_of(path) != digest:
            found.append(f"{path} was changed" if Path(path).exists() else f"{path} is missing")
    return found
