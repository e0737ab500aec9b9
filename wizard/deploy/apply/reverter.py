"""The reverter: undoes one transaction of the journal, or everything that was ever done here.

Called in engine processes, by `engine` after a trial and by `recovery`.

Both nat.sh and `host.net.gateway_rules` remove the rules: the script must work without this program, by hand or at a
boot; the program must work where somebody changed or removed the script.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from wizard.deploy import failpoints, installed_files, runtime_state
from wizard.deploy.apply import steps
from wizard.deploy.apply.context import NotAsBefore
from wizard.deploy.apply.lock import wait_for_orphans
from wizard.deploy.apply.session import full_message
from wizard.deploy.apply.steps import services
from wizard.deploy.apply.steps.time_server import close_by_name
from wizard.deploy.events import EventWriter, timestamp
from wizard.deploy.guard import control, metrics_file
from wizard.deploy.images.store import ImageStore
from wizard.deploy.journal import Journal, JournalContents, Transaction
from wizard.host import systemd
from wizard.host.dhcp import dnsmasq
from wizard.host.files import remove
from wizard.host.net import forwarding, gateway_rules, link_image
from wizard.host.net.managers import BACKENDS, applied_backend
from wizard.host.net.managers.backend import withdraw_address
from wizard.host.net.managers.ifupdown import interfaces_file
from wizard.host.net.managers.ifupdown.interfaces_change import interfaces_texts
from wizard.host.net.managers.ifupdown.main_file import write_main_file
from wizard.plan import paths
from wizard.plan.backends import Backend
from wizard.plan.findings import WizardError
from wizard.plan.ntp import DROP_INS

Record = dict[str, Any]

UNPROVEN = (
    "What bears our names is gone. That everything else is as it was cannot be proven: "
    f"look at {paths.INTERFACES_MAIN} and at 'ip addr'"
)


class Reverter:
    """Undoes by the journal, writes events, and continues past an undo that fails. The caller holds the lock.

    Every public method may be killed at any point and run again. Each returns its problems, for people: what could not
    be undone, or not be proven undone.
    """

    def __init__(self, journal: Journal, events: EventWriter) -> None:
        self.journal = journal
        self.events = events
        self.unreadable = False
        self.leftovers: list[str] = []
        self.lost: list[str] = []
        self.given: dict[str, set[str]] = {}

    def revert(self, why: str, killed: bool = False) -> list[str]:
        """Undo the open transaction. `killed`: its own engine was, and this is another process."""
        wait_for_orphans()
        systemd.restore_network_files()
        reading = installed_files.read_journal(self.journal)
        last = reading.last
        self._note_given(reading)
        if last is not None and last.open:
            self._note({"t": "reverting", "why": why, "at": timestamp()})
            problems = self._undo_transaction(last, reading)
            if problems and not self.unreadable:
                return [*problems, *self.lost]
            return [*problems, *self._conclude(reading, killed=killed), *self.lost]
        if reading.in_force is not None:
            return self._ensure_guard()
        return self._conclude(reading)

    def recover(self) -> list[str]:
        """Undo what a killed run left, also with a damaged journal."""
        last = installed_files.read_journal(self.journal).last
        if last is not None and last.is_reset and last.open:
            return self.reset(bool(last.begin.get("forget_leases")), bool(last.begin.get("forget_images")))
        return self.revert("cut off", killed=True)

    def reset(self, forget_leases: bool, forget_images: bool = False) -> list[str]:
        """Undo everything that the wizard ever did here."""
        wait_for_orphans()
        systemd.restore_network_files()
        reading = installed_files.read_journal(self.journal)
        if reading.last is not None and not (reading.last.is_reset and reading.last.open):
            wanted = {"forget_leases": forget_leases, "forget_images": forget_images}
            self._note({"t": "begin", "kind": "reset", "at": timestamp(), **wanted})
        self._note_given(reading)
        # Undone last, whichever apply stopped them: they want the ports that the gateway still has.
        images = sorted(reading.first_images(), key=lambda named: not named[0].startswith(f"{services.STOP}:"))
        if not forget_leases:
            images = [(s, {**i, "keep_leases": True} if s == "gateway" else i) for s, i in images]
        problems = self._undo(list(reversed(images)))
        if problems and not reading.damage and not self.unreadable:
            return [*problems, *self.lost]
        if forget_leases:
            remove(paths.LEASES)
        if forget_images:
            # Before the journal goes: whoever goes on with a reset that was killed knows from it that they are to go.
            try:
                ImageStore().remove_all()
            except (WizardError, OSError) as error:
                return [*problems, f"images: {error}", *self.lost]
        # With a damaged journal another attempt would do no better: remove what bears our names in any case.
        return [*problems, *self._conclude(reading, everything=True), *self.lost]

    # The parts of an undo

    def _note_given(self, reading: JournalContents) -> None:
        """Note what addresses of ours are on which NIC, before the files that say so are undone."""
        for backend in BACKENDS.values():
            if any(map(installed_files.is_ours, (backend.file.live, backend.file.kept))):
                self.given.setdefault(backend.nic(), set()).update(backend.addresses())
        for step, image in reading.first_images():
            if step.startswith("address:"):
                had = {address["cidr"] for address in image["link"].get("addresses", [])}
                ours = installed_files.addresses_given(step, reading) - had
                self.given[link_image.current_name(image["link"])] = ours

    def _undo_transaction(self, transaction: Transaction, reading: JournalContents) -> list[str]:
        if transaction.same_boot:
            return self._undo(list(reversed(transaction.steps)))
        # The reboot has undone the trial, and then set up what lies under /etc.
        try:
            self._stop_by_name(in_force=reading.written())
        except (WizardError, OSError) as error:
            return [str(error)]
        return self._undo(list(reversed(transaction.steps)), after_boot=True)

    def _undo(self, images: list[tuple[str, Record]], after_boot: bool = False) -> list[str]:
        problems: list[str] = []
        gateway_lives = False
        for step, image in images:
            failpoints.hit(f"undo:{step}")
            if step == "rules" and (gateway_lives or (not after_boot and _cannot_stop_gateway(image))):
                problems.append("rules: left in place, as they block the DHCP of a dnsmasq that could not be ended")
                self.events.step(step, "failed", problems[-1].removeprefix("rules: "))
                continue
            try:
                detail = steps.undo(step, image, self.journal, after_boot)
            except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
                # The record is not ours or of another version: trying again would not help.
                self.unreadable = True
                gateway_lives = gateway_lives or step == "gateway"
                problems.append(f"{step}: what the journal says of it cannot be acted on ({error!r}). {UNPROVEN}")
                self.events.step(step, "failed", problems[-1].removeprefix(f"{step}: "))
                continue
            except NotAsBefore as error:
                self.lost.append(f"{step}: {full_message(error)}")
                self.events.step(step, "failed", full_message(error))
                continue
            except (WizardError, OSError) as error:
                problems.append(f"{step}: {error}")
                gateway_lives = gateway_lives or step == "gateway"
                self.events.step(step, "failed", f"could not be undone: {error}")
                continue
            self.events.step(step, "undone", detail)
            failpoints.hit(f"undone:{step}")
        return problems

    def _conclude(self, reading: JournalContents, everything: bool = False, killed: bool = False) -> list[str]:
        """After the undo: close the journal, and check that the machine is as it says. Returns problems.

        `everything`: what was in force was undone too. `killed`: the guard may have been killed too.
        """
        if reading.in_force is not None and not everything:
            problems = self._close()
            if reading.last is not None and not reading.last.same_boot:
                problems += self._restart_after_boot()
            elif killed:
                problems += self._ensure_guard()
            return problems + installed_files.runtime_drift(reading.written())
        try:
            found = self._remove_by_name(dict(reading.first_images()))
        except (WizardError, OSError) as error:
            return [str(error)]
        failpoints.hit("concluded")
        if reading.last is not None:
            # A failed write does not matter: the journal is removed below.
            self._close()
        self._remove_all_files()
        if not found and not reading.damage and not self.leftovers:
            return []
        removed = [f"removed, though the journal does not know of it: {f}" for f in found]
        details = [*reading.damage, *removed, *self.leftovers]
        self.events.step("journal", "failed", "; ".join(details))
        return [f"{'; '.join(details)}. {UNPROVEN}"]

    def _close(self) -> list[str]:
        try:
            self.journal.append({"t": "reverted", "at": timestamp()})
        except WizardError as error:
            return [f"everything is as it was, but {error}"]
        return []

    def _note(self, record: Record) -> None:
        """Append a record that helps a later recovery. The undo works without, so a failure is only reported."""
        try:
            if record["t"] == "begin":
                self.journal.begin(**{k: v for k, v in record.items() if k != "t"})
            else:
                self.journal.append(record)
        except WizardError as error:
            self.events.step("journal", "failed", str(error))

    def _remove_by_name(self, known: dict[str, Record]) -> list[str]:
        """Remove what is ours by name or header and not in `known`, the first images by step; returns what it was.

        Raises WizardError, OSError.
        """
        found = self._stop_by_name()
        found += [str(file) for file in sorted(Path(paths.LIVE).glob("*"))]
        if (
            systemd.running()
            and Path(paths.SERVICE_WANTED).is_symlink()
            and installed_files.is_ours(paths.SERVICE_FILE)
        ):
            remove(paths.SERVICE_WANTED)
            found.append(paths.SERVICE_WANTED)
        for path in installed_files.INSTALLED_FILES:
            # A file with our header cannot be a pre-image, whatever a damaged journal says.
            if installed_files.is_ours(path):
                remove(path)
                found.append(path)
                if path in DROP_INS:
                    close_by_name(path)
        if "gateway" not in known:
            _release_leases()
        for file in interfaces_texts(""):
            restored = interfaces_file.restored(file.now)
            if restored != file.now and f"file:{file.path}" not in known:
                write_main_file(restored, file.real)
                found.append(f"our changes of {file.path}")
        return found

    def _stop_by_name(self, in_force: Collection[str] = ()) -> list[str]:
        """End our processes, address and rules, found by their names; returns what it was. Raises WizardError.

        `in_force`: files that stay. Their manager follows them, and they are what it is given afterwards.
        """
        found = []
        if runtime_state.running_guard() is not None or control.stray_servers():
            control.stop()
            found.append("dnsmasq and its guard")
        for kind, backend in BACKENDS.items():
            # ifupdown's file is no harm without its address; what a manager reads by itself has to go.
            if backend.file.kept in in_force and kind is not Backend.IFUPDOWN:
                continue
            if backend.withdraw(backend.nic() or next(iter(self.given), "")):
                found.append(f"what {backend.name} has of ours")
        for nic, cidrs in self.given.items() if not in_force else ():
            if withdraw_address(nic, cidrs):
                found.append(f"our address on {nic}")
        removed, problems = gateway_rules.remove_everything()
        self.leftovers += problems
        return [*found, *removed, *forwarding.restore()]

    def _ensure_guard(self) -> list[str]:
        """Start the guard for the plan in force where it does not run (killed, or between two lives)."""
        if runtime_state.running_guard() is not None:
            return []
        try:
            control.wait_until_loaded(control.start())
        except (WizardError, OSError) as error:
            return [f"the gateway that was kept does not start again: {error}"]
        return []

    def _restart_after_boot(self) -> list[str]:
        """After a reboot: set up the address and start the guard from the files under /etc."""
        try:
            shutil.rmtree(paths.LIVE, ignore_errors=True)
            backend = applied_backend()
            nic = backend.nic()
            # Another manager than ifupdown may have the NIC by somebody else's profile.
            if nic and not (backend.backend is Backend.IFUPDOWN and backend.is_configured(nic)):
                backend.bring_up(nic)
        except (WizardError, OSError) as error:
            return [f"the gateway's address cannot be restored: {error}"]
        return self._ensure_guard()

    def _remove_all_files(self) -> None:
        control.remove_runtime_files()
        self.leftovers += metrics_file.remove_noted(last=True)
        shutil.rmtree(paths.LIVE, ignore_errors=True)
        if Path(paths.ETC).is_dir() and not any(Path(paths.ETC).iterdir()):
            Path(paths.ETC).rmdir()
        self.journal.remove()


def _cannot_stop_gateway(image: Record) -> bool:
    """Whether our dnsmasq serves and cannot be ended, so that undoing the rules (`image`) would unblock its answers.

    A damaged journal may have lost the step "gateway", whose undo would have ended it.
    """
    if image.get("loaded") or (runtime_state.running_guard() is None and not control.stray_servers()):
        return False
    try:
        control.stop()
    except (WizardError, OSError):
        return True
    return False


def _release_leases() -> None:
    """Give the lease file to root, as dnsmasq's user is gone; remove an empty one, which was not there before us."""
    leases = Path(paths.LEASES)
    if not leases.is_file() or leases.is_symlink() or leases.stat().st_uid != dnsmasq.user_id():
        return
    if leases.stat().st_size == 0:
        leases.unlink()
    else:
        os.chown(leases, 0, 0)
