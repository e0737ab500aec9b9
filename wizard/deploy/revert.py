"""The way back: one transaction undone, or everything that was ever done here."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from wizard.deploy import gateway, steps
from wizard.deploy.events import Teller, now
from wizard.deploy.journal import Journal, Reading, Transaction
from wizard.host import firewall, network, processes, systemd
from wizard.host.commands import CommandFailed
from wizard.host.files import read_text, remove
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.render import HEADER

Record = dict[str, Any]

UNPROVEN = ": what bears our names is gone; what was there before us could not be proven"


class Reverter:
    """Undoes by the journal, tells as it goes, and goes on past an undo that fails.

    Every method may be killed at any point and run again. What they return is what could not be undone.
    """

    def __init__(self, journal: Journal, teller: Teller) -> None:
        self.journal = journal
        self.teller = teller

    def revert(self, why: str) -> list[str]:
        """Undo the transaction that is open."""
        reading = self.journal.read()
        last = reading.last
        if last is None or not last.open:
            return []
        self.journal.append({"t": "reverting", "why": why, "at": now()})
        problems = self._undo(_to_undo(last))
        if problems:
            return problems
        self.journal.append({"t": "reverted", "at": now()})
        if reading.in_force is None:
            self._leave_nothing()
        return []

    def recover(self) -> list[str]:
        """Undo whatever a killed run left, also with a journal that is damaged."""
        reading = self.journal.read()
        last = reading.last
        if last is not None and last.begin.get("kind") == "reset" and last.open:
            return self.reset(forget_leases=bool(last.begin.get("forget_leases")))
        if reading.damage:
            return self._without_journal(reading)
        return self.revert("cut off")

    def reset(self, forget_leases: bool) -> list[str]:
        """Undo everything the wizard ever did here."""
        reading = self.journal.read()
        last = reading.last
        if last is not None and last.begin.get("kind") != "reset":
            begin = {"t": "begin", "kind": "reset", "at": now(), "boot": processes.boot_id()}
            self.journal.append({**begin, "forget_leases": forget_leases})
        images = reading.first_images()
        if not forget_leases:
            images = [(s, {**i, "keep_leases": True} if s == "gateway" else i) for s, i in images]
        problems = self._undo(list(reversed(images)))
        if reading.damage:
            problems += self._by_ownership()
            self.teller.step(
                "journal",
                "done",
                f"{'; '.join(reading.damage)}{UNPROVEN}",
            )
        if problems:
            return problems
        if forget_leases:
            remove(paths.LEASES)
        elif Path(paths.LEASES).exists():
            shutil.chown(paths.LEASES, 0, 0)
        self._leave_nothing()
        return []

    def _undo(self, todo: list[tuple[str, Record]]) -> list[str]:
        problems = []
        for step, image in todo:
            try:
                detail = steps.undo(step, image, self.journal)
            except (WizardError, OSError) as error:
                problems.append(f"{step}: {error}")
                self.teller.step(step, "failed", f"could not be undone: {error}")
                continue
            self.teller.step(step, "undone", detail)
        return problems

    def _without_journal(self, reading: Reading) -> list[str]:
        """A damaged journal is not acted on blindly: our own things go by their names, and that is said."""
        kept = reading.in_force
        if kept is not None and reading.last is kept:
            return []
        problems = self._undo(_to_undo(reading.last)) if reading.last is not None and reading.last.open else []
        problems += self._by_ownership()
        self.teller.step(
            "journal",
            "done",
            f"{'; '.join(reading.damage)}{UNPROVEN}",
        )
        if not problems:
            self._leave_nothing()
        return problems

    def _by_ownership(self) -> list[str]:
        """Take away what is ours by name and header."""
        problems = []
        nic = _our_nic()
        try:
            gateway.stop()
            firewall.remove_everything()
            if nic and network.keeper().holds(nic):
                network.keeper().down(nic, paths.INTERFACES_FILE)
            if systemd.running() and Path(paths.SERVICE_WANTED).is_symlink():
                remove(paths.SERVICE_WANTED)
        except (CommandFailed, WizardError, OSError) as error:
            problems.append(str(error))
        ours = [paths.INTERFACES_FILE, paths.SERVICE_FILE, *(str(p) for p in Path(paths.ETC).glob("*"))]
        for path in ours:
            if (read_text(path) or "").removeprefix("#!/bin/sh\n").startswith(HEADER):
                remove(path)
        main = read_text(paths.INTERFACES_MAIN) or ""
        if "# ciao-wizard: " in main:
            Path(paths.INTERFACES_MAIN).write_text(main.replace("# ciao-wizard: ", ""))
        return problems

    def _leave_nothing(self) -> None:
        gateway.clear()
        for directory in (paths.LIVE, paths.RUN):
            shutil.rmtree(directory, ignore_errors=True)
        if Path(paths.ETC).is_dir() and not any(Path(paths.ETC).iterdir()):
            Path(paths.ETC).rmdir()
        self.journal.forget()


def _to_undo(transaction: Transaction) -> list[tuple[str, Record]]:
    """The steps of a transaction, last first. Of another boot only what outlives one."""
    begun = list(reversed(transaction.steps))
    if transaction.same_boot:
        return begun
    return [(s, i) for s, i in begun if s.partition(":")[0] not in steps.RUNTIME]


def _our_nic() -> str:
    for path in (f"{paths.LIVE}/interfaces", paths.INTERFACES_FILE):
        for line in (read_text(path) or "").splitlines():
            if line.startswith("iface "):
                return line.split()[1]
    return ""


def kept_state() -> str:
    """What was there: "absent" where nothing is applied, "applied", or "interrupted"."""
    journal = Journal()
    reading = journal.read()
    if not journal.exists():
        return "absent"
    if reading.damage or (reading.last is not None and reading.last.open):
        return "interrupted"
    return "applied" if reading.in_force is not None else "absent"
