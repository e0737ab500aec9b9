"""Parses our own file in interfaces.d, which `plan.render` renders."""

from __future__ import annotations

import os
import re

from wizard.plan import paths


def is_our_file(path: str) -> bool:
    return os.path.normpath(path) == paths.INTERFACES_FILE


def nic_of(text: str) -> str:
    """The NIC that the stanza is for; "" if there is none."""
    found = re.search(r"^iface (\S+) inet ", text, re.MULTILINE)
    return found[1] if found else ""


def addresses_in(text: str) -> list[str]:
    """The addresses that the stanza gives to its NIC, as "address/prefix"."""
    return re.findall(r"^\s+address (\S+/\d+)(?!\S)", text, re.MULTILINE)


def checked_mac(text: str, nic: str) -> str:
    """The MAC, in lower case, that the stanza requires of the NIC; "" if it checks none."""
    found = re.search(r"^\s+pre-up ip -o link show dev (\S+) \| grep -qiF (\S+)$", text, re.MULTILINE)
    return found[2].lower() if found is not None and found[1] == nic else ""
