"""Servers of others on ports 53 and 67, stopped because a person agreed: in the trial, and at boot once it was kept."""

from __future__ import annotations

from pathlib import Path

from wizard.deploy.apply.context import ApplyContext, NotAsBefore, Record, command_line
from wizard.deploy.journal import Journal
from wizard.host import systemd
from wizard.host.files import remove
from wizard.plan.findings import WizardError

STOP, DISABLE = "stop", "disable"


class StopService:
    """Stop a service, and before it what would start it again. The trial's part: a reboot starts it."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.name = f"{STOP}:{unit}"
        self.title = f"stop {unit}"
        self.units = (*systemd.triggers_of(unit), unit)

    def needed(self) -> bool:
        return any(map(systemd.active, self.units))

    def preview(self) -> list[str]:
        return [command_line("systemctl", "stop", unit) for unit in self.units]

    def capture(self) -> Record:
        return {"units": [{"unit": unit, "active": systemd.active(unit)} for unit in self.units]}

    def do(self) -> str:
        for unit in self.units:
            systemd.stop(unit)
        for unit in self.units:
            if systemd.active(unit):
                raise WizardError(
                    f"{unit} runs again after 'systemctl stop'", f"See who starts it: systemctl status {unit}"
                )
        return f"{' and '.join(self.units)} stopped until a reset"


def undo_stop(image: Record, _journal: Journal) -> str:
    """Start what was active. Raises NotAsBefore where one no longer starts; one that is gone is only told."""
    if not systemd.running():
        return "systemd does not run here"
    done: list[str] = []
    failed: list[str] = []
    for unit in (str(each["unit"]) for each in image["units"] if each["active"]):
        if not systemd.known(unit):
            done.append(f"{unit} is not installed any more")
        elif not systemd.active(unit):
            try:
                systemd.start(unit)
                done.append(f"{unit} runs again")
            except WizardError as error:
                failed.append(f"{unit} could not be started again: {error}")
    if failed:
        raise NotAsBefore("; ".join([*failed, *done]), f"Look at 'systemctl status {image['units'][-1]['unit']}'.")
    return "; ".join(done) or "as it was"


class DisableService:
    """Keep a service, and what would start it, from being started at boot."""

    def __init__(self, context: ApplyContext, unit: str) -> None:
        self.context = context
        self.name = f"{DISABLE}:{unit}"
        self.title = f"disable {unit}"
        self.units = (*systemd.triggers_of(unit), unit)

    def needed(self) -> bool:
        return bool(self._links())

    def _links(self) -> list[str]:
        return [link for unit in self.units for link in systemd.enabling_links(unit)]

    def preview(self) -> list[str]:
        return [*(f"removes {link}" for link in self._links()), command_line("systemctl", "daemon-reload")]

    def capture(self) -> Record:
        return {"links": [self.context.journal.images.capture(link) for link in self._links()]}

    def do(self) -> str:
        # Not by `systemctl disable`: that goes on to other units, which the journal would not know of.
        for link in self._links():
            remove(link)
        systemd.reload()
        return f"{' and '.join(self.units)} will not start at boot"


def undo_disable(image: Record, journal: Journal) -> str:
    """Put back the links of what is still installed."""
    gone = []
    for link in image["links"]:
        path = str(link["path"])
        if (Path(path).parent / link["target"]).exists():
            journal.images.restore(link)
        else:
            gone.append(Path(str(link["target"])).name)
    systemd.reload()
    return "; ".join(f"{name} is not installed any more" for name in dict.fromkeys(gone)) or "starts at boot as before"
