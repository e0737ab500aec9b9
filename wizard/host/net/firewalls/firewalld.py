"""firewalld. At the end of its own chains it rejects what its zones do not accept.

An apply puts the cluster NIC into the zone "trusted", at run time only; nat.sh does that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wizard.host import shapes
from wizard.host.commands import CommandFailed, find, run
from wizard.host.files import read_text
from wizard.host.net import nft_objects
from wizard.host.net.firewalls.firewall import Evidence, Firewall, Record, Undone
from wizard.host.net.notes import forget, notes
from wizard.plan import paths

_TABLE = ("inet", "firewalld")
_TRUSTED = "trusted"


class Firewalld(Firewall):
    name = "firewalld"
    tables = frozenset({"firewalld"})
    chains = re.compile(r"(FWDI|FWDO|IN|FWD|POST|PRE)_.*|(INPUT|FORWARD)_direct$")
    journal_key = "zone"

    def is_running(self, evidence: Evidence, /) -> bool:
        # It is a Python program; its process name depends on how it was started.
        return any("firewalld" in Path(word).name for process in evidence.processes for word in process.argv[:2])

    def image(self, nic: str, /) -> Record | None:
        """The zone that the NIC is in, "" for none: {nic, zone}; None where firewalld is not at work."""
        if find("firewall-cmd") is None or not nft_objects.has_table(*_TABLE):
            return None
        return {"nic": nic, "zone": _zone_of(nic)}

    def is_image(self, value: Any) -> bool:
        return value is None or shapes.has(value, nic=shapes.is_text, zone=shapes.is_text)

    def restore(self, images: Iterable[Record], /) -> Undone:
        zones: dict[str, str] = {}
        for image in images:
            zones.setdefault(str(image["nic"]), str(image["zone"]))
        for note in notes("firewalld"):
            zones.setdefault(note.name.removeprefix("firewalld."), (read_text(str(note)) or "").strip())
        restored, problems = [], []
        for nic, zone in zones.items():
            note = Path(f"{paths.RUN}/firewalld.{nic}")
            # firewalld drops our zone by itself, and a zone that somebody chose since must stay.
            if zone == _TRUSTED or self.image(nic) != {"nic": nic, "zone": _TRUSTED}:
                forget(note)
                continue
            try:
                run("firewall-cmd", "--quiet", *_move(nic, zone))
            except CommandFailed as error:
                # The note stays, for the next attempt.
                problems.append(f"{nic} is still in firewalld's zone {_TRUSTED}, and not in {zone or 'none'}: {error}")
                continue
            forget(note)
            restored.append(f"firewalld's zone of {nic}")
        return restored, problems

    def remedy(self, nic: str, /) -> str:
        return f"Run 'ciao-wizard apply': it puts {nic} into firewalld's zone {_TRUSTED} again."


def _move(nic: str, zone: str) -> tuple[str, str]:
    if zone:
        return f"--zone={zone}", f"--change-interface={nic}"
    return f"--zone={_TRUSTED}", f"--remove-interface={nic}"


def _zone_of(nic: str) -> str:
    try:
        return run("firewall-cmd", f"--get-zone-of-interface={nic}").strip()
    except CommandFailed:
        return ""
