"""What is installed on this machine, by the journal, by file name and by header; and what differs from it.

Pure reads, called in every process: by the engine, the reverter, the guard and `status`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wizard.deploy.journal import Journal, JournalContents
from wizard.host.files import digest_of, read_text
from wizard.host.net import link_image
from wizard.host.net.managers import BACKENDS
from wizard.plan import paths
from wizard.plan.backends import ADDRESS_FILES
from wizard.plan.ntp import DROP_INS
from wizard.plan.render import HEADER, live_text

PERSISTENT_FILES = (
    paths.PLAN_IN_FORCE,
    paths.DNSMASQ_CONF,
    paths.DNSMASQ_HOSTS,
    paths.NAT_SCRIPT,
    paths.IDENTITY,
)
"""Files that are kept under /etc; the gateway runs from their live copies under /run."""
INSTALLED_FILES = (*PERSISTENT_FILES, *(file.kept for file in ADDRESS_FILES.values()), paths.SERVICE_FILE, *DROP_INS)


LIVE_ADDRESS_FILES = tuple(dict.fromkeys(file.live for file in ADDRESS_FILES.values()))


def is_ours(path: str) -> bool:
    """Whether the file at `path` begins with our header."""
    return (read_text(path) or "").removeprefix("#!/bin/sh\n").startswith(HEADER)


def leftovers() -> list[str]:
    """The paths of our files that exist, kept or live, found by name and header."""
    live = (*map(paths.live, PERSISTENT_FILES), *LIVE_ADDRESS_FILES)
    return [path for path in (*INSTALLED_FILES, *live) if is_ours(path)]


def read_journal(journal: Journal) -> JournalContents:
    """Read the journal; a missing one counts as damaged where files of ours exist."""
    if not journal.exists() and leftovers():
        return JournalContents((), damage=("the journal is missing",))
    return journal.read()


def installed_state() -> str:
    """By the journal: "absent", "applied", or "interrupted" where something must be taken back. Needs root."""
    journal = Journal()
    reading = read_journal(journal)
    if not journal.exists() and not reading.damage:
        return "absent"
    return "applied" if reading.settled else "interrupted"


def digests() -> dict[str, str]:
    """The kept files as they are now: path -> SHA-256 in hex."""
    found = {path: digest_of(path) for path in INSTALLED_FILES}
    return {path: digest for path, digest in found.items() if digest is not None}


def runtime_drift(written: dict[str, str]) -> list[str]:
    """Live files that differ from their kept copies, a line each; skips kept files that were changed since.

    `written`: path -> SHA-256 as the last kept apply left them.
    """
    found = []
    for path in PERSISTENT_FILES:
        if digest_of(path) != written.get(path):
            continue
        if read_text(paths.live(path)) != live_text(read_text(path) or ""):
            found.append(f"{paths.live(path)} is not what {path} says")
    return found


def file_drift(written: dict[str, str]) -> list[str]:
    """Kept files that are no longer as the last kept apply left them, a line each. `written`: as in `runtime_drift`."""
    found = []
    for path, digest in written.items():
        if digest_of(path) != digest:
            found.append(f"{path} was changed" if Path(path).exists() else f"{path} is missing")
    return found


KEPT_BY_RESET = "a reset keeps it where it can"


def foreign_settings(nic: str, reading: JournalContents) -> list[str]:
    """What others added to the cluster NIC since it became ours: a line each, which ends with KEPT_BY_RESET."""
    step = f"address:{nic}"
    image = dict(reading.first_images()).get(step)
    if image is None or not image.get("link", {}).get("present"):
        return []
    now = link_image.whole_state(link_image.current_name(image["link"]))
    added = link_image.added_since(image["link"], now, addresses_given(step, reading))
    settings = [f"address {a['cidr']}" for a in added["addresses"]]
    settings += [f"nexthop {line}" for line in added["nexthops"]]
    settings += [f"route {line.partition(' ')[2]}" for line in added["routes"]]
    settings += [f"neighbour {address} at {mac}" for address, mac in added["neighbours"]]
    settings += [f"proxy neighbour {address}" for address in added["proxies"]]
    return [f"added to {now['nic']}: {what}; {KEPT_BY_RESET}" for what in settings]


def drift_lost_by(part: str, drift: Iterable[str]) -> tuple[str, ...]:
    """The lines of `deploy.status.drift` whose change would be lost: by a partial reset of `part`, or, where that is
    "", by a reset or a re-apply of everything.

    A part's own look at the machine (`apply.partial_reset.edits_lost_by`) sees more, and needs root.
    """
    found = tuple(line for line in drift if not line.endswith(KEPT_BY_RESET))
    if not part:
        return found
    if part == "rules":
        # A line about a file begins with its path, one about a rule does not.
        return tuple(line for line in found if not line.startswith("/") or "/nat.sh" in line)
    if part == "nodes":
        return tuple(line for line in found if line.startswith(paths.LIVE_HOSTS))
    return ()


def addresses_given(step: str, reading: JournalContents) -> set[str]:
    """Every address (CIDR) that an apply may have given to the NIC of a step "address:NIC"."""
    noted = {str(i["gives"]) for t in reading.transactions for name, i in t.steps if name == step and "gives" in i}
    return noted | {address for backend in BACKENDS.values() for address in backend.addresses()}
