"""The path prober: probes the path of a node that does not exist, and checks the plan against the machine as it is now.

A thread of the guard process, started by `daemon.Guard`: a probe waits for answers, and the thread that mutes must not
wait. It publishes a PathReport in path.json on every change of the network, on request, and every six seconds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netaddr import IPAddress

from wizard.deploy import runtime_state
from wizard.deploy.guard import control, path_plan, path_report, proof
from wizard.deploy.guard.service_watch import ServiceWatch
from wizard.deploy.shapes import ProcessRecord
from wizard.host.facts.reader import read_facts
from wizard.host.facts.resolver import fingerprint as resolver_fingerprint
from wizard.host.facts.resolver import read_resolver
from wizard.host.facts.uplinks import read_route_facts, uplinks_now
from wizard.host.files import read_text
from wizard.host.net.managers.networkmanager import behind_portal
from wizard.host.net.netlink_events import NetlinkChange, NetlinkEvents
from wizard.host.path.injection import CannotInject, Injector, remove_stray, synthetic_mac
from wizard.host.path.probe import NodePath, path_tests_named, probe_path
from wizard.host.path.trace import DroppedPacket, find_drop
from wizard.host.path.trace import remove_stray as remove_trace
from wizard.plan import paths
from wizard.plan.checks import FAILED, UNTRIED, Check
from wizard.plan.findings import WizardError
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.rules import in_force
from wizard.plan.uplinks import resolved, uplinks

log = logging.getLogger("ciao-gateway")

PROBE_EVERY_S = 6.0
_NO_SOONER_S = 0.5
_CHECK_PLAN_EVERY_S, _CHECK_PLAN_NO_SOONER_S = 30.0, 1.0
_INJECT_RETRY_S = 10.0
_END_S = 1.0

PathFault = tuple[str, str]
"""(name, detail) of a failed check."""


@dataclass(frozen=True, slots=True)
class GuardSnapshot:
    """The guard's published state; a path report is valid for one of these."""

    plan: Plan | None = None
    digest: str = ""
    mode: str = ""
    reason: str = ""
    uid: int = 0
    guard: ProcessRecord | None = None
    loaded_at: float = 0.0


class PathProber(threading.Thread):
    """Call `guard_changed` and `end` from the guard's thread; all else runs in this one."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="path")
        self._lock = threading.Lock()
        self._snapshot = GuardSnapshot()
        self._wake, self._waker = socket.socketpair()
        for end in (self._wake, self._waker):
            end.setblocking(False)
        self._ended = False
        self._injector: Injector | None = None
        self._injector_key: object = None
        self._inject_failure: tuple[float, str, str] | None = None
        self._turn = 0
        self._repeats = False
        self._path: NodePath | None = None
        self._node_address: IPAddress | None = None
        self._causes: dict[PathFault, DroppedPacket | None] = {}
        self._checks: tuple[Check, ...] = ()
        self._findings: tuple[Check, ...] = ()
        self._resolver_stamp: object = None
        self._plan_checked_at = 0.0
        self._plan_check_wanted = True
        self._checked_digest = ""
        self._macs = (synthetic_mac(), synthetic_mac())
        self._service = ServiceWatch()
        self._served: tuple[Check, ...] = ()

    # Called by the guard

    def guard_changed(self, snapshot: GuardSnapshot) -> None:
        """Probe for this state of the guard from now on; at once where it differs from the last."""
        with self._lock:
            if snapshot == self._snapshot:
                return
            self._snapshot = snapshot
        self._wake_up()

    def probe_again(self) -> None:
        """Probe at once: something has changed that no event of the kernel's tells."""
        self._wake_up()

    def end(self) -> None:
        """Stop the thread, within a second, and remove path.json and the request pipe."""
        self._ended = True
        self._wake_up()
        if self.is_alive():
            # A probe that still waits ends with the process.
            self.join(_END_S)
        for name in (path_report.PATH, Path(path_report.REQUEST_PIPE).name):
            with contextlib.suppress(OSError):
                runtime_state.remove(name)

    def _wake_up(self) -> None:
        with contextlib.suppress(OSError):
            self._waker.send(b"w")

    # The thread

    def run(self) -> None:
        """Probe until `end`."""
        netlink = NetlinkEvents()
        requests = _open_request_pipe()
        try:
            with contextlib.suppress(WizardError):
                remove_stray()
                remove_trace()
            while not self._ended:
                begun = time.monotonic()
                try:
                    self._probe_once(netlink)
                except (WizardError, OSError) as error:
                    log.warning("a node's path could not be probed: %s", error)
                self._wait(netlink, requests, begun)
        finally:
            self._close_injector()
            netlink.close()
            os.close(requests)

    def _wait(self, netlink: NetlinkEvents, requests: int, begun: float) -> None:
        """Block until the next probe is due, or until a change, but at least 0.5 s from the last one's start."""
        while not self._ended:
            left = begun + PROBE_EVERY_S - time.monotonic()
            if left <= 0:
                return
            watched: list[Any] = [*netlink.sockets(), self._wake, requests]
            select.select(watched, [], [], left)
            woken = self._drain(netlink, requests)
            if woken:
                # One change is usually followed by others.
                soon = begun + _NO_SOONER_S - time.monotonic()
                if soon > 0 and not self._ended:
                    time.sleep(soon)
                return

    def _drain(self, netlink: NetlinkEvents, requests: int) -> bool:
        """Read all wake-ups, requests and netlink events; whether there were any."""
        woken = False
        with contextlib.suppress(OSError):
            woken = bool(self._wake.recv(65536))
        with contextlib.suppress(OSError):
            woken = bool(os.read(requests, 65536)) or woken
        return self._drain_netlink(netlink) is not NetlinkChange.NOTHING or woken

    def _drain_netlink(self, netlink: NetlinkEvents) -> NetlinkChange:
        changes = netlink.drain()
        if changes & (NetlinkChange.LINKS | NetlinkChange.ADDRESSES):
            self._plan_check_wanted = True
        return changes

    def _probe_once(self, netlink: NetlinkEvents) -> None:
        with self._lock:
            snapshot = self._snapshot
        if snapshot.plan is None or snapshot.mode not in ("armed", "muted"):
            return
        begun = runtime_state.boottime()
        before = self._nic_stamps(snapshot.plan)
        if snapshot.digest != self._checked_digest:
            # The findings of another configuration are none of this one's; an apply is judged by the first report.
            self._checked_digest = snapshot.digest
            self._check_plan(snapshot.plan)
        self._served = self._service.look(snapshot.plan, snapshot.loaded_at)
        found = self._probe_path(snapshot.plan, snapshot)
        rules_changed = bool(self._drain_netlink(netlink) & NetlinkChange.RULES)
        if rules_changed and not self._repeats and any(each.ok is False for each in found):
            # It may have met rules that were being loaded. Once: on some machines rules change all the time.
            self._repeats = True
            self._wake_up()
            return
        self._repeats = False
        unnamed = self._forget_causes(found)
        # An apply waits for a whole report: none is while the machine has changed since the plan was checked.
        due = self._plan_check_is_due()
        whole = not unnamed and not self._plan_check_wanted
        if not self._publish(snapshot, before, begun, self._with_causes(found, snapshot), whole=whole):
            return
        if due:
            self._check_plan(snapshot.plan)
            self._publish(snapshot, before, begun, self._with_causes(found, snapshot), whole=not unnamed)
        elif self._plan_check_wanted:
            self._wake_up()
        # Tracing takes longest, and no verdict depends on it.
        self._trace(unnamed, snapshot)
        checks = self._with_causes(found, snapshot)
        if unnamed:
            self._publish(snapshot, before, begun, checks)
        self._log_changes(checks)

    def _publish(
        self, snapshot: GuardSnapshot, before: object, begun: float, found: tuple[Check, ...], whole: bool = True
    ) -> bool:
        """Publish the report; False where the guard's state or a NIC changed since the probe began."""
        with self._lock:
            same = snapshot == self._snapshot
        if self._ended or snapshot.plan is None:
            return False
        if not same or before != self._nic_stamps(snapshot.plan):
            # Probe again: the change may have been read already.
            self._wake_up()
            return False
        findings = (*self._served, *self._findings)
        path_report.publish(snapshot.guard, snapshot.mode, snapshot.digest, begun, found, findings, whole)
        return True

    @staticmethod
    def _nic_stamps(plan: Plan) -> object:
        nics = (plan.interfaces.cluster, *uplinks_now(plan))
        return [(nic, proof.read_stamp(nic), proof.has_carrier(nic)) for nic in nics]

    # Probing

    def _probe_path(self, plan: Plan, snapshot: GuardSnapshot) -> tuple[Check, ...]:
        armed = snapshot.mode == "armed"
        self._path = None
        facts = read_route_facts() if plan.interfaces.follows_default_route else Facts()
        others = uplinks(plan, facts) if plan.interfaces.follows_default_route else ()
        plan = resolved(plan, facts)
        path, untried = path_plan.build_path(plan, self._turn, armed, self._macs, self._node_address)
        if path is None:
            return tuple(untried)
        self._node_address = IPAddress(int.from_bytes(path.own, "big"), version=4)
        try:
            injector = self._injector_for(path)
        except CannotInject as error:
            return (Check("path", FAILED, f"a node's path cannot be probed: {error.message}", error.remedy), *untried)
        found = [*probe_path(path, injector), *path_plan.check_routes(plan, path, self._turn, others)]
        if behind_portal():
            found = path_plan.with_portal(found)
        if not armed:
            found.append(Check("path-dhcp", UNTRIED, f"not tried: mute for now: {snapshot.reason}"))
        servers = read_resolver(str(plan.network.gateway)).servers
        found = [path_plan.resolver_verdict(f, servers) if f.name == "path-resolver" else f for f in found]
        self._path = path
        if not any(each.ok is False for each in found):
            # On a failure the same node and forwards are probed again.
            self._turn += 1
        names = [each.name for each in found]
        return (*found, *(each for each in untried if each.name not in names))

    def _forget_causes(self, found: tuple[Check, ...]) -> list[PathFault]:
        """Forget the causes of faults that are over; returns the faults whose cause has not been traced."""
        failed = [(each.name, each.detail) for each in found if each.ok is False]
        self._causes = {fault: cause for fault, cause in self._causes.items() if fault in failed}
        return [fault for fault in failed if fault not in self._causes]

    def _trace(self, faults: list[PathFault], snapshot: GuardSnapshot) -> None:
        """Trace which rule drops the frames of these faults. Once for each fault, as it takes 2.5 s."""
        path, injector = self._path, self._injector
        if not faults or path is None or injector is None:
            return
        traced: dict[str, DroppedPacket] = {}
        try:
            parts = path_tests_named(path, [name for name, _ in faults])
            traced = find_drop(parts, path, injector, snapshot.uid) if parts else {}
        except (WizardError, OSError) as error:
            log.info("what drops it could not be traced: %s", error)
        for fault in faults:
            self._causes[fault] = traced.get(fault[0])

    def _with_causes(self, found: tuple[Check, ...], snapshot: GuardSnapshot) -> tuple[Check, ...]:
        """The same checks; a failed one that was traced names the rule that drops its frames."""
        nic = snapshot.plan.interfaces.cluster if snapshot.plan is not None else ""

        def with_cause(each: Check) -> Check:
            fault = (each.name, each.detail)
            if each.ok is not False or fault not in self._causes:
                return each
            cause = self._causes[fault]
            if cause is None:
                return each if each.remedy else replace(each, remedy=_untraced_remedy())
            return replace(each, detail=f"{each.detail}: {cause.words()}", remedy=cause.remedy(nic))

        return tuple(map(with_cause, found))

    def _injector_for(self, path: NodePath) -> Injector:
        """The injector for these NICs, reused while they stay the same. Raises CannotInject."""
        into = {self._macs[0]: path.cluster}
        if path.corporate is not None:
            into[self._macs[1]] = path.corporate
        key = [(mac, link.index, link.name) for mac, link in into.items()]
        if self._injector is not None and self._injector_key == key:
            return self._injector
        if self._inject_failure is not None and time.monotonic() - self._inject_failure[0] < _INJECT_RETRY_S:
            raise CannotInject(self._inject_failure[1], self._inject_failure[2])
        self._close_injector()
        try:
            self._injector, self._injector_key = Injector(into), key
        except CannotInject as error:
            self._inject_failure = time.monotonic(), error.message, error.remedy
            raise
        self._inject_failure = None
        return self._injector

    def _close_injector(self) -> None:
        if self._injector is not None:
            self._injector.close()
        self._injector = self._injector_key = None

    def _log_changes(self, found: tuple[Check, ...]) -> None:
        """Log each check that has just failed, and each that works again."""
        before = {each.name: each.ok for each in self._checks}
        for each in found:
            if each.ok is False and before.get(each.name) is not False:
                log.warning("%s: %s", each.name, each.detail)
            elif each.ok and before.get(each.name) is False:
                log.info("%s works again: %s", each.name, each.detail)
        self._checks = found

    # The plan's rules against the machine

    def _plan_check_is_due(self) -> bool:
        now = resolver_fingerprint()
        if now != self._resolver_stamp:
            # Netlink does not announce it.
            self._resolver_stamp, self._plan_check_wanted = now, True
        age = time.monotonic() - self._plan_checked_at
        return age > (_CHECK_PLAN_NO_SOONER_S if self._plan_check_wanted else _CHECK_PLAN_EVERY_S)

    def _check_plan(self, plan: Plan) -> None:
        self._plan_checked_at, self._plan_check_wanted = time.monotonic(), False
        facts = read_facts({}, applied_cluster=plan.interfaces.cluster, our_pids=runtime_state.own_pids())
        found = tuple(failed_rules(plan, facts))
        for each in found:
            if each.name not in {old.name for old in self._findings}:
                log.warning("%s: %s", each.name, each.detail)
        self._findings = found


def failed_rules(plan: Plan, facts: Facts) -> list[Check]:
    """The errors that the rules find in a plan in force on the machine as it is now, as failed checks."""
    return [Check(f.code, FAILED, f.message.rstrip("."), f.remedy) for f in in_force.harmful_findings(plan, facts)]


def _untraced_remedy() -> str:
    """The remedy where the kernel's trace names no rule."""
    if (read_text("/proc/net/ip_tables_names") or "").strip():
        return "No chain of nftables drops it; iptables-legacy cannot be traced, see 'sudo iptables-legacy-save'."
    return f"No chain of nftables drops it. Look at {control.guard_log()} and {paths.DNSMASQ_LOG}."


def _open_request_pipe() -> int:
    path = path_report.REQUEST_PIPE
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
    os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
