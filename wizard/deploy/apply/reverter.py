"""The way back: one transaction undone, or everything that was ever done here.

The rules are taken back in nat.sh and in host.firewall both: the script must work where Python does not, by hand or
at a boot without this program; and Python must work where somebody changed or removed the script.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from wizard.deploy import failpoints, installed_files, runtime_state
from wizard.deploy.apply import steps
from wizard.deploy.apply.lock import wait_for_orphans
from wizard.deploy.events import EventWriter, timestamp
from wizard.deploy.guard import control
from wizard.deploy.journal import Journal, JournalContents, Transaction
from wizard.host import systemd
from wizard.host.dhcp import dnsmasq
from wizard.host.files import remove
from wizard.host.net import forwarding, gateway_rules
from wizard.host.net.managers import applied_backend, cluster_backend
from wizard.host.net.managers.ifupdown import interfaces_file
from wizard.host.net.managers.ifupdown.interfaces_change import interfaces_texts
from wizard.host.net.managers.ifupdown.main_file import write_main_file
from wizard.plan import paths
from wizard.plan.findings import WizardError

Record = dict[str, Any]

UNPROVEN = (
    "What bears our names is gone. That everything else is as it was cannot be proven: "
    f"look at {paths.INTERFACES_MAIN} and at 'ip addr'"
)


class Reverter:
    """Undoes by the journal, tells as it goes, and goes on past an undo that fails.

    Every method may be killed at any point and run again. What they return is what could not be undone, or not
    be proven to be. The caller holds the lock.
    """

    def __init__(self, journal: Journal, teller: EventWriter) -> None:
        self.journal = journal
        self.teller = teller
        self.unreadable = False
        self.left: list[str] = []

    def revert(self, why: str, killed: bool = False) -> list[str]:
        """Undo the transaction that is open. `killed`: by somebody else than its own engine."""
        wait_for_orphans()
        reading = installed_files.read_journal(self.journal)
        last = reading.last
        if last is not None and last.open:
            self._note({"t": "reverting", "why": why, "at": timestamp()})
            problems = self._undo_transaction(last)
            if problems and not self.unreadable:
                return problems
            return [*problems, *self._conclude(reading, killed=killed)]
        if reading.in_force is not None:
            return self._serve_again()
        return self._conclude(reading)

    def recover(self) -> list[str]:
        """Undo whatever a killed run left, also with a journal that is damaged."""
        last = installed_files.read_journal(self.journal).last
        if last is not None and last.is_reset and last.open:
            return self.reset(forget_leases=bool(last.begin.get("forget_leases")))
        return self.revert("cut off", killed=True)

    def reset(self, forget_leases: bool) -> list[str]:
        """Undo everything the wizard ever did here."""
        wait_for_orphans()
        reading = installed_files.read_journal(self.journal)
        if reading.last is not None and not (reading.last.is_reset and reading.last.open):
            self._note({"t": "begin", "kind": "reset", "at": timestamp(), "forget_leases": forget_leases})
        images = reading.first_images()
        if not forget_leases:
            images = [(s, {**i, "keep_leases": True} if s == "gateway" else i) for s, i in images]
        problems = self._undo(list(reversed(images)))
        if problems and not reading.damage and not self.unreadable:
            return problems
        if forget_leases:
            remove(paths.LEASES)
        # With a journal that is damaged nothing more can come of trying again: what bears our names goes all the same.
        return [*problems, *self._conclude(reading, everything=True)]

    # The parts of a way back

    def _undo_transaction(self, transaction: Transaction) -> list[str]:
        if transaction.same_boot:
            return self._undo(list(reversed(transaction.steps)))
        # The reboot has undone what the trial did, and has then raised whatever lay under /etc.
        try:
            self._take_down_what_runs()
        except (WizardError, OSError) as error:
            return [str(error)]
        return self._undo(list(reversed(transaction.steps)), after_boot=True)

    def _undo(self, todo: list[tuple[str, Record]], after_boot: bool = False) -> list[str]:
        problems: list[str] = []
        alive = False
        for step, image in todo:
            failpoints.hit(f"undo:{step}")
            if step == "rules" and (alive or (not after_boot and _serves_on(image))):
                problems.append("rules: left, for they keep mute what could not be ended")
                self.teller.step(step, "failed", problems[-1].removeprefix("rules: "))
                continue
            try:
                detail = steps.undo(step, image, self.journal, after_boot)
            except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
                # The record is none of ours, or of another version: no second try would make more of it.
                self.unreadable = True
                alive = alive or step == "gateway"
                problems.append(f"{step}: what the journal says of it cannot be acted on ({error!r}). {UNPROVEN}")
                self.teller.step(step, "failed", problems[-1].removeprefix(f"{step}: "))
                continue
            except (WizardError, OSError) as error:
                problems.append(f"{step}: {error}")
                alive = alive or step == "gateway"
                self.teller.step(step, "failed", f"could not be undone: {error}")
                continue
            self.teller.step(step, "undone", detail)
            failpoints.hit(f"undone:{step}")
        return problems

    def _conclude(self, reading: JournalContents, everything: bool = False, killed: bool = False) -> list[str]:
        """All is undone: close the journal, and look whether it is as it is said to be.

        `everything`: also what is in force was undone. `killed`: the guard may have been, too.
        """
        if reading.in_force is not None and not everything:
            problems = self._close()
            if reading.last is not None and not reading.last.same_boot:
                problems += self._bring_back()
            elif killed:
                problems += self._serve_again()
            return problems + installed_files.runtime_drift(reading.written())
        try:
            found = self._remove_by_name(dict(reading.first_images()))
        except (WizardError, OSError) as error:
            return [str(error)]
        failpoints.hit("concluded")
        if reading.last is not None:
            # Also where this cannot be written: what follows leaves nothing of the journal.
            self._close()
        self._leave_nothing()
        if not found and not reading.damage and not self.left:
            return []
        removed = [f"removed, though the journal does not know of it: {f}" for f in found]
        told = [*reading.damage, *removed, *self.left]
        self.teller.step("journal", "failed", "; ".join(told))
        return [f"{'; '.join(told)}. {UNPROVEN}"]

    def _close(self) -> list[str]:
        try:
            self.journal.append({"t": "reverted", "at": timestamp()})
        except WizardError as error:
            return [f"everything is as it was, but {error}"]
        return []

    def _note(self, record: Record) -> None:
        """Write down what helps whoever comes next. What is taken back does not depend on it."""
        try:
            if record["t"] == "begin":
                self.journal.begin(**{k: v for k, v in record.items() if k != "t"})
            else:
                self.journal.append(record)
        except WizardError as error:
            self.teller.step("journal", "failed", str(error))

    def _remove_by_name(self, known: dict[str, Record]) -> list[str]:
        """Take away what is ours by name and header and was not there before us; what that was."""
        found = self._take_down_what_runs()
        found += [str(file) for file in sorted(Path(paths.LIVE).glob("*"))]
        if (
            systemd.running()
            and Path(paths.SERVICE_WANTED).is_symlink()
            and installed_files.is_ours(paths.SERVICE_FILE)
        ):
            remove(paths.SERVICE_WANTED)
            found.append(paths.SERVICE_WANTED)
        for path in installed_files.INSTALLED_FILES:
            # Ours is never what was there before us, whatever a damaged journal says.
            if installed_files.is_ours(path):
                remove(path)
                found.append(path)
        if "gateway" not in known:
            _give_back_leases()
        for file in interfaces_texts(""):
            restored = interfaces_file.restored(file.now)
            if restored != file.now and f"file:{file.path}" not in known:
                write_main_file(restored, file.real)
                found.append(f"our changes of {file.path}")
        return found

    def _take_down_what_runs(self) -> list[str]:
        """End what runs of ours and is known by its name; what that was."""
        found = []
        if runtime_state.running_guard() is not None or control.stray_servers():
            control.stop()
            found.append("dnsmasq and its guard")
        for config in (paths.LIVE_INTERFACES, paths.INTERFACES_FILE):
            if installed_files.is_ours(config) and applied_backend().withdraw(config):
                found.append(f"the address that {config} gives")
        removed, problems = gateway_rules.remove_everything()
        self.left += problems
        return [*found, *removed, *forwarding.restore()]

    def _serve_again(self) -> list[str]:
        """What is in force serves; where the guard is gone (killed, or between two lives) it is started."""
        if runtime_state.running_guard() is not None:
            return []
        try:
            control.wait_until_loaded(control.start())
        except (WizardError, OSError) as error:
            return [f"what is kept does not run again: {error}"]
        return []

    def _bring_back(self) -> list[str]:
        """After a reboot: what is kept runs again, from the files under /etc."""
        try:
            shutil.rmtree(paths.LIVE, ignore_errors=True)
            nic = applied_backend().nic_of(paths.INTERFACES_FILE)
            if nic and not applied_backend().is_configured(nic):
                cluster_backend().bring_up(nic, paths.INTERFACES_FILE)
        except (WizardError, OSError) as error:
            return [f"the address does not come back: {error}"]
        return self._serve_again()

    def _leave_nothing(self) -> None:
        control.remove_runtime_files()
        shutil.rmtree(paths.LIVE, ignore_errors=True)
        if Path(paths.ETC).is_dir() and not any(Path(paths.ETC).iterdir()):
            Path(paths.ETC).rmdir()
        self.journal.remove()


def _serves_on(image: Record) -> bool:
    """Whether our dnsmasq serves and cannot be ended, where undoing the rules would leave it without a mute. What the
    journal says of it may be lost, so that its own undo has not ended it."""
    if image.get("loaded") or (runtime_state.running_guard() is None and not control.stray_servers()):
        return False
    try:
        control.stop()
    except (WizardError, OSError):
        return True
    return False


def _give_back_leases() -> None:
    """The lease file is nobody's user's any more; where there is no lease in it, there was none before us."""
    leases = Path(paths.LEASES)
    if not leases.is_file() or leases.is_symlink() or leases.stat().st_uid != dnsmasq.user_id():
        return
    if leases.stat().st_size == 0:
        leases.unlink()
    else:
        os.chown(leases, 0, 0)
