"""The interface to another program's packet filter: how it is recognized, and what an apply may change of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wizard.host.facts.processes import RunningProcess

Record = dict[str, Any]
Undone = tuple[list[str], list[str]]
"""What was undone, and what could not be, in words."""


@dataclass(frozen=True, slots=True)
class LoadedObject:
    """A table, chain or rule that is loaded. `chain` is "" for a table; `filters`: a rule, or a policy that drops."""

    family: str
    table: str
    chain: str
    filters: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is visible without root: running processes, names of NICs; `root` is the directory that holds /etc."""

    processes: tuple[RunningProcess, ...]
    nics: tuple[str, ...]
    root: Path


class Firewall:
    """One kind of packet filter that is not ours. The defaults are for one that an apply does not change.

    `name` is what `Facts.firewalls` calls it. It is recognized by its own `tables`, or by its `chains` in anybody's.
    `journal_key` is where the journal keeps `image`, in the record of the step "rules"; "" where there is none.
    """

    name: str
    tables: frozenset[str] = frozenset()
    chains: re.Pattern[str] | None = None
    journal_key: str = ""

    def owns(self, loaded: LoadedObject) -> bool:
        """Whether this chain or rule is its own. Not called for objects in a table of a known firewall."""
        return self.chains is not None and self.chains.match(loaded.chain) is not None

    def is_running(self, _evidence: Evidence, /) -> bool:
        """Whether it seems to be active, judged without reading the rules: only root may."""
        return False

    def image(self, _nic: str, /) -> Record | None:
        """The present state of what an apply will change of it for the cluster NIC, for `restore`."""
        return None

    def is_image(self, value: Any) -> bool:
        """Whether a record of the journal is what `image` makes."""
        return value is None

    def restore(self, _images: Iterable[Record], /) -> Undone:
        """Put back what nat.sh changed of it: the first image of a NIC before the note that nat.sh made of it."""
        return [], []

    def remove_ours(self) -> Undone:
        """Remove the objects with our names from it, with or without the script that made them. Raises WizardError."""
        return [], []

    def remedy(self, _nic: str, /) -> str:
        """What to do if one of its `tables` drops the cluster NIC's packets; "" for no special remedy."""
        return ""
