"""The guard's name server: the cluster's names from the plan and the leases, all others from this machine's resolver.

A dnsmasq without DHCP. It needs no arming and rests with nobody: names harm no other network.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from wizard.deploy.guard.port_conflicts import DNS_PORTS
from wizard.deploy.guard.preconditions import HOLDS, GuardVerdict, Identity, check_identity
from wizard.deploy.guard.supervised_process import SupervisedProcess
from wizard.deploy.shapes import NameServerState, process_record
from wizard.host.dhcp import dnsmasq
from wizard.host.facts import resolver
from wizard.host.facts.resolver import SystemResolver
from wizard.host.facts.udp_sockets import other_sockets_at
from wizard.host.files import read_text, write_atomic
from wizard.host.net import gateway_rules
from wizard.plan import names, paths
from wizard.plan.findings import WizardError
from wizard.plan.machine import Nic
from wizard.plan.model import Plan

log = logging.getLogger("ciao-gateway")

_LOOK_EVERY_S = 0.9
_LOST_S = 2.0
"""A file that is being written anew names nobody for a moment."""
_BESIDE_EVERY_S = 2.0


class NameServer(SupervisedProcess):
    """Our DNS server, and the files that it reads."""

    title = "the name server"
    log_file = paths.DNS_LOG
    ports = DNS_PORTS

    def __init__(self) -> None:
        super().__init__()
        self.plan: Plan | None = None
        self.conf = ""
        self.uid: int | None = None
        self.verdict = GuardVerdict(False, "starting", "starting")
        self.unwritten = HOLDS
        self.resolver = SystemResolver()
        self.looked_at = 0.0
        self.lost_since: float | None = None
        self.seen: object = None
        self.leases_seen: object = None
        self.texts: dict[str, str] = {}
        self.beside: set[int] = set()
        self.guarded_at = 0.0

    def reload(self, plan: Plan) -> None:
        """Go by the live files as they are now; `tend` brings it there: names by a signal, options by its end."""
        self.reset_backoff()
        self.plan, self.seen, self.leases_seen = plan, None, None
        self.uid = gateway_rules.guarded_uid(read_text(paths.LIVE_SCRIPT) or "")
        files = ("no-resolv", "no-poll", f"servers-file={paths.DNS_SERVERS}", f"addn-hosts={paths.DNS_NAMES}")
        self.conf = names.dns_options(read_text(dnsmasq.CONF) or "", files)
        self.looked_at = 0.0

    def supervise(self, identity: Identity, nics: Mapping[str, Nic]) -> None:
        """Have it run, and know what there is to know. Never raises. `nics` as they were last looked at."""
        plan, uid = self.plan, self.uid
        if plan is None or uid is None:
            return
        verdict = _still_the_nic(plan, identity, nics)
        if not verdict.ok:
            # It goes by the NIC's name, and that may be the office's by now.
            self.stop()
            self.verdict = verdict
            return
        try:
            self._look(plan)
        except (WizardError, OSError) as error:
            # It goes on with those that it has.
            self.looked_at = time.monotonic()
            self.unwritten = GuardVerdict(
                False, "could-not-look", f"the name server's files cannot be written: {error}"
            )

        def begin() -> subprocess.Popen[bytes]:
            dnsmasq.ensure_owned_file(paths.DNS_LOG, uid)
            return dnsmasq.spawn_dns(uid)

        verdict = self.keep_running(begin)
        self.verdict = self.unwritten if verdict.ok else verdict
        self._stand_by_the_address(str(plan.network.gateway))
        dnsmasq.trim_log(self.identity, paths.DNS_LOG)

    def _stand_by_the_address(self, gateway: str) -> None:
        """Whoever takes our address and port beside us (bind9 takes each address) gets all questions from then on. Who
        comes last gets them: let that be ours."""
        now = time.monotonic()
        if self.process is None or now - self.guarded_at < _BESIDE_EVERY_S:
            return
        self.guarded_at = now
        with contextlib.suppress(OSError):
            beside = other_sockets_at(self.process.pid, gateway, 53)
            if beside - self.beside:
                log.warning("another DNS server has come to %s; starting ours again, so that it is asked", gateway)
                self.stop()
                self.reset_backoff()
            self.beside = beside

    def state(self) -> NameServerState:
        """What the guard tells of it."""
        return {
            "dns": process_record(self.identity),
            "dns_reason": self.verdict.reason,
            "resolver": {"servers": list(self.resolver.servers), "reason": self.resolver.reason},
        }

    def _look(self, plan: Plan) -> None:
        now = time.monotonic()
        if now - self.looked_at < _LOOK_EVERY_S:
            return
        if self._write(paths.DNS_CONF, self.conf):
            self.stop()
        changed = self._look_at_leases(plan)
        # What was answered before the change may be wrong since, also where the servers are the same.
        changed = self._look_at_resolver(plan, now) or changed
        self.looked_at, self.unwritten = now, HOLDS
        if changed:
            dnsmasq.reload_hosts(self.identity)

    def _look_at_leases(self, plan: Plan) -> bool:
        seen = _stamp(paths.LEASES)
        if self.leases_seen is not None and seen == self.leases_seen:
            return False
        text = names.hosts(plan, read_text(paths.LEASES) or "", time.time())
        changed = self._write(paths.DNS_NAMES, text)
        self.leases_seen = seen
        return changed

    def _look_at_resolver(self, plan: Plan, now: float) -> bool:
        seen = resolver.fingerprint()
        if seen == self.seen and self.lost_since is None:
            return False
        found = resolver.read_resolver(str(plan.network.gateway))
        if not found.servers and self.resolver.servers:
            self.lost_since = self.lost_since or now
            if now - self.lost_since < _LOST_S:
                return False
        self.lost_since = None
        if found != self.resolver or self.seen is None:
            log.info("names of others are asked of: %s", ", ".join(found.servers) or f"nobody ({found.reason})")
        self._write(paths.DNS_SERVERS, names.servers_file(found.servers))
        self.seen, self.resolver = seen, found
        return True

    def _write(self, path: str, text: str) -> bool:
        """Write a file that is not so yet; whether it was."""
        if self.texts.get(path) == text and Path(path).exists():
            return False
        write_atomic(path, text.encode(), 0o644)
        self.texts[path] = text
        return True


def _still_the_nic(plan: Plan, identity: Identity, nics: Mapping[str, Nic]) -> GuardVerdict:
    verdict = check_identity(plan, identity, nics)
    cluster = plan.interfaces.cluster
    if not verdict.ok:
        return GuardVerdict(False, verdict.code, verdict.reason)
    try:
        index = socket.if_nametoindex(cluster)
    except OSError:
        index = 0
    return HOLDS if index == nics[cluster].index else GuardVerdict(False, "changing", f"{cluster} is changing")


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        seen = Path(path).lstat()
    except OSError:
        return None
    return seen.st_ino, seen.st_size, seen.st_mtime_ns
