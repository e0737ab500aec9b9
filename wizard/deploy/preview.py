"""What an apply would do on this machine, step by step, before anything is done.

The list is made of the engine's own steps; what each runs is written down here, beside a test in the laboratory that
takes the steps and compares.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wizard.deploy import engine, gateway, state, steps
from wizard.deploy.job import Step
from wizard.deploy.journal import Journal
from wizard.deploy.steps_keep import KeepFile, MainFile, Service
from wizard.deploy.steps_trial import ClusterAddress, Gateway, LeaveNic, ProveWires, Rules
from wizard.host import dnsmasq, systemd
from wizard.host.facts import read_facts
from wizard.host.net.link import read_link
from wizard.host.net.managers import cluster_backend
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan


@dataclass(frozen=True, slots=True)
class Coming:
    """One step to come. `lines` are what it does: a command begins with "$ ", all else is in words.

    `trial`: it is gone with a reboot, and taken back unless it is kept. `needed` is None where only root can tell.
    """

    name: str
    lines: tuple[str, ...]
    trial: bool
    needed: bool | None


def coming(plan: Plan, plan_text: str) -> tuple[Coming, ...]:
    """The steps of an apply of `plan` here, in order. Changes nothing. Raises WizardError where it could not begin."""
    facts = read_facts(applied_cluster=engine.applied_cluster(), our_pids=state.our_pids())
    job = engine.make_job(plan, plan_text, facts, Journal())
    listed = [*((step, True) for step in steps.trial(job)), *((step, False) for step in steps.persist(job))]
    return tuple(Coming(step.name, tuple(DOES[type(step)](step)), trial, _needed(step)) for step, trial in listed)


def _needed(step: Step) -> bool | None:
    if os.geteuid() != 0:
        return None
    try:
        return step.needed()
    except (WizardError, OSError):
        # What cannot be told now is told by the step itself.
        return None


def _command(*argv: str) -> str:
    return f"$ {shlex.join(argv)}"


def _prove_wires(step: ProveWires) -> list[str]:
    link = read_link(step.cluster)
    raised = [_command("ip", "link", "set", "dev", step.cluster, "up")] if link is not None and not link.up else []
    return [
        *raised,
        f"asks {step.corporate} and {step.cluster} for DHCP servers (DISCOVER alone), for 12 s",
        f"sends one marked frame out of {step.cluster}, to hear whether both are one wire",
        f"asks the plan's nodes behind {step.cluster} by ARP whether they are there, each at its own MAC",
    ]


def _rules(step: Rules) -> list[str]:
    return [f"writes {step.file.path}", _command("sh", paths.LIVE_SCRIPT, "up")]


def _leave_nic(step: LeaveNic) -> list[str]:
    return [f"takes our address off {step.nic}", *_bring_down(step.nic)]


def _address(step: ClusterAddress) -> list[str]:
    up = _command(*cluster_backend().bring_up_command(step.nic, paths.LIVE_INTERFACES))
    return [*_bring_down(step.nic), f"writes {paths.LIVE_INTERFACES}", up]


def _bring_down(nic: str) -> list[str]:
    backend = cluster_backend()
    if not backend.is_configured(nic):
        return []
    return [_command(*backend.bring_down_command(nic, backend.config_in_use()))]


def _gateway(step: Gateway) -> list[str]:
    test = _command("dnsmasq", "--test", f"--conf-file={dnsmasq.CONF}")
    files = [f"writes {file.path}" for file in step.files]
    if state.serve() is not None:
        return [*files, test, "has the guard take the new configuration up"]
    if systemd.running():
        start = _command("systemctl", "start", paths.SERVICE_NAME)
    else:
        start = _command("setsid", "-f", *gateway.serve_command())
    return [*files, test, start, "which asks the wire, starts dnsmasq, and lets its DHCP out on that NIC alone"]


def _file(step: KeepFile) -> list[str]:
    return [f"writes {step.file.path}"]


def _main_file(step: MainFile) -> list[str]:
    return [f"changes {step.text.path}, as shown among the files"]


def _service(step: Service) -> list[str]:
    if not systemd.running():
        return ["nothing: systemd does not run here"]
    return [
        f"writes {step.file.path}",
        _command("systemctl", "daemon-reload"),
        _command("systemctl", "enable", "--quiet", paths.SERVICE_NAME),
    ]


DOES: Mapping[type, Callable[..., list[str]]] = {
    ProveWires: _prove_wires,
    Rules: _rules,
    LeaveNic: _leave_nic,
    ClusterAddress: _address,
    Gateway: _gateway,
    KeepFile: _file,
    MainFile: _main_file,
    Service: _service,
}
"""By class, so that a step without an entry fails its test and not a person's review."""
