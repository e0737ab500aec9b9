"""Partial resets (`reset --only PART`): re-apply one part of the plan in force. Nothing else is touched or undone.

`reset_part` runs in an engine process, called by `apply.main`; `edits_lost_by` in the process of the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wizard.deploy import failpoints
from wizard.deploy.apply.context import write_file
from wizard.deploy.apply.session import EngineSession
from wizard.deploy.events import EventWriter
from wizard.deploy.file_changes import render_for_this_machine
from wizard.deploy.guard import control
from wizard.deploy.installed_files import read_journal
from wizard.deploy.journal import Journal
from wizard.host.dhcp import dnsmasq
from wizard.host.files import read_text, remove
from wizard.host.net import gateway_rules
from wizard.host.net.managers import applied_backend
from wizard.host.plan_in_force import RUNNING, read_plan_in_force
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.render import File, live_file


def _running(path: str) -> File:
    """A file as the plan in force renders it, at its live path. Raises WizardError where no plan is in force."""
    running = read_plan_in_force(RUNNING)
    if running is None:
        raise WizardError("the gateway does not run here", "Run 'ciao-wizard apply' to bring it back.")
    files = render_for_this_machine(running.plan, running.text, applied_backend().backend)
    return live_file(next(file for file in files if file.path == path))


def edits_lost_by(part: str) -> list[str]:
    """Changes made by hand that a reset of `part` would lose, a line each. Needs root.

    Raises WizardError where no plan is in force.
    """
    if part == "rules":
        # A missing rule is no loss; an added or changed one is.
        changed = _changed_rules(_running(paths.NAT_SCRIPT))
        return [line for line in changed if line.startswith(("added in ", "/"))]
    if part == "nodes":
        hosts = _running(paths.DNSMASQ_HOSTS)
        return [] if read_text(hosts.path) == hosts.text else [f"{hosts.path} was changed"]
    return []


def _changed_rules(script: File) -> list[str]:
    if read_text(script.path) != script.text:
        # It would load other rules than the plan's: no comparison with the loaded ones.
        return [f"{script.path} was changed"]
    return gateway_rules.changes(script.path)


def _rules() -> str:
    script = _running(paths.NAT_SCRIPT)
    changed = _changed_rules(script)
    write_file(script)
    gateway_rules.load(script.path)
    left = gateway_rules.changes(script.path)
    if left:
        raise WizardError("; ".join(left), "Find the program that changes the rules at the same time.")
    return "; ".join(changed) or "loaded again; nothing had been changed"


def _nodes() -> str:
    write_file(_running(paths.DNSMASQ_HOSTS))
    control.wait_until_loaded(control.reload())
    return "dnsmasq has read the reserved nodes again; it was not restarted"


def _dhcp() -> str:
    control.stop()
    failpoints.hit("renew")
    return f"dnsmasq and its guard restarted, the leases kept: {control.wait_until_armed(control.start())}"


def _leases() -> str:
    control.stop()
    remove(paths.LEASES)
    failpoints.hit("renew")
    control.prepare_runtime(dnsmasq.user_id())
    return f"every lease is forgotten: {control.wait_until_armed(control.start())}"


PARTS: Mapping[str, Callable[[], str]] = {"rules": _rules, "nodes": _nodes, "dhcp": _dhcp, "leases": _leases}


def reset_part(part: str, event_files: tuple[str, ...]) -> int:
    """Re-apply one part of the plan in force, a key of PARTS; 0 where that succeeded."""
    events = EventWriter(*event_files)

    def task(session: EngineSession) -> None:
        reading = read_journal(Journal())
        if not reading.settled:
            raise WizardError("nothing is in force here", "'ciao-wizard status' says why.")
        events.step(part, "running")
        try:
            detail = PARTS[part]()
        except (WizardError, OSError) as error:
            events.step(part, "failed", str(error))
            raise
        events.step(part, "done", detail)
        session.end("kept", f"{part}: done")

    return EngineSession("renew", events, event_files).run(task)
