"""The guard: keeps our dnsmasq as its child and lets it answer only while everything holds.

What lets the answers out, and stops them when a cable moves, is a process beside this one, the muter: whatever is
waited for here, it waits for nothing. The kernel mutes by itself a moment after the muter last armed it, so death, a
hang or a bug of either ends in silence and never in a wrong answer.
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
from wizard.deploy.guard.dhcp_server import DhcpServer
from wizard.deploy.guard.name_server import NameServer
from wizard.deploy.guard.nic_return import NicReturn
from wizard.deploy.guard.path_prober import GuardSnapshot, PathProber
from wizard.deploy.guard.preconditions import HOLDS, GuardVerdict, check_identity, check_nic
from wizard.deploy.guard.rules_watch import RulesWatch
from wizard.deploy.guard.wire_watch import WireWatch
from wizard.deploy.installed_files import PERSISTENT_FILES, installed_state
from wizard.deploy.shapes import GuardState, process_record
from wizard.host import processes
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
"""How often the muter's grant is renewed. How often the muter renews the kernel's element is its own ARM_EVERY_S."""
LOOK_EVERY_S, LOOK_WHEN_MUTE_EVERY_S = 10.0, 2.0
"""Beside the kernel's news: what it does not tell of, and what takes time to come right."""
_LOOK_NO_SOONER_S = 0.2
_WAIT_S, _SHORT_WAIT_S = 1.0, 0.05
_ANOTHER_ENDS_S = 5.0
_OVERSLEPT_S = 5.0
# The kernel alone mutes it then: it is to bind to its NIC, and the wire is proven.
_NEEDS_IT_RUNNING = ("starting", "dhcp-socket")
_FOREIGN_TOLD_S = 5.0
_LOG_LIMIT = 1_000_000


class Guard:
    """One run of the guard."""

    def __init__(self) -> None:
        self.dhcp_server = DhcpServer(lambda process: self.muter.resume_muted(process, self.inspected_sequence))
        self.name_server = NameServer()
        self.rules = RulesWatch(self.dhcp_server.stop)
        self.returning = NicReturn()
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
        self.news = NetlinkEvents()

    # Life

    def run(self) -> None:
        """Serve until told to end."""
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            # What a guard before us armed is not proven by us, and its dnsmasq is not ours to look after.
            gateway_rules.disarm()
            for stray in control.stray_servers():
                processes.stop(stray, paths.LIVE)
            self.reload()
            self.path_prober.start()
            while not self.end_wanted:
                self.tick()
                self.wait()
        finally:
            # In this order: what rests is ended without a chance to write down its leases.
            self.dhcp_server.stop()
            self.mute()
            self.name_server.stop()
            self.muter.end()
            self.wire.end()
            self.path_prober.end()
            self.news.close()
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
        """Until something may have changed, or it is time to look again. What mutes at once does so here."""
        timeout = _SHORT_WAIT_S if self.verdict.code == "starting" or self.wire.is_throttled() else _WAIT_S
        if self.inspection_wanted:
            timeout = min(timeout, _LOOK_NO_SOONER_S)
        watched: list[Any] = [*self.news.sockets(), self.wake, *self.wire.sockets()]
        select.select(watched, [], [], timeout)
        with contextlib.suppress(OSError):
            self.wake.recv(65536)
        heard = self.news.drain()
        if heard & NetlinkChange.LINKS and self.armed_on is not None:
            now = proof.read_stamp(self.armed_on.nic)
            if not self.armed_on.same_wire(now) or not proof.has_carrier(self.armed_on.nic):
                self.mute()
        if self.muter.sequence != self.inspected_sequence:
            # Where it was armed, this is news of the very NIC.
            self.inspected_at = self.inspected_at if self.armed_on is None else 0.0
            self.mute()
            self.inspection_wanted = True
        if heard & (NetlinkChange.LINKS | NetlinkChange.ADDRESSES):
            self.inspection_wanted = True
        if heard & NetlinkChange.RULES:
            self.rules.changed()
            self.inspection_wanted = True

    # Configuration

    def reload(self) -> None:
        """Take up the live files; at boot there are none yet, and those under /etc are copied."""
        # The one that is written last.
        if not Path(paths.LIVE_INTERFACES).exists():
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
        self.dhcp_server.reload()
        self.name_server.reload(plan)
        self.wire.reload(plan)
        self.plan = plan

    def tick(self) -> None:
        """One look at everything; arms or mutes accordingly."""
        try:
            self.supervise_muter()
            self.supervise_engine()
            if self.reload_wanted:
                self.reload_wanted = False
                self.reload()
            verdict = self.apply_grace(self.evaluate())
        except (WizardError, OSError) as error:
            self.inspection_wanted = True
            verdict = GuardVerdict(False, "could-not-look", f"something failed: {error}")
        self.verdict = verdict
        if not verdict.ok:
            self.mute(rest=verdict.code not in _NEEDS_IT_RUNNING)
        self.name_server.supervise(self.identity, self.nics)
        try:
            if verdict.tripped or not self.rules.guarded or self.plan is None:
                self.dhcp_server.stop()
            if verdict.tripped:
                self.wire.trip(verdict)
            self.publish("armed" if verdict.ok else "tripped" if verdict.tripped else "muted", verdict)
            self.publish_error = ""
        except (WizardError, OSError) as error:
            if str(error) != self.publish_error:
                log.warning("this cannot be told to others: %s", error)
            self.publish_error = str(error)
        dnsmasq.trim_log(self.dhcp_server.identity)
        trim_own_log()

    def evaluate(self) -> GuardVerdict:
        """Everything that must hold for a DHCP answer to leave; arms when it does. Raises WizardError, OSError."""
        if self.plan is None:
            return GuardVerdict(False, "no-plan", "no plan is taken up")
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
        corporate = self.nics.get(self.plan.interfaces.corporate)
        # dnsmasq may run before there is a wire, and before that is proven: the kernel mutes it.
        others = [n.name for n in self.nics.values() if n.usable_name and n != cluster]
        verdict = self.dhcp_server.ensure(self.rules.uid, others)
        if self.dhcp_server.process is not None:
            self.muter.watch(self.dhcp_server.process)
        if verdict.ok:
            verdict = self.inspected
        if verdict.ok:
            verdict = self.wire.evaluate(corporate is not None and corporate.leased)
            if verdict.tripped:
                # Heard behind another NIC by now, perhaps: then it is that which has to be said.
                self.inspected = self.inspect(self.plan)
                verdict = self.inspected if self.inspected.grace else verdict
        if verdict.ok and self.armed_on is not None and not self.armed_on.same_wire(proof.read_stamp(cluster.name)):
            # Nothing may run on to bind anew while the set is not known to be empty.
            verdict = GuardVerdict(False, "changing", f"{cluster.name} is changing")
        if verdict.ok:
            verdict = self.dhcp_server.answers_only_at(cluster.index, cluster.name)
        return self.arm(cluster) if verdict.ok else verdict

    def inspection_is_due(self) -> bool:
        gone = time.monotonic() - self.inspected_at
        # Somebody who starts fifty containers makes a storm of news.
        if self.inspection_wanted or self.rules.due():
            return gone > _LOOK_NO_SOONER_S
        return gone > (LOOK_EVERY_S if self.inspected.ok else LOOK_WHEN_MUTE_EVERY_S)

    def inspect(self, plan: Plan) -> GuardVerdict:
        """Who this NIC is, whether our rules stand, and whether the NIC is as it should be."""
        self.inspection_wanted, self.inspected_at = False, time.monotonic()
        # What is seen from here on is younger than every event up to this one.
        self.inspected_sequence = self.muter.sequence
        if self.news.drain() & NetlinkChange.RULES:
            self.rules.changed()
        self.inspected = GuardVerdict(False, "could-not-look", "could not look at this machine")
        before, self.nics = self.nics, {n.name: n for n in read_nics()}
        if any(
            _index(before, nic) != _index(self.nics, nic)
            for nic in (plan.interfaces.corporate, plan.interfaces.cluster)
        ):
            # A NIC that came does not forward yet.
            self.rules.changed()
        verdict = check_identity(plan, self.identity, self.nics)
        if verdict.ok or self.dhcp_server.running():
            # Also while its NIC is away: nothing runs that only rules keep mute, and they are gone.
            guarded = self.rules.enforce()
            verdict = guarded if verdict.ok else verdict
        else:
            # Nothing here needs them now; later they are looked at anew.
            self.rules.changed()
        if verdict.ok:
            verdict = check_nic(plan, self.nics, nics_of_default_routes(read_routes()))
            self.returning.restore_address(plan, self.nics[plan.interfaces.cluster], verdict)
        return verdict

    def arm(self, cluster: Nic) -> GuardVerdict:
        """Let our answers out, if this is still the wire that was proven at this very moment."""
        now = proof.read_stamp(cluster.name)
        if now is None or now.index != cluster.index or not proof.holds(cluster.name):
            self.inspection_wanted = True
            return GuardVerdict(False, "changing", f"{cluster.name} is changing")
        if self.armed_on is None or time.monotonic() - self.armed_at > GRANT_EVERY_S:
            # Noted before: where it fails half-way, it is to be muted again.
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
            # It is the muter alone who lets it go on.
            self.dhcp_server.suspended = False
        return HOLDS

    def check_armed_set(self) -> str:
        """Who is in the set that should not be, in words; that stands for a while. Raises WizardError."""
        own = self.armed_on.index if self.armed_on is not None else None
        strangers = [
            e
            for e in nft_armed_set.list_elements()
            if e.index != own or e.expires_in_s is None or e.expires_in_s > nft_armed_set.LEASE_S
        ]
        if strangers:
            names = {nic.index: nic.name for nic in self.nics.values()}
            which = ", ".join(sorted({f"NIC number {e.index} ({names.get(e.index, 'unknown')})" for e in strangers}))
            self.foreign = (
                f"somebody else put {which} into the packet filter's set {nft_armed_set.SET}; it was taken out"
            )
            self.foreign_at = time.monotonic()
            self.mute()
            gateway_rules.disarm()
        elif time.monotonic() - self.foreign_at > _FOREIGN_TOLD_S:
            self.foreign = ""
        return self.foreign

    def apply_grace(self, verdict: GuardVerdict) -> GuardVerdict:
        """What may pass by itself mutes at once, and trips only when it stays."""
        now = time.monotonic()
        self.grace_since = {verdict.code: self.grace_since.get(verdict.code, now)} if verdict.grace else {}
        if verdict.grace and now - self.grace_since[verdict.code] < verdict.grace:
            return GuardVerdict(False, verdict.code, verdict.reason)
        return verdict

    def mute(self, rest: bool = True) -> None:
        """Mute our DHCP at once: dnsmasq rests, and the kernel lets nothing of it out."""
        if rest:
            self.dhcp_server.suspend()
        if self.armed_on is None:
            return
        if not self.muter.revoke(halt=rest and self.dhcp_server.suspended):
            try:
                gateway_rules.disarm()
            except WizardError as error:
                # The kernel does it by itself in a moment.
                log.warning("%s", error)
                return
        self.armed_on = None

    def supervise_muter(self) -> None:
        """Have one run. Where one ended or hangs, dnsmasq is started anew too. Raises OSError."""
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

    # Telling

    def publish(self, mode: Literal["armed", "muted", "tripped"], verdict: GuardVerdict) -> None:
        """Say what is so, where others look, whenever it changes."""
        names = self.name_server.state()
        told: GuardState = {
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
            "conflicts": self.wire.conflicts(),
        }
        if told == {k: self.published.get(k) for k in told}:
            return
        since = self.published.get("since")
        if (mode, verdict.reason) != (self.published.get("mode"), self.published.get("reason")):
            log.info("%s%s", mode, f": {verdict.reason}" if verdict.reason else "")
            since = datetime.now().astimezone().isoformat(timespec="seconds")
        now = told.copy()
        now["since"], now["process"] = since, process_record(processes.identify(os.getpid()))
        runtime_state.write_json(runtime_state.GUARD_STATE, now)
        self.published = now
        self.path_prober.guard_changed(
            GuardSnapshot(self.plan, self.digest, mode, verdict.reason, self.rules.uid, now["process"])
        )

    def supervise_engine(self) -> None:
        """A trial whose engine was killed is nobody's: have it taken back. One that was stopped in its sleep, and has
        slept past its deadline, is killed: its second process takes it back."""
        work = runtime_state.read_engine_state()
        if work is None:
            return
        engine = processes.from_json(work.get("process"))
        if processes.alive(engine, runtime_state.ENGINE_COMMAND):
            overdue = runtime_state.boottime() > float(work.get("deadline") or math.inf) + _OVERSLEPT_S
            if overdue and processes.stopped(engine, runtime_state.ENGINE_COMMAND):
                log.warning("the apply that started this was stopped and sleeps past its deadline; ending it")
                processes.send(engine, signal.SIGKILL, runtime_state.ENGINE_COMMAND)
        elif runtime_state.read_engine_state() == work:
            # Not one that came to its end while this was looked at.
            log.warning("the apply that started this was killed; taking it back")
            runtime_state.remove(runtime_state.ENGINE_STATE)
            detach(runtime_state.engine_command("recover"), control.SERVE_LOG)


def trim_own_log() -> None:
    """Keep the end of our log once it is large: it lies in memory, and a loose cable may talk for weeks."""
    try:
        now, there = os.fstat(sys.stderr.fileno()), Path(control.SERVE_LOG).stat()
        if now.st_size > _LOG_LIMIT and (now.st_dev, now.st_ino) == (there.st_dev, there.st_ino):
            kept = Path(control.SERVE_LOG).read_bytes()[-_LOG_LIMIT // 10 :]
            os.ftruncate(sys.stderr.fileno(), 0)
            os.write(sys.stderr.fileno(), kept.partition(b"\n")[2])
    except (OSError, ValueError):
        # No such log: the journal has it.
        return


def _index(nics: dict[str, Nic], name: str) -> int | None:
    return nics[name].index if name in nics else None


def take_guard_lock() -> int:
    """A lock that ends with this process: two guards would each arm what the other mutes. Raises WizardError."""
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
    """At boot the kept files become the live ones; rules and address follow once the NIC is known to be the one."""
    make_directory(Path(paths.LIVE))
    for path in PERSISTENT_FILES:
        text = read_text(path)
        if text is None:
            raise WizardError(f"{path} is missing: nothing is applied here", "Run 'ciao-wizard apply -c PLAN'.")
        mode = Path(path).stat().st_mode & 0o777
        write_atomic(paths.live(path), live_text(text).encode(), mode)
    interfaces = read_text(paths.INTERFACES_FILE) or ""
    write_atomic(paths.LIVE_INTERFACES, interfaces.encode(), 0o644)


def main() -> int:
    """Run the guard; 0 when it was told to end, 1 when it could not begin."""
    os.umask(0o022)
    runtime_state.run_directory()
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stderr)
    if runtime_state.running_engine() is None and installed_state() == "interrupted":
        # A power cut or a kill in the middle: nothing unconfirmed is served, it is taken back instead.
        log.warning("an apply was cut off; taking it back")
        detach(runtime_state.engine_command("recover"), control.SERVE_LOG)
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
