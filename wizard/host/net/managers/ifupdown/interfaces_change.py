"""What has to change in the files that ifupdown reads, and what forbids the change."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from wizard.host.commands import find
from wizard.host.files import blocked, read_text
from wizard.host.net.link_image import link_state
from wizard.host.net.managers.ifupdown import interfaces_file
from wizard.host.net.managers.ifupdown.dry_run import private_copy, refuse_to_break
from wizard.host.net.managers.ifupdown.interfaces_file import reads_ours
from wizard.host.net.managers.ifupdown.interfaces_tree import interfaces_lines, read_tree
from wizard.host.net.managers.ifupdown.main_file import read_main_file
from wizard.host.net.managers.ifupdown.own_stanza import is_our_file, nic_of
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.ifupdown import claims
from wizard.plan.text import clean


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
        if real in by_place or is_our_file(path):
            continue
        if path == paths.INTERFACES_MAIN and not elsewhere:
            wanted = interfaces_file.edited_again(text, nic)
        else:
            wanted = interfaces_file.without_nic_again(text, nic)
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
        refuse_to_break(before, {text.real: text.wanted for text in texts}, nic, ours)
    return texts


def _refuse_blocked_directory() -> None:
    if why := blocked(paths.INTERFACES_FILE):
        raise WizardError(
            f"{paths.INTERFACES_FILE} cannot be written: {why}", "Make it a directory; nothing was changed."
        )


def _refuse_claims(texts: Mapping[str, str], nic: str) -> None:
    macs = link_state(nic).get("macs") or [""]
    with private_copy(texts, None) as (_, read):
        lines = [line for file in read for line in interfaces_lines(file.path, file.text)]
    refused = [c for c in claims(lines, nic, macs[0]) if c.harmful and not c.can_go]
    if refused:
        claimants = "; ".join(f"{clean(c.line.place)} {clean(c.what)}" for c in refused)
        raise WizardError(f"{nic} is configured by other stanzas: {claimants}", clean(refused[0].remedy))
