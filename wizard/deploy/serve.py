"""The guard: keeps our dnsmasq as its child and lets it answer only while everything holds.

The kernel mutes our DHCP answers by itself a few seconds after this process last armed it, so its death, a
hang or a bug here ends in silence and never in a wrong answer.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
import tomllib
from datetime import datetime
from pathlib import Path

from wizard.deploy import gateway, state
from wizard.deploy.gates import FINE, Verdict, identity_holds, wire_holds
from wizard.deploy.revert import kept_state
from wizard.deploy.wire_watch import WireWatch
from wizard.host import dnsmasq, firewall, network, processes
from wizard.host.commands import CommandFailed, detach
from wizard.host.facts_nics import read_nics
from wizard.host.files import make_directory, read_text, write_atomic
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan
from wizard.plan.planfile import load

log = logging.getLogger("ciao-gateway")
log.setLevel(logging.INFO)

ARM_EVERY_S = 1.5
LOOK_AFTER_RULES_S = 5.0
_BOOT_PATIENCE_S = 10.0


class Guard:
    """One run of the guard."""

    def __init__(self) -> None:
        self.uid = dnsmasq.user_id()
        self.child: subprocess.Popen[bytes] | None = None
        self.conf_text = ""
        self.plan: Plan | None = None
        self.identity: dict[str, dict[str, str]] = {}
        self.digest = ""
        self.told: dict[str, object] = {}
        self.armed_index: int | None = None
        self.deaths: list[float] = []
        self.reload_wanted = False
        self.end_wanted = False
        self.rules_seen = 0.0
        self.taken_up = 0.0
        self.wake, self._waker = socket.socketpair()
        self.wire = WireWatch(self._waker)

    # Life

    def run(self) -> None:
        """Serve until told to end."""
        os.set_blocking(self._waker.fileno(), False)
        signal.set_wakeup_fd(self._waker.fileno())
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGHUP, self._on_signal)
        changes = _link_changes()
        try:
            self.take_up()
            while not self.end_wanted:
                self.tick()
                self._wait(changes)
        finally:
            self.hush()
            self.stop_child()
            self.wire.end()
            state.remove(state.SERVE)

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            self.reload_wanted = True
        else:
            self.end_wanted = True

    def _wait(self, changes: socket.socket) -> None:
        watched: list[socket.socket] = [changes, self.wake]
        ready, _, _ = select.select(watched, [], [], 0.5 if self.armed_index is None else ARM_EVERY_S)
        for source in ready:
            with contextlib.suppress(BlockingIOError, OSError):
                source.recv(65536)

    # Configuration

    def take_up(self) -> None:
        """Take up the live files; at boot there are none yet, and those under /etc are copied."""
        if not Path(dnsmasq.CONF).exists():
            bring_to_life()
        self.taken_up = state.boottime()
        self.plan = load(read_text(f"{paths.LIVE}/gateway.toml") or "", f"{paths.LIVE}/gateway.toml")
        self.deaths = []
        self.identity = tomllib.loads(read_text(f"{paths.LIVE}/identity.toml") or "")
        self.digest = gateway.digest()
        conf = read_text(dnsmasq.CONF) or ""
        hosts = read_text(dnsmasq.HOSTS) or ""
        clashes = dnsmasq.conflicts(hosts, read_text(paths.LEASES) or "")
        running = self.child is not None and self.child.poll() is None
        if running and self.child is not None and conf == self.conf_text and not clashes:
            process = processes.identify(self.child.pid)
            if process is not None:
                dnsmasq.reload_hosts(process)
        elif running:
            self.stop_child()
        self.conf_text = conf
        self.wire.take_up(self.plan)

    def tick(self) -> None:
        """One look at everything; arms or mutes accordingly."""
        if self.reload_wanted:
            self.reload_wanted = False
            self.take_up()
        self.mind_the_engine()
        try:
            verdict = self.judge()
        except (CommandFailed, OSError) as error:
            verdict = Verdict(False, "could-not-look", f"could not look at this machine: {error}")
        if verdict.ok:
            self.tell("armed", verdict)
        else:
            self.hush()
            if verdict.tripped:
                self.stop_child()
                self.wire.trip(verdict)
            self.tell("tripped" if verdict.tripped else "muted", verdict)
        dnsmasq.trim_log(self._child_process())

    def judge(self) -> Verdict:
        """Everything that must hold for a DHCP answer to leave; arms when it does."""
        if self.plan is None:
            return Verdict(False, "no-plan", "no plan is taken up yet")
        tripped = self.wire.tripped()
        if tripped is not None:
            return tripped
        nics = {n.name: n for n in read_nics()}
        verdict = identity_holds(self.plan, self.identity, nics)
        if verdict.ok:
            self.look_after_rules()
            verdict = wire_holds(self.plan, nics)
        if verdict.ok:
            # dnsmasq may run before the wire is proven: the kernel mutes it.
            verdict = self.child_holds(self.plan.interfaces.cluster)
        if verdict.ok:
            verdict = self.wire.judge()
        if verdict.ok:
            index = nics[self.plan.interfaces.cluster].index
            firewall.arm(index)
            self.armed_index = index
        return verdict

    def look_after_rules(self) -> None:
        """Load our rules again where somebody took them away or put new ones in their way (Docker started, …)."""
        if time.monotonic() - self.rules_seen < LOOK_AFTER_RULES_S or state.work() is not None:
            return
        self.rules_seen = time.monotonic()
        script = f"{paths.LIVE}/nat.sh"
        told = firewall.script(script, "status")
        if "missing" in told or "not loaded" in told or ": off" in told:
            log.info("rules were not as they should be, loading them: %s", told.strip().replace("\n", "; "))
            firewall.script(script, "up")

    # The child

    def child_holds(self, cluster: str) -> Verdict:
        """dnsmasq runs and has exactly one DHCP socket, bound to the cluster NIC."""
        verdict = self.ensure_child()
        if not verdict.ok or self.child is None:
            return verdict
        deadline = time.monotonic() + 2
        while True:
            bound = dnsmasq.dhcp_sockets(self.child.pid)
            if bound == [cluster]:
                return FINE
            if time.monotonic() > deadline or self.child.poll() is not None:
                break
            time.sleep(0.02)
        if self.child.poll() is not None:
            verdict = self.ensure_child()
            # The one that was just started has shown nothing yet.
            return Verdict(False, "dnsmasq-starting", "dnsmasq ended and is started again") if verdict.ok else verdict
        seen = ", ".join(name or "every NIC" for name in bound) or "nothing"
        return Verdict(False, "dhcp-socket", f"dnsmasq's DHCP socket is bound to {seen}, not to {cluster} alone")

    def ensure_child(self) -> Verdict:
        if self.child is not None and self.child.poll() is None:
            return FINE
        if self.child is not None:
            self.deaths.append(time.monotonic())
            words = _last_words(self.child)
            log.warning("dnsmasq ended: %s", words)
            self.child = None
            self.deaths = [t for t in self.deaths if time.monotonic() - t < 30]
            if len(self.deaths) >= 3:
                return Verdict(False, "dnsmasq-dies", f"dnsmasq does not stay alive: {words}", tripped=True)
        dnsmasq.prepare(self.uid)
        dnsmasq.drop_leases(dnsmasq.conflicts(read_text(dnsmasq.HOSTS) or "", read_text(paths.LEASES) or ""))
        self.child = dnsmasq.spawn(self.uid)
        return FINE

    def _child_process(self) -> processes.Process | None:
        return processes.identify(self.child.pid) if self.child is not None and self.child.poll() is None else None

    def stop_child(self) -> None:
        """End dnsmasq and wait for it, so that its ports are free."""
        if self.child is None:
            return
        self.child.terminate()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child = None

    def hush(self) -> None:
        """Mute our DHCP at once."""
        if self.armed_index is None:
            return
        self.armed_index = None
        with contextlib.suppress(CommandFailed):
            firewall.disarm()

    # Telling

    def tell(self, mode: str, verdict: Verdict) -> None:
        child = self._child_process()
        told = {
            "mode": mode,
            "code": verdict.code,
            "reason": verdict.reason,
            "digest": self.digest,
            "taken_up": self.taken_up,
            "nic": self.plan.interfaces.cluster if self.plan else "",
            "dnsmasq": child.as_json() if child else None,
        }
        if told == {k: self.told.get(k) for k in told}:
            return
        if mode != self.told.get("mode") or verdict.reason != self.told.get("reason"):
            log.info("%s%s", mode, f": {verdict.reason}" if verdict.reason else "")
            self.told["since"] = datetime.now().astimezone().isoformat(timespec="seconds")
        me = processes.identify(os.getpid())
        self.told = {**told, "since": self.told["since"], "process": me.as_json() if me else None}
        state.write_json(state.SERVE, self.told)

    def mind_the_engine(self) -> None:
        """A trial whose engine was killed is nobody's: have it taken back."""
        if state.read_json(state.WORK) is not None and state.work() is None:
            log.warning("the apply that started this was killed; taking it back")
            state.remove(state.WORK)
            detach(state.engine_command("recover"), gateway.SERVE_LOG)


def _last_words(child: subprocess.Popen[bytes]) -> str:
    """What a dnsmasq that ended said last."""
    said = child.stderr.read() if child.stderr is not None else b""
    child.wait()
    return said.decode("utf-8", "replace").strip() or dnsmasq.last_words() or f"status {child.returncode}"


def bring_to_life() -> None:
    """At boot: the kept files become the live ones, then address and rules. Nothing where the NIC is another one."""
    make_directory(Path(paths.LIVE))
    for path in (paths.PLAN_IN_FORCE, paths.DNSMASQ_CONF, paths.DNSMASQ_HOSTS, paths.IDENTITY, paths.NAT_SCRIPT):
        text = read_text(path)
        if text is None:
            raise WizardError(f"{path} is missing: nothing is applied here", "Run 'ciao-wizard apply -c PLAN'.")
        mode = Path(path).stat().st_mode & 0o777
        text = text.replace(paths.DNSMASQ_HOSTS, paths.DNSMASQ_HOSTS.replace(paths.ETC, paths.LIVE))
        write_atomic(path.replace(paths.ETC, paths.LIVE), text.encode(), mode)
    interfaces = read_text(paths.INTERFACES_FILE) or ""
    write_atomic(f"{paths.LIVE}/interfaces", interfaces.encode(), 0o644)
    plan = load(read_text(paths.PLAN_IN_FORCE) or "", paths.PLAN_IN_FORCE)
    identity = tomllib.loads(read_text(paths.IDENTITY) or "")
    if not identity_holds(plan, identity, {n.name: n for n in read_nics()}).ok:
        return
    firewall.script(f"{paths.LIVE}/nat.sh", "up")
    nic, net = plan.interfaces.cluster, plan.network
    deadline = time.monotonic() + _BOOT_PATIENCE_S
    while not network.has_address(nic, f"{net.gateway}/{net.cidr.prefixlen}"):
        if time.monotonic() > deadline:
            # networking.service should have done it; where it did not, we do.
            network.keeper().up(nic, paths.INTERFACES_FILE)
            break
        time.sleep(0.1)


def _link_changes() -> socket.socket:
    """A socket that turns readable when a link, an address or a route changes."""
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    link, ipv4_address, ipv4_route = 0x1, 0x10, 0x40
    kernel.bind((0, link | ipv4_address | ipv4_route))
    kernel.setblocking(False)
    return kernel


def main() -> int:
    """Run the guard; 0 when it was told to end, 1 when it could not begin."""
    os.umask(0o022)
    state.run_directory()
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stderr)
    if state.work() is None and kept_state() == "interrupted":
        # A power cut or a kill in the middle: nothing unconfirmed is served, it is taken back instead.
        log.warning("an apply was cut off; taking it back")
        detach(state.engine_command("recover"), gateway.SERVE_LOG)
        return 0
    try:
        Guard().run()
    except WizardError as error:
        log.error("%s %s", error.message, error.remedy)
        me = processes.identify(os.getpid())
        failed = {"mode": "failed", "code": "failed", "reason": error.message, "digest": gateway.digest()}
        state.write_json(state.SERVE, {**failed, "process": me.as_json() if me else None, "dnsmasq": None})
        return 1
    return 0
