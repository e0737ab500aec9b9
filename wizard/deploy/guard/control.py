"""Controls the guard from outside: starts, reloads and stops it, and waits until it serves.

Called in the engine's processes by the step "gateway", its undo and partial resets; the guard itself, verification and
`status` use its fingerprints and lists of processes.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import wizard
from wizard.deploy import failpoints, runtime_state
from wizard.deploy.guard import metrics_file
from wizard.deploy.shapes import GuardState
from wizard.host import muter_process, processes, systemd
from wizard.host.commands import detach
from wizard.host.dhcp import dnsmasq
from wizard.host.files import make_directory, read_text, write_atomic
from wizard.host.net import gateway_rules
from wizard.host.path import injection, trace
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.render import File, render_service
from wizard.plan.text import clean

SERVE_LOG = f"{paths.RUN}/serve.log"
RUNTIME_UNIT = f"/run/systemd/system/{paths.SERVICE_NAME}"
_PATIENCE_S = 20.0
_DYING_S = 5.0
_START_FORKS = 3
# Codes of a muted guard that are no fault of the configuration: it serves as soon as they are over.
MUTE_WITHOUT_FAULT = ("no-carrier", "unproven")


def serve_command() -> list[str]:
    return [sys.executable, "-P", "-m", "wizard", runtime_state.GUARD_COMMAND]


def service_unit() -> File:
    return render_service(serve_command())


@functools.cache
def program_fingerprint() -> str:
    """SHA-256 over the program's files (path, size, mtime) as this process first saw them: it changes by an upgrade."""
    files = sorted(Path(wizard.__file__).parent.rglob("*.py"))
    parts = [f"{file} {info.st_size} {info.st_mtime_ns}" for file in files for info in (file.stat(),)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def start_or_reload() -> float:
    """Start the guard where none runs, reload it, or restart it where it runs another version of the program.

    Returns the boottime (s) from before, for the wait functions. Raises WizardError.
    """
    guard = runtime_state.running_guard()
    if guard is None:
        return start()
    if guard.get("program") == program_fingerprint():
        return reload()
    stop()
    return start()


def configuration_fingerprint() -> str:
    """SHA-256 over the live configuration: the `digest` in serve.json says which one the guard serves."""
    files = (dnsmasq.CONF, dnsmasq.HOSTS, paths.LIVE_PLAN, paths.LIVE_IDENTITY)
    parts = [read_text(file) or "" for file in files]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def prepare_runtime(uid: int) -> None:
    make_directory(Path(paths.LIVE))
    dnsmasq.prepare(uid)
    dnsmasq.check(dnsmasq.CONF)


def start() -> float:
    """Start the guard: as a systemd service where systemd runs, else detached.

    Returns the boottime (s) from before. Raises WizardError.
    """
    moment = runtime_state.boottime()
    runtime_state.remove(runtime_state.GUARD_STATE)
    if systemd.running():
        if not Path(paths.SERVICE_FILE).exists():
            make_directory(Path(RUNTIME_UNIT).parent)
            write_atomic(RUNTIME_UNIT, service_unit().text.encode(), 0o644)
        systemd.start(paths.SERVICE_NAME)
    else:
        detach(serve_command(), SERVE_LOG)
    failpoints.hit("guard-starting")
    return moment


def reload() -> float:
    """Have the guard reload the live files (SIGHUP): reservations at once, options by a restart of dnsmasq.

    Returns the boottime (s) from before, for the wait functions.
    """
    moment = runtime_state.boottime()
    guard = runtime_state.running_guard()
    process = processes.from_json(guard.get("process")) if guard else None
    processes.send(process, signal.SIGHUP, runtime_state.GUARD_COMMAND)
    return moment


def wait_until_armed(since: float, patience: float = _PATIENCE_S) -> str:
    """Wait until the guard has loaded the live configuration after `since` (boottime in s) and serves it.

    Returns its mode for people. Raises WizardError with the guard's reason where it trips, fails or takes too long.
    """
    wanted = configuration_fingerprint()
    deadline = time.monotonic() + patience
    reason = "the guard did not start"
    dying_since = math.inf
    while time.monotonic() < deadline:
        guard = runtime_state.running_guard()
        if _has_loaded(guard, wanted, since) and guard is not None:
            reason = str(guard.get("reason") or reason)
            if guard.get("mode") == "armed":
                return "armed"
            if guard.get("code") in MUTE_WITHOUT_FAULT:
                return f"mute for now: {reason}"
            if guard.get("mode") == "tripped" or guard.get("code") == "nic-gone":
                break
            if guard.get("code") == "dnsmasq-dies":
                dying_since = min(dying_since, time.monotonic())
            if time.monotonic() - dying_since > _DYING_S:
                break
        guard = runtime_state.read_guard_state()
        if guard is not None and guard.get("mode") == "failed":
            reason = str(guard.get("reason"))
            break
        time.sleep(0.05)
    raise WizardError(f"the gateway does not serve: {reason}", _last_words())


def guard_log() -> str:
    """Where the guard's log is: a file under /run, or the command that shows systemd's journal of it."""
    return f"'journalctl -u {paths.SERVICE_NAME}'" if systemd.running() else SERVE_LOG


def _logs() -> dict[str, str]:
    return {guard_log(): "guard", paths.DNSMASQ_LOG: "DHCP server", paths.DNS_LOG: "name server"}


def _last_words() -> str:
    lines = [said for log, who in _logs().items() if (said := _last_said(log, who))]
    return " ".join(lines) or f"Its log is {guard_log()}."


def with_log_excerpts(text: str) -> str:
    """The text, with the last lines of each log of ours that it names: a rollback removes those logs."""
    for log, who in _logs().items():
        if log not in text:
            continue
        said = _last_said(log, who)
        text = text.replace(f"Its log is {log}.", "") if Path(log).is_absolute() else text
        text = f"{text} {said}"
    return " ".join(text.split())


def _last_said(log: str, who: str) -> str:
    tail = dnsmasq.log_tail(log) if Path(log).is_absolute() else systemd.log_tail(paths.SERVICE_NAME)
    words = clean(tail, 400).rstrip(".")
    return f"The {who} last said: {words}." if words else ""


def _has_loaded(guard: GuardState | None, wanted: str, since: float) -> bool:
    return guard is not None and guard.get("digest") == wanted and float(guard.get("taken_up") or 0) >= since


def wait_until_loaded(since: float, patience: float = _PATIENCE_S) -> None:
    """Wait until the guard has loaded the live configuration, armed or not. Raises WizardError where it does not."""
    deadline = time.monotonic() + patience
    # Fingerprinted in each turn: a starting guard may just be copying the live files from /etc.
    while not _has_loaded(runtime_state.running_guard(), configuration_fingerprint(), since):
        if time.monotonic() > deadline:
            raise WizardError("the guard does not load its configuration", _last_words())
        time.sleep(0.05)


def stop() -> None:
    """End the guard, the muter and our dnsmasq; their ports are free when this returns. Raises WizardError."""
    guard = runtime_state.read_guard_state() or GuardState()
    if systemd.running():
        systemd.stop(paths.SERVICE_NAME)
    gateway_rules.disarm()
    gone = processes.stop(processes.from_json(guard.get("process")), runtime_state.GUARD_COMMAND)
    # A starting guard has not written serve.json yet, and forks as it starts.
    for _ in range(_START_FORKS):
        for starting in _ours_by_command_line(lambda line: line[-4:] == serve_command()[-4:]):
            gone = processes.stop(starting, runtime_state.GUARD_COMMAND) and gone
    for server in (guard.get("dnsmasq"), guard.get("dns")):
        gone = processes.stop(processes.from_json(server), paths.LIVE) and gone
    for stray in stray_servers():
        gone = processes.stop(stray, paths.LIVE) and gone
    for muter in _ours_by_command_line(lambda line: muter_process.__name__ in line):
        # A suspended muter does not notice that its guard has ended.
        gone = processes.stop(muter, muter_process.__name__, patience=0.2) and gone
    if not gone:
        raise WizardError("dnsmasq or its guard does not end", "Look at 'ciao-wizard status' and the process list.")
    for writer in _ours_by_command_line(metrics_file.is_writer):
        processes.stop(writer, metrics_file.WRITER_COMMAND, patience=1)
    metrics_file.remove_noted()
    injection.remove_stray()
    trace.remove_stray()
    runtime_state.remove(runtime_state.GUARD_STATE)


def stray_servers() -> list[processes.Process]:
    """dnsmasq processes with our configuration on their command line, whoever started them."""
    confs = {f"--conf-file={conf}" for conf in dnsmasq.CONFS}
    return _ours_by_command_line(lambda line: Path(line[0]).name == "dnsmasq" and not confs.isdisjoint(line))


def _ours_by_command_line(is_ours: Callable[[list[str]], bool]) -> list[processes.Process]:
    """Processes in our own namespaces whose command line `is_ours`; a laboratory's run in others."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        line = processes.command_line(int(entry.name))
        if line and is_ours(line) and _namespaces(entry.name) == _namespaces("self"):
            process = processes.identify(int(entry.name))
            if process is not None:
                found.append(process)
    return found


def _namespaces(pid: str) -> list[str]:
    try:
        return [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("pid", "net")]
    except OSError:
        return []


def remove_runtime_files() -> None:
    """Remove the guard's files and its unit under /run."""
    for directory in (paths.LIVE, paths.DNSMASQ_RUN):
        # The undo of the rules, the address and the proof needs these, and removes them.
        keep = {"nat.sh", "interfaces", "address", "proof.json"} if directory == paths.LIVE else set()
        if Path(directory).is_symlink():
            # Nothing in the link's target is ours.
            Path(directory).unlink()
            continue
        for entry in Path(directory).glob("*"):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name not in keep:
                entry.unlink()
    shutil.rmtree(paths.DNSMASQ_RUN, ignore_errors=True)
    logs = (paths.DNSMASQ_LOG, paths.DNS_LOG, paths.NETBOOT_LOG)
    for name in (*logs, *(f"{log}.1" for log in logs), SERVE_LOG, paths.DISCOVERY, paths.RAW_MACHINES):
        Path(name).unlink(missing_ok=True)
    if Path(RUNTIME_UNIT).exists():
        Path(RUNTIME_UNIT).unlink()
        systemd.reload()
