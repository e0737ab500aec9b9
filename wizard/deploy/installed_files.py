"""What is installed on this machine: by the journal, by file name and header, and what differs from it."""

from __future__ import annotations

from pathlib import Path

from wizard.deploy.journal import Journal, JournalContents
from wizard.host.files import digest_of, read_text
from wizard.host.net import link_image
from wizard.host.net.managers import applied_backend
from wizard.plan import paths
from wizard.plan.render import HEADER, live_text

PERSISTENT_FILES = (
    paths.PLAN_IN_FORCE,
    paths.DNSMASQ_CONF,
    paths.DNSMASQ_HOSTS,
    paths.NAT_SCRIPT,
    paths.IDENTITY,
)
"""Files that are kept under /etc and run from their twins under /run."""
INSTALLED_FILES = (*PERSISTENT_FILES, paths.INTERFACES_FILE, paths.SERVICE_FILE)


def is_ours(path: str) -> bool:
    """Whether the file at `path` says in its first line that we wrote it."""
    return (read_text(path) or "").removeprefix("#!/bin/sh\n").startswith(HEADER)


def leftovers() -> list[str]:
    """Files of ours that are there, kept or live, by name and header."""
    return [p for p in (*INSTALLED_FILES, *map(paths.live, PERSISTENT_FILES), paths.LIVE_INTERFACES) if is_ours(p)]


def read_journal(journal: Journal) -> JournalContents:
    """The journal; one that is gone where something of ours is there is damaged."""
    if not journal.exists() and leftovers():
        return JournalContents((), damage=("the journal is missing",))
    return journal.read()


def installed_state() -> str:
    """What the journal says of this machine: "absent", "applied", or "interrupted" where something is to be
    taken back. Needs root."""
    journal = Journal()
    reading = read_journal(journal)
    if not journal.exists() and not reading.damage:
        return "absent"
    return "applied" if reading.settled else "interrupted"


def digests() -> dict[str, str]:
    """The files that are kept, as they are now: path -> SHA-256."""
    found = {path: digest_of(path) for path in INSTALLED_FILES}
    return {path: digest for path, digest in found.items() if digest is not None}


def runtime_drift(written: dict[str, str]) -> list[str]:
    """Which live files are not what their kept twins say, of those that nobody has changed since we wrote them."""
    found = []
    for path in PERSISTENT_FILES:
        if digest_of(path) != written.get(path):
            continue
        if read_text(paths.live(path)) != live_text(read_text(path) or ""):
            found.append(f"{paths.live(path)} is not what {path} says")
    return found


def file_drift(written: dict[str, str]) -> list[str]:
    """Kept files that are no longer as our last apply left them."""
    found = []
    for path, digest in written.items():
        if digest_of(path) != digest:
            found.append(f"{path} was changed" if Path(path).exists() else f"{path} is missing")
    return found


KEPT_BY_RESET = "a reset keeps it where it can"


def foreign_settings(nic: str, reading: JournalContents) -> list[str]:
    """What others have given the cluster NIC since it became ours, a line each, which ends with STAYS."""
    step = f"address:{nic}"
    image = dict(reading.first_images()).get(step)
    if image is None or not image.get("link", {}).get("present"):
        return []
    now = link_image.whole_state(link_image.current_name(image["link"]))
    added = link_image.added_since(image["link"], now, addresses_given(step, reading))
    told = [f"address {a['cidr']}" for a in added["addresses"]]
    told += [f"nexthop {line}" for line in added["nexthops"]]
    told += [f"route {line.partition(' ')[2]}" for line in added["routes"]]
    told += [f"neighbour {address} at {mac}" for address, mac in added["neighbours"]]
    told += [f"proxy neighbour {address}" for address in added["proxies"]]
    return [f"added to {now['nic']}: {what}; {KEPT_BY_RESET}" for what in told]


def addresses_given(step: str, reading: JournalContents) -> set[str]:
    """Every address that an apply may have given to the NIC of a step "address:NIC"."""
    noted = {str(i["gives"]) for t in reading.transactions for name, i in t.steps if name == step and "gives" in i}
    backend = applied_backend()
    return noted | backend.addresses_of(paths.LIVE_INTERFACES) | backend.addresses_of(paths.INTERFACES_FILE)
