"""The name server: a dnsmasq without DHCP, for the cluster's names and, by way of this machine's resolver, all others.

A child of the guard; `daemon.Guard` calls `supervise` in every turn of its loop. It runs whether DHCP is armed, muted
or tripped, as names harm no other network.
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

_UPDATE_EVERY_S = 0.9
_LOST_S = 2.0
"""How long a resolver without servers is ignored: a resolv.conf that is being rewritten is empty for a moment."""
_OTHERS_CHECK_EVERY_S = 2.0


class NameServer(SupervisedProcess):
    """Our DNS server, and the files that it reads. `verdict`: whether it runs on files that are up to date."""

    title = "the name server"
    log_file = paths.DNS_LOG
    ports = DNS_PORTS

    def __init__(self) -> None:
        super().__init__()
        self.plan: Plan | None = None
        self.conf = ""
        self.uid: int | None = None
        self.verdict = GuardVerdict(False, "starting", "starting")
        self.files_verdict = HOLDS
        self.resolver = SystemResolver()
        self.updated_at = 0.0
        self.lost_since: float | None = None
        self.resolver_stamp: object = None
        self.leases_stamp: object = None
        self.texts: dict[str, str] = {}
        self.other_pids: set[int] = set()
        self.others_checked_at = 0.0

    def reload(self, plan: Plan) -> None:
        """Read the live files; the next `supervise` applies them: names by SIGHUP, options by a restart."""
        self.reset_backoff()
        self.plan, self.resolver_stamp, self.leases_stamp = plan, None, None
        self.uid = gateway_rules.guarded_uid(read_text(paths.LIVE_SCRIPT) or "")
        files = ("no-resolv", "no-poll", f"servers-file={paths.DNS_SERVERS}", f"addn-hosts={paths.DNS_NAMES}")
        self.conf = names.dns_options(read_text(dnsmasq.CONF) or "", [*names.record_options(plan), *files])
        self.updated_at = 0.0

    def supervise(self, identity: Identity, nics: Mapping[str, Nic]) -> None:
        """Keep it running on current files. `nics`: as last inspected. Never raises WizardError or OSError."""
        plan, uid = self.plan, self.uid
        if plan is None or uid is None:
            return
        verdict = _check_cluster_nic(plan, identity, nics)
        if not verdict.ok:
            # It binds by the NIC's name, which may belong to the corporate NIC by now.
            self.stop()
            self.verdict = verdict
            return
        try:
            self._update_files(plan)
        except (WizardError, OSError) as error:
            # It keeps running on the files that it has.
            self.updated_at = time.monotonic()
            self.files_verdict = GuardVerdict(
                False, "could-not-look", f"the name server's files cannot be written: {error}"
            )

        def begin() -> subprocess.Popen[bytes]:
            dnsmasq.ensure_owned_file(paths.DNS_LOG, uid)
            return dnsmasq.spawn_dns(uid)

        verdict = self.keep_running(begin)
        self.verdict = self.files_verdict if verdict.ok else verdict
        self._rebind_if_shadowed(str(plan.network.gateway))
        dnsmasq.trim_log(self.identity, paths.DNS_LOG)

    def _rebind_if_shadowed(self, gateway: str) -> None:
        """Restart ours where another server binds our address and port too (bind9 binds each address).

        The kernel delivers queries to the socket that was bound last, so ours must be that one.
        """
        now = time.monotonic()
        if self.process is None or now - self.others_checked_at < _OTHERS_CHECK_EVERY_S:
            return
        self.others_checked_at = now
        with contextlib.suppress(OSError):
            others = other_sockets_at(self.process.pid, gateway, 53)
            if others - self.other_pids:
                log.warning("another DNS server has come to %s; starting ours again, so that it is asked", gateway)
                self.stop()
                self.reset_backoff()
            self.other_pids = others

    def state(self) -> NameServerState:
        """Its part of serve.json."""
        return {
            "dns": process_record(self.identity),
            "dns_reason": self.verdict.reason,
            "resolver": {"servers": list(self.resolver.servers), "reason": self.resolver.reason},
        }

    def _update_files(self, plan: Plan) -> None:
        now = time.monotonic()
        if now - self.updated_at < _UPDATE_EVERY_S:
            return
        if self._write(paths.DNS_CONF, self.conf):
            self.stop()
        changed = self._update_names(plan)
        # A reload drops the cache too, which may be wrong after a change even where the servers stay the same.
        changed = self._update_resolver(plan, now) or changed
        self.updated_at, self.files_verdict = now, HOLDS
        if changed:
            dnsmasq.reload_hosts(self.identity)

    def _update_names(self, plan: Plan) -> bool:
        stamp = _stamp(paths.LEASES)
        if self.leases_stamp is not None and stamp == self.leases_stamp:
            return False
        text = names.hosts(plan, read_text(paths.LEASES) or "", time.time())
        changed = self._write(paths.DNS_NAMES, text)
        self.leases_stamp = stamp
        return changed

    def _update_resolver(self, plan: Plan, now: float) -> bool:
        stamp = resolver.fingerprint()
        if stamp == self.resolver_stamp and self.lost_since is None:
            return False
        found = resolver.read_resolver(str(plan.network.gateway))
        if not found.servers and self.resolver.servers:
            self.lost_since = self.lost_since or now
            if now - self.lost_since < _LOST_S:
                return False
        self.lost_since = None
        if found != self.resolver or self.resolver_stamp is None:
            log.info("other names are resolved by: %s", ", ".join(found.servers) or f"no server ({found.reason})")
        self._write(paths.DNS_SERVERS, names.servers_file(found.servers, plan.dns))
        self.resolver_stamp, self.resolver = stamp, found
        return True

    def _write(self, path: str, text: str) -> bool:
        """Write the file unless it has this text already; whether it was written. Raises WizardError, OSError."""
        if self.texts.get(path) == text and Path(path).exists():
            return False
        write_atomic(path, text.encode(), 0o644)
        self.texts[path] = text
        return True


def _check_cluster_nic(plan: Plan, identity: Identity, nics: Mapping[str, Nic]) -> GuardVerdict:
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
        status = Path(path).lstat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
