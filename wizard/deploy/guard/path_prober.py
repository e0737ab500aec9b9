"""The guard's walker: proves again and again what a node would meet here, and that the plan still fits this machine.

In a thread of its own: a walk waits for answers, and nothing that mutes may wait.
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
from wizard.deploy.shapes import ProcessRecord
from wizard.host.facts.reader import read_facts
from wizard.host.facts.resolver import fingerprint as resolver_fingerprint
from wizard.host.facts.resolver import read_resolver
from wizard.host.files import read_text
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

log = logging.getLogger("ciao-gateway")

EVERY_S = 6.0
_NO_SOONER_S = 0.5
_JUDGE_EVERY_S, _JUDGE_NO_SOONER_S = 30.0, 1.0
_INJECT_AGAIN_S = 10.0
_END_S = 1.0

PathFault = tuple[str, str]
"""A part's name and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class GuardSnapshot:
    """What the guard says of itself; a walk is for one of these."""

    plan: Plan | None = None
    digest: str = ""
    mode: str = ""
    reason: str = ""
    uid: int = 0
    guard: ProcessRecord | None = None


class PathProber(threading.Thread):
    """`stands` and `end` are for the guard's thread, everything else is this one's own."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="path")
        self._lock = threading.Lock()
        self._stand = GuardSnapshot()
        self._wake, self._waker = socket.socketpair()
        for end in (self._wake, self._waker):
            end.setblocking(False)
        self._ended = False
        self._injector: Injector | None = None
        self._injects: object = None
        self._cannot: tuple[float, str, str] | None = None
        self._turn = 0
        self._way: NodePath | None = None
        self._own: IPAddress | None = None
        self._causes: dict[PathFault, DroppedPacket | None] = {}
        self._found: tuple[Check, ...] = ()
        self._findings: tuple[Check, ...] = ()
        self._resolver_stamp: object = None
        self._judged_at = 0.0
        self._judge_wanted = True
        self._macs = (synthetic_mac(), synthetic_mac())

    # For the guard

    def guard_changed(self, stand: GuardSnapshot) -> None:
        """Take note of what the guard says now; what changed is walked at once."""
        with self._lock:
            if stand == self._stand:
                return
            self._stand = stand
        self._poke()

    def end(self) -> None:
        self._ended = True
        self._poke()
        if self.is_alive():
            # What it waits for ends with the process.
            self.join(_END_S)
        for name in (path_report.PATH, Path(path_report.REQUEST_PIPE).name):
            with contextlib.suppress(OSError):
                runtime_state.remove(name)

    def _poke(self) -> None:
        with contextlib.suppress(OSError):
            self._waker.send(b"w")

    # The thread

    def run(self) -> None:
        """Walk until told to end."""
        news = NetlinkEvents()
        wishes = _open_wishes()
        try:
            with contextlib.suppress(WizardError):
                remove_stray()
                remove_trace()
            while not self._ended:
                begun = time.monotonic()
                try:
                    self._turn_once()
                except (WizardError, OSError) as error:
                    log.warning("a node's path could not be walked: %s", error)
                self._wait(news, wishes, begun)
        finally:
            self._drop_injector()
            news.close()
            os.close(wishes)

    def _wait(self, news: NetlinkEvents, wishes: int, begun: float) -> None:
        """Until it is time for the next walk, or something may have changed."""
        while not self._ended:
            left = begun + EVERY_S - time.monotonic()
            if left <= 0:
                return
            watched: list[Any] = [*news.sockets(), self._wake, wishes]
            select.select(watched, [], [], left)
            heard = self._drain(news, wishes)
            if heard:
                # A change has others in its train.
                soon = begun + _NO_SOONER_S - time.monotonic()
                if soon > 0 and not self._ended:
                    time.sleep(soon)
                return

    def _drain(self, news: NetlinkEvents, wishes: int) -> bool:
        """Whether anything was told since the last time."""
        told = False
        with contextlib.suppress(OSError):
            told = bool(self._wake.recv(65536))
        with contextlib.suppress(OSError):
            told = bool(os.read(wishes, 65536)) or told
        heard = news.drain()
        if heard & (NetlinkChange.LINKS | NetlinkChange.ADDRESSES):
            self._judge_wanted = True
        return told or heard is not NetlinkChange.NOTHING

    def _turn_once(self) -> None:
        with self._lock:
            stand = self._stand
        if stand.plan is None or stand.mode not in ("armed", "muted"):
            return
        begun = runtime_state.boottime()
        before = self._world(stand.plan)
        found = self._walk(stand.plan, stand)
        unnamed = self._forget_causes(found)
        if not self._tell(stand, before, begun, self._named(found, stand), whole=not unnamed):
            return
        if self._judge_is_due():
            self._judge(stand.plan)
            self._tell(stand, before, begun, self._named(found, stand), whole=not unnamed)
        # That takes longest, and nobody's verdict depends on it.
        self._trace(unnamed, stand)
        named = self._named(found, stand)
        if unnamed:
            self._tell(stand, before, begun, named)
        self._say(named)

    def _tell(
        self, stand: GuardSnapshot, before: object, begun: float, found: tuple[Check, ...], whole: bool = True
    ) -> bool:
        """Tell everyone, unless the machine is no longer what was walked."""
        with self._lock:
            same = stand == self._stand
        if self._ended or stand.plan is None:
            return False
        if not same or before != self._world(stand.plan):
            # What changed it has woken us already, or will.
            self._poke()
            return False
        path_report.publish(stand.guard, stand.mode, stand.digest, begun, found, self._findings, whole)
        return True

    @staticmethod
    def _world(plan: Plan) -> object:
        nics = (plan.interfaces.cluster, plan.interfaces.corporate)
        return [(proof.read_stamp(nic), proof.has_carrier(nic)) for nic in nics]

    # Walking

    def _walk(self, plan: Plan, stand: GuardSnapshot) -> tuple[Check, ...]:
        armed = stand.mode == "armed"
        self._way = None
        way, untried = path_plan.build_path(plan, self._turn, armed, self._macs, self._own)
        if way is None:
            return tuple(untried)
        self._own = IPAddress(int.from_bytes(way.own, "big"), version=4)
        try:
            injector = self._injector_for(way)
        except CannotInject as error:
            return (Check("path", FAILED, f"a node's path cannot be walked: {error.message}", error.remedy), *untried)
        found = [*probe_path(way, injector), *path_plan.check_routes(plan, way, self._turn)]
        if not armed:
            found.append(Check("path-dhcp", UNTRIED, f"not tried: mute for now: {stand.reason}"))
        servers = read_resolver(str(plan.network.gateway)).servers
        found = [path_plan.resolver_verdict(f, servers) if f.name == "path-resolver" else f for f in found]
        self._way = way
        if not any(each.ok is False for each in found):
            # Whoever is not served is looked at until he is.
            self._turn += 1
        order = [each.name for each in found]
        return (*found, *(each for each in untried if each.name not in order))

    def _forget_causes(self, found: tuple[Check, ...]) -> list[PathFault]:
        """Faults of which nobody has looked yet who drops what is sent; what is over is forgotten."""
        failed = [(each.name, each.detail) for each in found if each.ok is False]
        self._causes = {fault: cause for fault, cause in self._causes.items() if fault in failed}
        return [fault for fault in failed if fault not in self._causes]

    def _trace(self, faults: list[PathFault], stand: GuardSnapshot) -> None:
        """Look who drops it, once for every fault: it takes long."""
        way, injector = self._way, self._injector
        if not faults or way is None or injector is None:
            return
        traced: dict[str, DroppedPacket] = {}
        try:
            parts = path_tests_named(way, [name for name, _ in faults])
            traced = find_drop(parts, way, injector, stand.uid) if parts else {}
        except (WizardError, OSError) as error:
            log.info("who drops it could not be seen: %s", error)
        for fault in faults:
            self._causes[fault] = traced.get(fault[0])

    def _named(self, found: tuple[Check, ...], stand: GuardSnapshot) -> tuple[Check, ...]:
        """The same, with who drops what does not get through."""
        nic = stand.plan.interfaces.cluster if stand.plan is not None else ""

        def with_cause(each: Check) -> Check:
            fault = (each.name, each.detail)
            if each.ok is not False or fault not in self._causes:
                return each
            cause = self._causes[fault]
            if cause is None:
                return each if each.remedy else replace(each, remedy=_nobody_named())
            return replace(each, detail=f"{each.detail}: {cause.words()}", remedy=cause.remedy(nic))

        return tuple(map(with_cause, found))

    def _injector_for(self, way: NodePath) -> Injector:
        """Raises CannotInject."""
        into = {self._macs[0]: way.cluster}
        if way.corporate is not None:
            into[self._macs[1]] = way.corporate
        key = [(mac, link.index, link.name) for mac, link in into.items()]
        if self._injector is not None and self._injects == key:
            return self._injector
        if self._cannot is not None and time.monotonic() - self._cannot[0] < _INJECT_AGAIN_S:
            raise CannotInject(self._cannot[1], self._cannot[2])
        self._drop_injector()
        try:
            self._injector, self._injects = Injector(into), key
        except CannotInject as error:
            self._cannot = time.monotonic(), error.message, error.remedy
            raise
        self._cannot = None
        return self._injector

    def _drop_injector(self) -> None:
        if self._injector is not None:
            self._injector.close()
        self._injector = self._injects = None

    def _say(self, found: tuple[Check, ...]) -> None:
        """Write what came to be wrong, and what works again, into the log."""
        before = {each.name: each.ok for each in self._found}
        for each in found:
            if each.ok is False and before.get(each.name) is not False:
                log.warning("%s: %s", each.name, each.detail)
            elif each.ok and before.get(each.name) is False:
                log.info("%s works again: %s", each.name, each.detail)
        self._found = found

    # The plan against the machine

    def _judge_is_due(self) -> bool:
        now = resolver_fingerprint()
        if now != self._resolver_stamp:
            # The kernel does not tell of it.
            self._resolver_stamp, self._judge_wanted = now, True
        gone = time.monotonic() - self._judged_at
        return gone > (_JUDGE_NO_SOONER_S if self._judge_wanted else _JUDGE_EVERY_S)

    def _judge(self, plan: Plan) -> None:
        self._judged_at, self._judge_wanted = time.monotonic(), False
        facts = read_facts({}, applied_cluster=plan.interfaces.cluster, our_pids=runtime_state.own_pids())
        found = tuple(against(plan, facts))
        for each in found:
            if each.name not in {old.name for old in self._findings}:
                log.warning("%s: %s", each.name, each.detail)
        self._findings = found


def against(plan: Plan, facts: Facts) -> list[Check]:
    """What the rules hold against a plan in force on the machine as it is now, as failed parts."""
    return [Check(f.code, FAILED, f.message.rstrip("."), f.remedy) for f in in_force.harmful_findings(plan, facts)]


def _nobody_named() -> str:
    """What to do where the kernel's trace names nobody."""
    if (read_text("/proc/net/ip_tables_names") or "").strip():
        return "No chain of nftables drops it; iptables-legacy tells nobody what it does: sudo iptables-legacy-save."
    return f"No chain of nftables drops it. Look at {control.SERVE_LOG} and {paths.DNSMASQ_LOG}."


def _open_wishes() -> int:
    path = path_report.REQUEST_PIPE
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
    os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
