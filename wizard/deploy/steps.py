"""The steps of an apply, each with what it must remember and its undo.

A step captures what is there into a plain record, changes it, and its undo works from that record alone: in
another process, after a crash, any number of times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from wizard.deploy import gateway, proof, state
from wizard.deploy.journal import Journal
from wizard.host import firewall, network, systemd
from wizard.host.commands import CommandFailed, run
from wizard.host.files import make_directory, read_text, remove, write_atomic
from wizard.host.wires import explain
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan
from wizard.plan.render import File, live

Record = dict[str, Any]

LIVE_SCRIPT = paths.NAT_SCRIPT.replace(paths.ETC, paths.LIVE)
PROOF_FILE = f"{paths.RUN}/{proof.PROOF}"
LIVE_INTERFACES = f"{paths.LIVE}/interfaces"


@dataclass(frozen=True, slots=True)
class Job:
    """What an apply is to bring about. `previous` is the plan in force, where there is one."""

    plan: Plan
    files: tuple[File, ...]
    dhcp_uid: int
    journal: Journal
    previous: Plan | None = None
    corporate_has_lease: bool = False

    def file(self, path: str) -> File:
        return next(f for f in self.files if f.path == path)


class Step(Protocol):
    """One step. `name` is its key in the journal, its part before a colon the kind of its undo."""

    name: str
    title: str

    def needed(self) -> bool:
        """False where the machine is already as this step would make it."""

    def capture(self) -> Record:
        """What `undo` will need, as JSON."""

    def do(self) -> str:
        """Change the machine; what was done, in a few words. Raises WizardError."""


def _write(file: File) -> None:
    make_directory(Path(file.path).parent)
    write_atomic(file.path, file.text.encode(), file.mode)


class Rules:
    """The nftables table, the accepts at neighbours, forwarding on two NICs. Our DHCP is mute from here on."""

    name = "rules"

    def __init__(self, job: Job) -> None:
        self.job = job
        self.file = live(job.file(paths.NAT_SCRIPT))
        self.title = f"rules: NAT, {len(job.plan.forwards)} forwards, firewall; our DHCP can leave by no NIC"

    def needed(self) -> bool:
        if read_text(self.file.path) != self.file.text:
            return True
        try:
            firewall.script(self.file.path, "status")
            return firewall.table_text() != firewall.expected_table_text(self.file.path) or not _all_up(self.file.path)
        except CommandFailed:
            return True

    def capture(self) -> Record:
        return {"script": self.job.journal.images.capture(self.file.path), "loaded": firewall.table_loaded()}

    def do(self) -> str:
        old = self.job.previous
        if old is not None and old.interfaces != self.job.plan.interfaces and Path(self.file.path).exists():
            # Its accepts and forwarding bear the old names; the new script would not find them.
            firewall.script(self.file.path, "down")
        _write(self.file)
        firewall.script(self.file.path, "up")
        return "one table, loaded in one transaction"


def _all_up(path: str) -> bool:
    return "missing" not in (told := firewall.script(path, "status")) and "off" not in told.split()


def undo_rules(image: Record, journal: Journal) -> str:
    script = Path(LIVE_SCRIPT)
    before = image["script"]
    if image["loaded"] and before["kind"] == "file":
        old = journal.images.content(before)
        if script.exists() and script.read_bytes() != old:
            if _nics_of(script.read_text()) != _nics_of(old.decode()):
                firewall.script(LIVE_SCRIPT, "down")
            journal.images.restore(before)
        firewall.script(LIVE_SCRIPT, "up")
        return "the former rules are back"
    if script.exists():
        firewall.script(LIVE_SCRIPT, "down")
    firewall.remove_everything()
    remove(LIVE_SCRIPT)
    return "our table and accepts are gone"


def _nics_of(script: str) -> list[str]:
    return [line for line in script.splitlines() if line.startswith(("CORPORATE=", "CLUSTER="))]


class ProveWires:
    """Ask both wires before anything is changed that could be heard on them."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.corporate, self.cluster = job.plan.interfaces.corporate, job.plan.interfaces.cluster
        self.name = f"wires:{self.cluster}"
        self.title = f"wires: does anybody else answer DHCP on {self.cluster}?"
        self.tell: Callable[[float], None] | None = None

    def needed(self) -> bool:
        told = state.serve() or {}
        served = told.get("mode") == "armed" and told.get("nic") == self.cluster
        return not (served and proof.holds(self.cluster))

    def capture(self) -> Record:
        return {"link": network.link_state(self.cluster), "proof": self.job.journal.images.capture(PROOF_FILE)}

    def do(self) -> str:
        link = network.link_state(self.cluster)
        if not link.get("up"):
            # A NIC that is down hears nothing; it is up without an address, and says nothing.
            run("ip", "link", "set", "dev", self.cluster, "up")
            proof.await_carrier(self.cluster)
        seen = proof.look(
            self.corporate,
            self.cluster,
            corporate_has_lease=self.job.corporate_has_lease,
            fresh_link=not link.get("up"),
            progress=self.tell,
        )
        refused = proof.refusal(seen)
        if refused is not None:
            raise refused
        if seen.may_serve:
            proof.write(self.cluster)
        said = explain(seen)
        return f"{said.title}. {' '.join(said.text.split())}"


def undo_wires(image: Record, journal: Journal) -> str:
    journal.images.restore(image["proof"])
    if network.keeper().holds(str(image["link"]["nic"])):
        return "left as it is: it is in use"
    network.restore_link(image["link"])
    return "the link is as it was"


class ClusterAddress:
    """The gateway's address on the cluster NIC, through the machine's network manager."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.nic = job.plan.interfaces.cluster
        net = job.plan.network
        self.cidr = f"{net.gateway}/{net.cidr.prefixlen}"
        self.name = f"address:{self.nic}"
        self.title = f"address: {self.cidr} on {self.nic}"
        self.text = job.file(paths.INTERFACES_FILE).text

    def needed(self) -> bool:
        return read_text(LIVE_INTERFACES) != self.text or not network.has_address(self.nic, self.cidr)

    def capture(self) -> Record:
        return _capture_nic(self.nic, self.job.journal)

    def do(self) -> str:
        keeper = network.keeper()
        with proof.through_our_own_flap(self.nic):
            if keeper.holds(self.nic):
                # Under whatever text it was raised with: ours of an earlier plan, or the person's own.
                keeper.down(self.nic, _config_in_use())
            _write(File(LIVE_INTERFACES, self.text))
            keeper.up(self.nic, LIVE_INTERFACES)
        if not network.has_address(self.nic, self.cidr):
            raise WizardError(
                f"{self.nic} has not got {self.cidr} though {keeper.name} said nothing of it",
                f"Look at 'ip addr show {self.nic}' and at what else configures it.",
            )
        return f"by {keeper.name}"


class LeaveNic(ClusterAddress):
    """Take the former cluster NIC out of use, where a plan names another one."""

    def __init__(self, job: Job, nic: str) -> None:
        super().__init__(job)
        self.nic = nic
        self.name = f"address:{nic}"
        self.title = f"address: leave {nic}"

    def needed(self) -> bool:
        return True

    def do(self) -> str:
        first = dict(self.job.journal.read().first_images()).get(self.name)
        keeper = network.keeper()
        if keeper.holds(self.nic):
            keeper.down(self.nic, _config_in_use())
        if first is not None:
            network.restore_link(first["link"])
        return "as it was before it was ours"


def _config_in_use() -> str:
    return LIVE_INTERFACES if Path(LIVE_INTERFACES).exists() else paths.INTERFACES_MAIN


def _capture_nic(nic: str, journal: Journal) -> Record:
    return {
        "link": network.link_state(nic),
        "held": network.keeper().holds(nic),
        "config": journal.images.capture(LIVE_INTERFACES),
        "state": journal.images.capture(network.state_file(nic)),
    }


def undo_address(image: Record, journal: Journal) -> str:
    nic = str(image["link"]["nic"])
    keeper = network.keeper()
    if keeper.holds(nic):
        try:
            keeper.down(nic, _config_in_use())
        except CommandFailed:
            # A NIC that is gone has nothing to give back.
            if network.link_state(nic)["present"]:
                raise
    journal.images.restore(image["config"])
    if image["held"] and network.link_state(nic)["present"]:
        keeper.up(nic, _config_in_use())
    else:
        journal.images.restore(image["state"])
    network.restore_link(image["link"])
    return f"{nic} is as it was"


class Gateway:
    """The guard and its dnsmasq: started, or brought to the new configuration without a pause."""

    name = "gateway"

    def __init__(self, job: Job) -> None:
        self.job = job
        self.title = f"dnsmasq: bound to {job.plan.interfaces.cluster} alone, then armed"
        kept = (paths.PLAN_IN_FORCE, paths.DNSMASQ_CONF, paths.DNSMASQ_HOSTS, paths.IDENTITY)
        self.files = [live(job.file(path)) for path in kept]

    def needed(self) -> bool:
        told = state.serve()
        if told is None or told.get("mode") != "armed":
            return True
        return any(read_text(f.path) != f.text for f in self.files)

    def capture(self) -> Record:
        images = self.job.journal.images
        return {
            "running": state.serve() is not None,
            "files": [images.capture(f.path) for f in self.files],
            "leases": Path(paths.LEASES).exists(),
        }

    def do(self) -> str:
        for file in self.files:
            _write(file)
        gateway.prepare(self.job.dhcp_uid)
        return gateway.wait_until_armed(gateway.start() if state.serve() is None else gateway.reload())


def undo_gateway(image: Record, journal: Journal) -> str:
    if image["running"]:
        for file in image["files"]:
            journal.images.restore(file)
        # The address comes back only after this; the guard arms by itself then.
        gateway.wait_until_taken_up(gateway.start() if state.serve() is None else gateway.reload())
        return "serving as before"
    gateway.stop()
    for file in image["files"]:
        journal.images.restore(file)
    if not image["leases"] and not image.get("keep_leases"):
        remove(paths.LEASES)
    gateway.clear()
    return "dnsmasq and its guard are gone"


class KeepFile:
    """One file under /etc, written only after it was kept."""

    def __init__(self, job: Job, file: File) -> None:
        self.job = job
        self.file = file
        self.name = f"file:{file.path}"
        self.title = f"file: {file.path}"

    def needed(self) -> bool:
        return read_text(self.file.path) != self.file.text or _mode(self.file.path) != self.file.mode

    def capture(self) -> Record:
        return self.job.journal.images.capture(self.file.path)

    def do(self) -> str:
        _write(self.file)
        return "written"


def _mode(path: str) -> int | None:
    try:
        return Path(path).stat().st_mode & 0o7777
    except FileNotFoundError:
        return None


def undo_file(image: Record, journal: Journal) -> str:
    journal.images.restore(image)
    return "as it was"


class Service:
    """The systemd unit that brings everything back after a reboot."""

    name = "service"
    title = f"service: {paths.SERVICE_NAME}"

    def __init__(self, job: Job) -> None:
        self.job = job
        self.file = gateway.unit()

    def needed(self) -> bool:
        return systemd.running() and (
            read_text(self.file.path) != self.file.text or not Path(paths.SERVICE_WANTED).is_symlink()
        )

    def capture(self) -> Record:
        images = self.job.journal.images
        return {"unit": images.capture(self.file.path), "wanted": images.capture(paths.SERVICE_WANTED)}

    def do(self) -> str:
        _write(self.file)
        systemd.enable(paths.SERVICE_NAME)
        return "starts at boot"


def undo_service(image: Record, journal: Journal) -> str:
    journal.images.restore(image["wanted"])
    journal.images.restore(image["unit"])
    systemd.reload()
    return "as it was"


UNDO: Mapping[str, Callable[[Record, Journal], str]] = {
    "wires": undo_wires,
    "rules": undo_rules,
    "address": undo_address,
    "gateway": undo_gateway,
    "file": undo_file,
    "service": undo_service,
}

# What a reboot has undone already.
RUNTIME = ("wires", "rules", "address", "gateway")


def trial(job: Job) -> list[Step]:
    """The steps that make it work, touching nothing that outlives a reboot; in order."""
    steps: list[Step] = [ProveWires(job), Rules(job)]
    if job.previous is not None and job.previous.interfaces.cluster != job.plan.interfaces.cluster:
        steps.append(LeaveNic(job, job.previous.interfaces.cluster))
    return [*steps, ClusterAddress(job), Gateway(job)]


def persist(job: Job) -> list[Step]:
    """The steps that make it last, once it was kept; the interfaces file last."""
    nic = job.plan.interfaces.cluster
    files = [f for f in job.files if f.path != paths.INTERFACES_FILE]
    steps: list[Step] = [KeepFile(job, f) for f in files]
    steps.append(Service(job))
    text = read_text(paths.INTERFACES_MAIN) or ""
    edited = network.main_file_edited(text, nic)
    if edited != text:
        steps.append(KeepFile(job, File(paths.INTERFACES_MAIN, edited, _mode(paths.INTERFACES_MAIN) or 0o644)))
    steps.append(KeepFile(job, job.file(paths.INTERFACES_FILE)))
    return steps


def undo(name: str, image: Record, journal: Journal, tries: int = 3) -> str:
    """Undo one step, however far it got. Raises WizardError or OSError after `tries`."""
    act = UNDO[name.partition(":")[0]]
    for attempt in range(1, tries + 1):
        try:
            return act(image, journal)
        except (WizardError, OSError):
            if attempt == tries:
                raise
            time.sleep(0.2)
    raise AssertionError("unreachable")
