"""What nodes boot over the network: who is armed, into dnsmasq's reservations and the packet filter, and the server.

`daemon.Guard` calls `supervise` in every turn of its loop, from its main thread. While DHCP is not armed there is no
server, and the packet filter holds back what it had still to send.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from wizard.deploy import tftp_root
from wizard.deploy.armed import change_armed, read_armed
from wizard.deploy.discovery_record import Discovery, read_discovery, read_raw_machines, write_raw_machines
from wizard.deploy.guard.supervised_process import SupervisedProcess
from wizard.deploy.images.loaders import refuse_links
from wizard.deploy.netboot_server import COMMAND, Fetched, read_log
from wizard.deploy.shapes import NetbootState, process_record
from wizard.host import processes
from wizard.host.commands import environment
from wizard.host.dhcp import dnsmasq
from wizard.host.files import read_text, write_atomic
from wizard.host.net import gateway_rules
from wizard.plan import paths
from wizard.plan.boot_options import boot_options
from wizard.plan.fields import format_mac
from wizard.plan.findings import WizardError
from wizard.plan.images import HTTP_PORT
from wizard.plan.lease_parser import parse_leases
from wizard.plan.model import AnswerPolicy, Plan
from wizard.plan.netboot import (
    ArmedNode,
    Stage,
    after_stages,
    dump_armed,
    raw_paths,
    still_planned,
    with_seeds_fetched,
    without,
)
from wizard.plan.raw_machines import MOST, RawMachine, added, reservation

log = logging.getLogger("ciao-gateway")

LOG_LIMIT = 1_000_000
_FILL_EVERY_S = 30.0
"""Somebody may have emptied the packet filter's set: nothing else compares it."""
_LINGERS_S = 30.0
"""The packet filter ends a discovery by itself this much later: dnsmasq has stopped answering by then."""
_Stamp = tuple[int, int, int] | None


class NetbootServer(SupervisedProcess):
    """The HTTP server, with a user of its own and no capability."""

    title = "the netboot server"
    ports = (("tcp", HTTP_PORT),)

    def start(self, gateway: str, uid: int) -> None:
        """Keep it running at the gateway's address. Never raises WizardError or OSError."""

        def spawn() -> subprocess.Popen[bytes]:
            lower = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
            lower += [f"--{kind}=-all" for kind in ("inh-caps", "ambient-caps", "bounding-set")] if uid else []
            words = [sys.executable, "-P", "-m", "wizard", COMMAND, gateway, str(HTTP_PORT), paths.NETBOOT_SERVED]
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            output = os.open(paths.NETBOOT_LOG, flags, 0o644)
            try:
                return subprocess.Popen(
                    ["setpriv", *lower, "--no-new-privs", "--pdeathsig=KILL", "--", *words],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.PIPE,
                    env=environment(),
                    cwd="/",
                )
            finally:
                os.close(output)

        self.keep_running(spawn)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        # It has nothing to save: a report is in its log before it is answered.
        process.kill()


class Netboot:
    """Keeps what is served in step with the record of the armed, and disarms who is done."""

    def __init__(self) -> None:
        self.server = NetbootServer()
        self.plan: Plan | None = None
        self.armed: tuple[ArmedNode, ...] = ()
        self.stamp: _Stamp = None
        self.loaded_at: float | None = None
        self.filled_at = 0.0
        self.wanted = True
        self.uid = 0
        self.read_to = 0
        self.follows_log = False
        self.seen: dict[str, set[Stage]] = {}
        self.failure = ""
        self.damage: WizardError | None = None
        self.stale: list[str] = []
        self.discovery: Discovery | None = None
        self.raw_heard: list[RawMachine] = []
        self.loaders: _Stamp = None
        self.loaders_safe = True

    def reload(self, plan: Plan) -> None:
        """Another plan is in force. Before dnsmasq starts: it reads the reservations that this writes.

        Raises WizardError, OSError.
        """
        # A plan without images had no set in the packet filter.
        self.plan, self.wanted, self.loaded_at = plan, True, None
        if plan.images:
            self.uid = dnsmasq.netboot_user_id()
            self._publish(plan)

    def supervise(self, process: processes.Process | None, serving: bool, rules_loaded_at: float) -> None:
        """`process`: dnsmasq's; `serving`: whether DHCP is armed; `rules_loaded_at` changes as rules are loaded.

        Never raises WizardError or OSError.
        """
        if self.plan is None or not self.plan.images:
            self.stop()
            if self.plan is not None:
                self._disarm_all()
            return
        try:
            discovery = read_discovery()
            if discovery != self.discovery:
                until = f"are shown a page until {discovery.ends}" if discovery else "get nothing"
                log.info("netboot: machines that are in no plan %s", until)
                self.discovery, self.wanted = discovery, True
            if self._disarm_done() or self.wanted or self._changed():
                if self._publish(self.plan):
                    dnsmasq.reload_hosts(process)
                self.loaded_at = None
            if self.loaded_at != rules_loaded_at or time.monotonic() > self.filled_at + _FILL_EVERY_S:
                gateway_rules.fill_netboot([(node.address, node.macs) for node in self.armed])
                left = self.looking.left_s + _LINGERS_S if self.looking else 0.0
                gateway_rules.fill_discovery(self.plan.interfaces.cluster, left)
                self.loaded_at, self.filled_at = rules_loaded_at, time.monotonic()
            self._note_raw(self.plan)
            self.failure = ""
        except (WizardError, OSError) as error:
            self.wanted = True
            if str(error) != self.failure:
                log.warning("netboot: %s", error)
            self.failure = str(error)
        if serving and (self.armed or self.looking) and not self.failure:
            self.server.start(str(self.plan.network.gateway), self.uid)
        else:
            self.server.stop()

    def _disarm_all(self) -> None:
        """Disarm everybody, where the plan has no images: a later one that has must not install what nobody expects."""
        stamp = _stamp(paths.ARMED)
        if stamp in (None, self.stamp):
            return
        with contextlib.suppress(WizardError, OSError):
            if nodes := read_armed():
                change_armed(lambda _: (), wait=False)
                log.info("netboot: the plan has no images; disarmed: %s", ", ".join(node.name for node in nodes))
            self.armed, self.stamp = (), _stamp(paths.ARMED)

    @property
    def looking(self) -> Discovery | None:
        return self.discovery if self.loaders_safe else None

    def _changed(self) -> bool:
        return self.stamp != _stamp(paths.ARMED) or self.loaders != _stamp(paths.BOOT_LOADERS)

    def stop(self) -> None:
        self.server.stop()

    def state(self) -> NetbootState:
        """Its part of the guard's state."""
        return {
            "process": process_record(self.server.identity),
            "armed": len(self.armed),
            "failure": self.damage.message if self.damage else self.failure or self.server.fails_now(),
            "remedy": self.damage.remedy if self.damage else "",
            "stale": self.stale,
        }

    def _publish(self, plan: Plan) -> bool:
        """Write what is served; whether dnsmasq is to read something again. Raises WizardError, OSError."""
        stamp = _stamp(paths.ARMED)
        try:
            recorded = read_armed()
        except WizardError as error:
            # Nobody is served by a record that cannot be read.
            log.warning("%s", error)
            recorded, self.damage = (), error
        else:
            self.damage = None
        self.loaders, self.loaders_safe = _stamp(paths.BOOT_LOADERS), True
        try:
            refuse_links()
        except WizardError as error:
            log.warning("netboot: %s", error)
            recorded, self.loaders_safe, self.damage = (), False, error
        armed = still_planned(plan, recorded)
        self.stale = [node.name for node in recorded if node not in armed]
        for name in self.stale:
            log.warning("netboot: %s is armed as it was in another plan; arm it again", name)
        raw = raw_paths(plan.network.gateway) if self.looking else {}
        write_atomic(paths.NETBOOT_SERVED, dump_armed(armed, raw).encode(), 0o640, (0, self.uid))
        tftp_root.lay_down(armed, for_strangers=bool(self.looking))
        known_only = plan.network.answer is AnswerPolicy.KNOWN
        strangers = reservation(known_only) if self.looking else ""
        told = {
            paths.NETBOOT_HOSTS: (read_text(dnsmasq.HOSTS) or "") + strangers,
            paths.NETBOOT_OPTIONS: boot_options(armed, plan.network.gateway, for_strangers=bool(self.looking)),
        }
        changed = {path: text for path, text in told.items() if read_text(path) != text}
        for path, text in changed.items():
            write_atomic(path, text.encode(), 0o644)
        if [node.name for node in armed] != [node.name for node in self.armed]:
            log.info("netboot: armed are %s", ", ".join(node.name for node in armed) or "no nodes")
        self.armed, self.stamp, self.wanted = armed, stamp, False
        return bool(changed)

    def _disarm_done(self) -> bool:
        """Disarm the nodes that have reported; whether there were any. Raises WizardError, OSError."""
        for each in self._new_lines():
            self._note(each)
            if each.raw is not None:
                self.raw_heard.append(each.raw)
        self._record_seeds()
        done = [node.name for node in self.armed if after_stages(node, self.seen.get(_key(node), ())) is None]
        if not done:
            return False
        change_armed(lambda nodes: without(nodes, done), wait=False)
        log.info("netboot: %s reported, and disarmed", ", ".join(done))
        return True

    def _note(self, each: Fetched) -> None:
        for node in self.armed:
            if each.stage and each.whole and each.node == node.name and each.source == node.address:
                # Armed again, it starts again.
                seen = self.seen.setdefault(_key(node), set())
                # The report of an installer that ran before it was armed again has no seed before it.
                if each.stage is not Stage.REPORTED or Stage.SEED in seen or not node.seeded:
                    seen.add(each.stage)

    def _record_seeds(self) -> None:
        """Keep that a node has its seed: what was seen is in memory, and so is its log. Raises WizardError, OSError."""
        got = {node.name for node in self.armed if node.seeded and Stage.SEED in self.seen.get(_key(node), ())}
        if got:
            change_armed(lambda nodes: with_seeds_fetched(nodes, got), wait=False)
            self.armed = with_seeds_fetched(self.armed, got)

    def _note_raw(self, plan: Plan) -> None:
        """Keep what machines said of themselves that have the MAC they say, and are in no plan."""
        said, self.raw_heard = self.raw_heard[-MOST:], []
        if not said or self.discovery is None:
            return
        leases = {each.ip: each.mac for each in parse_leases(read_text(paths.LEASES) or "")[0]}
        known = {format_mac(mac) for machine in plan.machines for mac in machine.macs}
        found = before = read_raw_machines()
        for each in said:
            if leases.get(each.address) == each.mac and each.mac not in known:
                found = added(found, each)
        if found != before:
            write_raw_machines(found)

    def _new_lines(self) -> list[Fetched]:
        try:
            fd = os.open(paths.NETBOOT_LOG, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            self.read_to, self.follows_log = 0, True
            return []
        try:
            size = os.fstat(fd).st_size
            self.read_to = min(self.read_to, size)
            text = os.pread(fd, size - self.read_to, self.read_to)
            whole = text[: text.rfind(b"\n") + 1]
            self.read_to += len(whole)
            if self.read_to == size > LOG_LIMIT and _cut_off(fd, size):
                self.read_to = 0
        finally:
            os.close(fd)
        lines = list(read_log(whole.decode("utf-8", "replace")))
        if not self.follows_log:
            # Of the guard before this one: what came before a node was armed is not told from what came after but by
            # the clock. From now on it may be set: a line that is missed would have a node installed twice.
            since = {node.name: node.since for node in self.armed}
            lines = [each for each in lines if _is_of_now(each, since)]
            self.follows_log = True
        return lines


def _cut_off(fd: int, size: int) -> bool:
    """Empty the log, which is in memory, unless the server has appended to it since it had this size."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    if os.fstat(fd).st_size != size:
        return False
    os.ftruncate(fd, 0)
    return True


def _key(node: ArmedNode) -> str:
    return f"{node.name} {node.since}"


def _is_of_now(each: Fetched, since: Mapping[str, str]) -> bool:
    try:
        # Written by this machine's clock, too.
        return each.node in since and each.at >= datetime.fromisoformat(since[each.node]).timestamp()
    except (ValueError, OverflowError):
        return False


def _stamp(path: str) -> _Stamp:
    try:
        status = Path(path).lstat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
