"""The guard: runs our dnsmasq as its child and lets it answer only while every precondition holds.

It is a process of its own, `python -m wizard serve`: `guard.control` starts it, as a systemd service or detached, and
reloads it by SIGHUP. Its main thread is the loop below; the path prober is a second thread.

A second process, the muter, arms the packet filter and disarms it when a cable moves: the guard blocks on programs,
locks and the disk, the muter blocks on nothing. The kernel's armed element expires within seconds, so death, a hang or
a bug of either process ends in silence and never in a wrong answer.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import os
import select
import signal
import socket
import sys
import time
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from wizard.deploy import runtime_state
from wizard.deploy.guard import control, proof
from wizard.deploy.guard.address_watch import AddressWatch
from wizard.deploy.guard.dhcp_server import DhcpServer
from wizard.deploy.guard.metrics_file import MetricsWriter
from wizard.deploy.guard.name_server import NameServer
from wizard.deploy.guard.netboot import Netboot
from wizard.deploy.guard.path_prober import GuardSnapshot, PathProber
from wizard.deploy.guard.preconditions import HOLDS, GuardVerdict, check_identity, check_nic
from wizard.deploy.guard.rules_watch import RulesWatch
from wizard.deploy.guard.uplink_watch import UplinkWatch
from wizard.deploy.guard.wire_watch import WireWatch
from wizard.deploy.installed_files import PERSISTENT_FILES, installed_state
from wizard.deploy.shapes import EngineState, GuardState, process_record
from wizard.host import processes, systemd
from wizard.host.commands import detach
from wizard.host.dhcp import dnsmasq
from wizard.host.facts.nics import read_nics
from wizard.host.facts.routes import read_routes
from wizard.host.files import make_directory, read_text, write_atomic
from wizard.host.muter import MuterClient
from wizard.host.net import gateway_rules, nft_armed_set
from wizard.host.net.netlink_events import NetlinkChange, NetlinkEvents
from wizard.host.plan_in_force import RUNNING, read_plan_in_force
from wizard.plan import paths
from wizard.plan.addresses import nics_of_default_routes
from wizard.plan.findings import WizardError
from wizard.plan.machine import Nic
from wizard.plan.model import Plan
from wizard.plan.render import live_text

log = logging.getLogger("ciao-gateway")
log.setLevel(logging.INFO)

GRANT_EVERY_S = 0.9
"""How often the guard renews its grant to the muter. The muter renews the kernel's element every ARM_EVERY_S."""
INSPECT_EVERY_S, INSPECT_WHEN_MUTE_EVERY_S = 10.0, 2.0
"""Inspection interval for state that netlink does not announce; the second one while DHCP is muted."""
_INSPECT_NO_SOONER_S = 0.2
_WAIT_S, _SHORT_WAIT_S = 1.0, 0.05
_ANOTHER_ENDS_S = 5.0
_OVERSLEPT_S = 5.0
# With these codes dnsmasq must run to bind to its NIC; the packet filter alone holds its answers back.
_MUST_RUN = ("starting", "dhcp-socket")
_FOREIGN_SHOWN_S = 5.0
_LOG_LIMIT = 1_000_000


class Guard:
    """One run of the guard: inspect, decide, arm or mute, publish serve.json, wait for events."""

    def __init__(self) -> None:
        self.dhcp_server = DhcpServer(lambda process: self.muter.resume_muted(process, self.inspected_sequence))
        self.name_server = NameServer()
        self.metrics = MetricsWriter()
        self.netboot = Netboot()
        self.trips = 0
        self.rules = RulesWatch(self.dhcp_server.stop)
        self.address_watch = AddressWatch()
        self.uplinks = UplinkWatch()
        self.plan: Plan | None = None
        self.identity: dict[str, dict[str, str]] = {}
        self.digest = ""
        self.loaded_at = 0.0
        self.published: GuardState = {}
        self.publish_error = ""
        self.verdict = GuardVerdict(False, "starting", "starting")
        self.armed_on: proof.WireStamp | None = None
        self.armed_at = 0.0
        self.foreign, self.foreign_at = "", 0.0
        self.nics: dict[str, Nic] = {}
        self.inspected = self.verdict
        self.inspected_at = 0.0
        self.inspection_wanted = True
        self.inspected_sequence: int | None = None
        self.grace_since: dict[str, float] = {}
        self.reload_wanted = False
        self.end_wanted = False
        self.wake, self._waker = socket.socketpair()
        for end in (self.wake, self._waker):
            end.setblocking(False)
        self.wire = WireWatch(self._wake)
        self.path_prober = PathProber()
        self.muter = MuterClient(self._wake)
        self.netlink = NetlinkEvents()

    # Life

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises WizardError where no plan is in force."""
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            # This guard has proven nothing that an earlier guard armed, and cannot supervise its dnsmasq.
            gateway_rules.disarm()
            for stray in control.stray_servers():
                processes.stop(stray, paths.LIVE)
            self.reload()
            systemd.notify("READY=1")
            self.path_prober.start()
            while not self.end_wanted:
                self.tick()
                self.wait()
        finally:
            # The server first: muting would suspend it, and a suspended one is killed before it can write its leases.
            self.dhcp_server.stop()
            self.mute()
            self.netboot.stop()
            self.name_server.stop()
            self.metrics.stop()
            self.muter.end()
            self.wire.end()
            self.path_prober.end()
            self.netlink.close()
            runtime_state.remove(runtime_state.GUARD_STATE)

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            self.reload_wanted = True
        else:
            self.end_wanted = True

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._waker.send(b"w")

    def wait(self) -> None:
        """Block until an event or the next tick is due; mute at once where the cluster NIC's wire changed."""
        timeout = _SHORT_WAIT_S if self.verdict.code == "starting" or self.wire.is_throttled() else _WAIT_S
        if self.inspection_wanted or self.uplinks.wanted:
            timeout = min(timeout, _INSPECT_NO_SOONER_S)
        watched: list[Any] = [*self.netlink.sockets(), self.wake, *self.wire.sockets()]
        select.select(watched, [], [], timeout)
        with contextlib.suppress(OSError):
            self.wake.recv(65536)
        changes = self._drain_netlink()
        if changes & NetlinkChange.LINKS and self.armed_on is not None:
            now = proof.read_stamp(self.armed_on.nic)
            if not self.armed_on.same_wire(now) or not proof.has_carrier(self.armed_on.nic):
                self.mute()
        if self.muter.sequence != self.inspected_sequence:
            # While armed, the muter's sequence rises for events of the cluster NIC alone: inspect without delay.
            self.inspected_at = self.inspected_at if self.armed_on is None else 0.0
            self.mute()
            self.inspection_wanted = True
        if changes is not NetlinkChange.NOTHING:
            self.inspection_wanted = True

    def _drain_netlink(self) -> NetlinkChange:
        """What has changed since the last call; the watches concerned are told."""
        changes = self.netlink.drain()
        if changes & (NetlinkChange.LINKS | NetlinkChange.ADDRESSES):
            self.uplinks.changed()
        if changes & NetlinkChange.RULES:
            self.rules.changed()
        return changes

    # Configuration

    def reload(self) -> None:
        """Read the live files under /run; at boot there are none, so copy the kept ones from /etc first.

        Raises WizardError where no plan is in force, OSError.
        """
        # The last of them to be written: where it exists, the others do.
        if not Path(paths.LIVE_IDENTITY).exists():
            restore_runtime_files()
        self.loaded_at = runtime_state.boottime()
        self.digest = control.configuration_fingerprint()
        self.plan, self.inspection_wanted = None, True
        running = read_plan_in_force(RUNNING)
        if running is None:
            raise WizardError(f"{paths.LIVE_PLAN} is missing", "Run 'ciao-wizard apply -c PLAN'.")
        plan = running.plan
        try:
            self.identity = tomllib.loads(read_text(paths.LIVE_IDENTITY) or "")
        except tomllib.TOMLDecodeError:
            self.identity = {}
        if self.armed_on is not None and self.armed_on.nic != plan.interfaces.cluster:
            self.mute()
        self.rules.reload()
        self.netboot.reload(plan)
        self.dhcp_server.reload()
        self.name_server.reload(plan)
        self.uplinks.reload(plan)
        self.metrics.reload(plan.textfile)
        self.wire.reload(plan)
        self.address_watch.reset()
        self.plan = plan

    def tick(self) -> None:
        """One turn of the loop: supervise, evaluate, arm or mute, publish. Never raises WizardError or OSError."""
        systemd.notify("WATCHDOG=1")
        try:
            self.supervise_muter()
            self.supervise_engine()
            if self.reload_wanted:
                self.reload_wanted = False
                self.reload()
            self.follow_uplinks()
            verdict = self.apply_grace(self.evaluate())
        except (WizardError, OSError) as error:
            self.inspection_wanted = True
            # A full /run, say: without a plan nothing else would try it again.
            self.reload_wanted = self.reload_wanted or self.plan is None
            verdict = GuardVerdict(False, "could-not-look", f"something failed: {error}")
        self.verdict = verdict
        if not verdict.ok:
            self.mute(suspend=verdict.code not in _MUST_RUN)
        self.name_server.supervise(self.identity, self.nics)
        self.metrics.supervise()
        self.netboot.supervise(self.dhcp_server.identity, verdict.ok, self.rules.loaded_at)
        try:
            if verdict.tripped or not self.rules.guarded or self.plan is None:
                self.dhcp_server.stop()
            if verdict.tripped:
                self.wire.trip(verdict)
            self.publish("armed" if verdict.ok else "tripped" if verdict.tripped else "muted", verdict)
            self.publish_error = ""
        except (WizardError, OSError) as error:
            if str(error) != self.publish_error:
                log.warning("the guard's state cannot be published: %s", error)
            self.publish_error = str(error)
        dnsmasq.trim_log(self.dhcp_server.identity)
        trim_own_log()

    def follow_uplinks(self) -> None:
        """Keep up with the default route, whether or not DHCP may be served now. Raises OSError."""
        if self.plan is not None:
            if self.uplinks.follow(self.plan):
                self.path_prober.probe_again()
            self.wire.follow(self.uplinks.corporate, self.uplinks.others)

    def evaluate(self) -> GuardVerdict:
        """Check every precondition in order; arm when all hold. Raises WizardError, OSError."""
        if self.plan is None:
            return GuardVerdict(False, "no-plan", "no plan is loaded")
        tripped = self.wire.tripped()
        if tripped is not None:
            return tripped
        if self.inspection_is_due():
            self.inspected = self.inspect(self.plan)
        if not self.inspected.ok and self.inspected.code != "no-carrier":
            return self.inspected
        foreign = self.check_armed_set()
        if foreign:
            return GuardVerdict(False, "foreign-armed", foreign)
        cluster = self.nics[self.plan.interfaces.cluster]
        corporate = self.nics.get(self.uplinks.corporate)
        # dnsmasq may run before the wire is up or proven: the packet filter holds its answers back.
        others = [n.name for n in self.nics.values() if n.usable_name and n != cluster]
        verdict = self.dhcp_server.ensure(self.rules.uid, others)
        if self.dhcp_server.process is not None:
            self.muter.watch(self.dhcp_server.process)
            self.dhcp_server.begin()
        if verdict.ok:
            verdict = self.inspected
        if verdict.ok:
            verdict = self.wire.evaluate(corporate is not None and corporate.leased)
            if verdict.tripped:
                # The NIC may have been exchanged before the frame was heard; then that is the reason to report.
                self.inspected = self.inspect(self.plan)
                verdict = self.inspected if self.inspected.grace else verdict
        if verdict.ok and self.armed_on is not None and not self.armed_on.same_wire(proof.read_stamp(cluster.name)):
            # dnsmasq must not resume to rebind its socket before the armed set is known to be empty.
            verdict = GuardVerdict(False, "changing", f"{cluster.name} is changing")
        if verdict.ok:
            verdict = self.dhcp_server.answers_only_at(cluster.index, cluster.name)
        return self.arm(cluster) if verdict.ok else verdict

    def inspection_is_due(self) -> bool:
        age = time.monotonic() - self.inspected_at
        # Starting fifty containers causes a storm of netlink events.
        if self.inspection_wanted or self.rules.due() or self.address_watch.due():
            return age > _INSPECT_NO_SOONER_S
        return age > (INSPECT_EVERY_S if self.inspected.ok else INSPECT_WHEN_MUTE_EVERY_S)

    def inspect(self, plan: Plan) -> GuardVerdict:
        """Check the cluster NIC's identity, our rules, and the NIC's state. Raises WizardError, OSError."""
        self.inspection_wanted, self.inspected_at = False, time.monotonic()
        # Read before looking: what follows is newer than every event up to this sequence.
        self.inspected_sequence = self.muter.sequence
        self._drain_netlink()
        self.inspected = GuardVerdict(False, "could-not-look", "could not look at this machine")
        before, self.nics = self.nics, {n.name: n for n in read_nics()}
        if any(
            _index(before, nic) != _index(self.nics, nic) for nic in (self.uplinks.corporate, plan.interfaces.cluster)
        ):
            # Forwarding is not yet enabled on a NIC that has just appeared.
            self.rules.changed()
        verdict = check_identity(plan, self.identity, self.nics)
        if verdict.ok or self.dhcp_server.running():
            # Also while the NIC is away: dnsmasq must not run unguarded.
            loaded_at = self.rules.loaded_at
            guarded = self.rules.enforce()
            if self.rules.loaded_at != loaded_at:
                # The script knows less of NICs than we do.
                self.uplinks.changed()
            verdict = guarded if verdict.ok else verdict
        else:
            # Nothing needs the rules now; check them again before the next use.
            self.rules.changed()
        if verdict.ok:
            verdict = check_nic(plan, self.nics, nics_of_default_routes(read_routes()), self.uplinks.corporate)
            if not verdict.ok:
                # What follows asks and runs other programs.
                self.mute()
            verdict = self.address_watch.watch(plan, self.nics, verdict)
        return verdict

    def arm(self, cluster: Nic) -> GuardVerdict:
        """Have the muter let our answers out, if the wire is still the proven one. Raises WizardError, OSError."""
        now = proof.read_stamp(cluster.name)
        if now is None or now.index != cluster.index or not proof.holds(cluster.name):
            self.inspection_wanted = True
            return GuardVerdict(False, "changing", f"{cluster.name} is changing")
        if self.armed_on is None or time.monotonic() - self.armed_at > GRANT_EVERY_S:
            # Set before the grant: a grant that fails half-way must be revoked.
            self.armed_on = now
            if self.dhcp_server.process is None or not self.muter.grant(
                self.dhcp_server.process, now, self.inspected_sequence
            ):
                self.inspection_wanted = True
                if self.inspected_sequence is None:
                    return GuardVerdict(False, "starting", "the process that mutes DHCP is starting")
                busy = self.muter.sequence == self.inspected_sequence
                return GuardVerdict(
                    False, "changing", "the packet filter is busy" if busy else f"{cluster.name} is changing"
                )
            self.armed_at = time.monotonic()
            # The muter has sent the SIGCONT.
            self.dhcp_server.suspended = False
        return HOLDS

    def check_armed_set(self) -> str:
        """Empty the armed set where it holds an element that is not ours, or ours without an expiry.

        Returns the reason for people, for a few seconds after the fact; "" where all is well. Raises WizardError.
        """
        own = self.armed_on.index if self.armed_on is not None else None
        foreign = [
            e
            for e in nft_armed_set.list_elements()
            if e.index != own or e.expires_in_s is None or e.expires_in_s > nft_armed_set.LEASE_S
        ]
        if foreign:
            names = {nic.index: nic.name for nic in self.nics.values()}
            which = ", ".join(sorted({f"NIC number {e.index} ({names.get(e.index, 'unknown')})" for e in foreign}))
            self.foreign = (
                f"somebody else put {which} into the packet filter's set {nft_armed_set.SET}; it was taken out"
            )
            self.foreign_at = time.monotonic()
            self.mute()
            gateway_rules.disarm()
        elif time.monotonic() - self.foreign_at > _FOREIGN_SHOWN_S:
            self.foreign = ""
        return self.foreign

    def apply_grace(self, verdict: GuardVerdict) -> GuardVerdict:
        """Turn a tripping verdict with `grace` into a muting one until the grace has run out."""
        now = time.monotonic()
        self.grace_since = {verdict.code: self.grace_since.get(verdict.code, now)} if verdict.grace else {}
        if verdict.grace and now - self.grace_since[verdict.code] < verdict.grace:
            return GuardVerdict(False, verdict.code, verdict.reason)
        return verdict

    def mute(self, suspend: bool = True) -> None:
        """Hold our DHCP answers back at once: disarm, and (`suspend`) stop dnsmasq with SIGSTOP."""
        if suspend:
            self.dhcp_server.suspend()
        if self.armed_on is None:
            return
        if not self.muter.revoke(halt=suspend and self.dhcp_server.suspended):
            try:
                gateway_rules.disarm()
            except WizardError as error:
                # The armed element expires by itself.
                log.warning("%s", error)
                return
        self.armed_on = None

    def supervise_muter(self) -> None:
        """Start the muter; where it ended or hangs, restart it and dnsmasq. Raises OSError."""
        if not self.muter.failed:
            return
        if self.muter.process is not None:
            log.warning("the process that mutes DHCP ended or hangs; starting another")
        self.dhcp_server.suspend()
        self.muter.end()
        self.dhcp_server.stop()
        self.mute()
        self.muter.start()
        self.inspection_wanted = True

    # State for other processes

    def publish(self, mode: Literal["armed", "muted", "tripped"], verdict: GuardVerdict) -> None:
        """Write serve.json when something in it changes. Raises WizardError, OSError."""
        names = self.name_server.state()
        # A trip that outlived another guard is not counted again.
        self.trips += mode == "tripped" and self.published.get("mode") not in (None, "tripped")
        state: GuardState = {
            "trips": self.trips,
            "mode": mode,
            "code": verdict.code,
            "reason": verdict.reason,
            "digest": self.digest,
            "program": control.program_fingerprint(),
            "taken_up": self.loaded_at,
            "nic": self.plan.interfaces.cluster if self.plan else "",
            "dnsmasq": process_record(self.dhcp_server.identity),
            "dns": names["dns"],
            "dns_reason": names["dns_reason"],
            "resolver": names["resolver"],
            "netboot": self.netboot.state(),
            "conflicts": self.wire.conflicts(),
            # A copy: it is changed in place.
            "address": last.copy() if (last := self.address_watch.last) is not None else None,
        }
        if state == {k: self.published.get(k) for k in state}:
            return
        since = self.published.get("since")
        if (mode, verdict.reason) != (self.published.get("mode"), self.published.get("reason")):
            log.info("%s%s", mode, f": {verdict.reason}" if verdict.reason else "")
            since = datetime.now().astimezone().isoformat(timespec="seconds")
        record = state.copy()
        record["since"], record["process"] = since, process_record(processes.identify(os.getpid()))
        runtime_state.write_json(runtime_state.GUARD_STATE, record)
        self.published = record
        self.path_prober.guard_changed(
            GuardSnapshot(
                self.plan, self.digest, mode, verdict.reason, self.rules.uid, record["process"], self.loaded_at
            )
        )

    def supervise_engine(self) -> None:
        """Start recovery where the engine of a trial was killed.

        An engine that is stopped (SIGSTOP) past its deadline is killed: its worker then takes the trial back.
        """
        state = runtime_state.read_engine_state()
        if state is None:
            return
        engine = processes.from_json(state.get("process"))
        if processes.alive(engine, runtime_state.ENGINE_COMMAND):
            overdue = runtime_state.boottime() > float(state.get("deadline") or math.inf) + _OVERSLEPT_S
            if overdue and processes.stopped(engine, runtime_state.ENGINE_COMMAND):
                log.warning("the apply that started this was stopped and sleeps past its deadline; ending it")
                processes.send(engine, signal.SIGKILL, runtime_state.ENGINE_COMMAND)
        elif runtime_state.read_engine_state() == state:
            # Read twice: an engine that has just ended removes the file.
            log.warning("the apply that started this was killed; taking it back")
            runtime_state.remove(runtime_state.ENGINE_STATE)
            _take_over(state)


def _take_over(killed: EngineState | None) -> None:
    """Start the recovery of a killed run. Whoever follows that one hears how this ends."""
    events = killed.get("events", []) if killed else []
    detach(runtime_state.engine_command("takeover", *events), control.SERVE_LOG)


def trim_own_log() -> None:
    """Truncate our log to its end once it is large: /run is in memory, and a loose cable may log for weeks."""
    try:
        now, there = os.fstat(sys.stderr.fileno()), Path(control.SERVE_LOG).stat()
        if now.st_size > _LOG_LIMIT and (now.st_dev, now.st_ino) == (there.st_dev, there.st_ino):
            kept = Path(control.SERVE_LOG).read_bytes()[-_LOG_LIMIT // 10 :]
            os.ftruncate(sys.stderr.fileno(), 0)
            os.write(sys.stderr.fileno(), kept.partition(b"\n")[2])
    except (OSError, ValueError):
        # Under systemd stderr goes to its journal.
        return


def _index(nics: dict[str, Nic], name: str) -> int | None:
    return nics[name].index if name in nics else None


def take_guard_lock() -> int:
    """Take the lock that ends with this process; returns its file descriptor.

    Two guards would each arm what the other mutes. Raises WizardError where another guard keeps it for 5 s.
    """
    fd = os.open(f"{paths.RUN}/serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    deadline = time.monotonic() + _ANOTHER_ENDS_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(fd)
                raise WizardError("another guard runs already", "Look at 'ciao-wizard status'.") from None
            time.sleep(0.1)


def restore_runtime_files() -> None:
    """Copy the kept files from /etc to /run at boot. Rules and address follow once the NIC's identity is checked.

    Raises WizardError where a file is missing, OSError.
    """
    make_directory(Path(paths.LIVE))
    if (interfaces := read_text(paths.INTERFACES_FILE)) is not None:
        # ifup is given it by hand. The other managers read what is kept.
        write_atomic(paths.LIVE_INTERFACES, interfaces.encode(), 0o644)
    for path in PERSISTENT_FILES:
        text = read_text(path)
        if text is None:
            raise WizardError(f"{path} is missing: nothing is applied here", "Run 'ciao-wizard apply -c PLAN'.")
        mode = Path(path).stat().st_mode & 0o777
        write_atomic(paths.live(path), live_text(text).encode(), mode)


def main() -> int:
    """Run the guard process; returns its exit status: 0 after SIGTERM, 1 where it cannot start."""
    os.umask(0o022)
    runtime_state.run_directory()
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stderr)
    if runtime_state.running_engine() is None and installed_state() == "interrupted":
        # After a power cut or a kill: an unconfirmed apply is not served but taken back.
        log.warning("an apply was cut off; taking it back")
        _take_over(runtime_state.read_engine_state())
        # An end before that counts as a failure: systemd would start another guard beside the recovery.
        systemd.notify("READY=1")
        return 0
    try:
        take_guard_lock()
    except WizardError as error:
        log.error("%s %s", error.message, error.remedy)
        return 1
    try:
        Guard().run()
    except WizardError as error:
        log.error("%s %s", error.message, error.remedy)
        failed: GuardState = {
            "mode": "failed",
            "code": "failed",
            "reason": error.message,
            "digest": control.configuration_fingerprint(),
            "process": process_record(processes.identify(os.getpid())),
            "dnsmasq": None,
        }
        runtime_state.write_json(runtime_state.GUARD_STATE, failed)
        return 1
    return 0
