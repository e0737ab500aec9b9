"""Starting, reloading and ending the guard, seen from the engine."""

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
_RUNTIME_UNIT = f"/run/systemd/system/{paths.SERVICE_NAME}"
_PATIENCE_S = 20.0
_DYING_S = 5.0
_START_FORKS = 3
# Reasons to be mute that are no fault of the configuration: served as soon as they are over.
MUTE_WITHOUT_FAULT = ("no-carrier", "unproven")


def serve_command() -> list[str]:
    return [sys.executable, "-P", "-m", "wizard", runtime_state.GUARD_COMMAND]


def service_unit() -> File:
    return render_service(serve_command())


@functools.cache
def program_fingerprint() -> str:
    """A fingerprint of the program that this process began with, by which an upgrade is told."""
    files = sorted(Path(wizard.__file__).parent.rglob("*.py"))
    told = [f"{file} {info.st_size} {info.st_mtime_ns}" for file in files for info in (file.stat(),)]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()


def start_or_reload() -> float:
    """Start the guard, have it take up the live files, or start it anew where it runs another program than this one.

    The moment (boottime) before, for the wait functions.
    """
    told = runtime_state.running_guard()
    if told is None:
        return start()
    if told.get("program") == program_fingerprint():
        return reload()
    stop()
    return start()


def configuration_fingerprint() -> str:
    """A fingerprint of the live configuration, by which the guard says which one it serves."""
    files = (dnsmasq.CONF, dnsmasq.HOSTS, paths.LIVE_PLAN, paths.LIVE_IDENTITY)
    parts = [read_text(file) or "" for file in files]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def prepare_runtime(uid: int) -> None:
    make_directory(Path(paths.LIVE))
    dnsmasq.prepare(uid)
    dnsmasq.check(dnsmasq.CONF)


def start() -> float:
    """Start the guard: as a systemd service where systemd runs, else detached. The moment (boottime) before."""
    moment = runtime_state.boottime()
    runtime_state.remove(runtime_state.GUARD_STATE)
    if systemd.running():
        if not Path(paths.SERVICE_FILE).exists():
            make_directory(Path(_RUNTIME_UNIT).parent)
            write_atomic(_RUNTIME_UNIT, service_unit().text.encode(), 0o644)
        systemd.start(paths.SERVICE_NAME)
    else:
        detach(serve_command(), SERVE_LOG)
    failpoints.hit("guard-starting")
    return moment


def reload() -> float:
    """Have the guard take up the live files: reservations at once, options by a restart of dnsmasq.

    The moment (boottime) before, for the wait functions.
    """
    moment = runtime_state.boottime()
    told = runtime_state.running_guard()
    process = processes.from_json(told.get("process")) if told else None
    processes.send(process, signal.SIGHUP, runtime_state.GUARD_COMMAND)
    return moment


def wait_until_armed(since: float, patience: float = _PATIENCE_S) -> str:
    """Wait until the guard has taken up the live configuration after `since` and serves it; in words what it does.

    Raises WizardError with the guard's reason where it does not come to that.
    """
    wanted = configuration_fingerprint()
    deadline = time.monotonic() + patience
    reason = "the guard did not start"
    dying_since = math.inf
    while time.monotonic() < deadline:
        told = runtime_state.running_guard()
        if _taken_up(told, wanted, since) and told is not None:
            reason = str(told.get("reason") or reason)
            if told.get("mode") == "armed":
                return "armed"
            if told.get("code") in MUTE_WITHOUT_FAULT:
                return f"mute for now: {reason}"
            if told.get("mode") == "tripped" or told.get("code") == "nic-gone":
                break
            if told.get("code") == "dnsmasq-dies":
                dying_since = min(dying_since, time.monotonic())
            if time.monotonic() - dying_since > _DYING_S:
                break
        told = runtime_state.read_guard_state()
        if told is not None and told.get("mode") == "failed":
            reason = str(told.get("reason"))
            break
        time.sleep(0.05)
    raise WizardError(f"the gateway does not serve: {reason}", _last_words())


_LOGS = {SERVE_LOG: "guard", paths.DNSMASQ_LOG: "DHCP server", paths.DNS_LOG: "name server"}


def _last_words() -> str:
    said = [f"The {who} last said: {words}." for log, who in _LOGS.items() if (words := _end_of(log))]
    return " ".join(said) or f"Its log is {SERVE_LOG}."


def with_log_excerpts(text: str) -> str:
    """A text, and the last words of each log of ours that it names: by the time that somebody reads it a rollback may
    have removed them."""
    for log, who in _LOGS.items():
        if log in text and (words := _end_of(log)):
            text += f" The {who} last said: {words}."
    return text


def _end_of(log: str) -> str:
    return clean(dnsmasq.log_tail(log), 400).rstrip(".")


def _taken_up(told: GuardState | None, wanted: str, since: float) -> bool:
    return told is not None and told.get("digest") == wanted and float(told.get("taken_up") or 0) >= since


def wait_until_loaded(since: float, patience: float = _PATIENCE_S) -> None:
    """Wait until the guard runs on the live configuration, armed or not. Raises WizardError where it does not."""
    deadline = time.monotonic() + patience
    # At its start it may itself make the live files from the kept ones.
    while not _taken_up(runtime_state.running_guard(), configuration_fingerprint(), since):
        if time.monotonic() > deadline:
            raise WizardError("the guard does not take up its configuration", _last_words())
        time.sleep(0.05)


def stop() -> None:
    """End the guard and our dnsmasq; their ports are free when this returns."""
    told = runtime_state.read_guard_state() or GuardState()
    if systemd.running():
        systemd.stop(paths.SERVICE_NAME)
    gateway_rules.disarm()
    gone = processes.stop(processes.from_json(told.get("process")), runtime_state.GUARD_COMMAND)
    # One that is only just starting has not told anybody yet, and changes its process as it does.
    for _ in range(_START_FORKS):
        for guard in _ours_by_command_line(lambda line: line[-4:] == serve_command()[-4:]):
            gone = processes.stop(guard, runtime_state.GUARD_COMMAND) and gone
    for server in (told.get("dnsmasq"), told.get("dns")):
        gone = processes.stop(processes.from_json(server), paths.LIVE) and gone
    for stray in stray_servers():
        gone = processes.stop(stray, paths.LIVE) and gone
    for muter in _ours_by_command_line(lambda line: muter_process.__name__ in line):
        # One that was stopped itself does not see its guard go.
        gone = processes.stop(muter, muter_process.__name__, patience=0.2) and gone
    if not gone:
        raise WizardError("dnsmasq or its guard does not end", "Look at 'ciao-wizard status' and the process list.")
    injection.remove_stray()
    trace.remove_stray()
    runtime_state.remove(runtime_state.GUARD_STATE)


def stray_servers() -> list[processes.Process]:
    """dnsmasq processes that run on our configuration, whoever started them: ours by their command line."""
    confs = {f"--conf-file={conf}" for conf in dnsmasq.CONFS}
    return _ours_by_command_line(lambda line: Path(line[0]).name == "dnsmasq" and not confs.isdisjoint(line))


def _ours_by_command_line(is_ours: Callable[[list[str]], bool]) -> list[processes.Process]:
    """Processes of this machine; those of a laboratory on it have the same command lines, in a world of their own."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        line = processes.command_line(int(entry.name))
        if line and is_ours(line) and _world(entry.name) == _world("self"):
            process = processes.identify(int(entry.name))
            if process is not None:
                found.append(process)
    return found


def _world(pid: str) -> list[str]:
    try:
        return [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("pid", "net")]
    except OSError:
        return []


def remove_runtime_files() -> None:
    """Remove what the guard keeps under /run, and its unit there."""
    for directory in (paths.LIVE, paths.DNSMASQ_RUN):
        # The rules and the address still need theirs; their own undo removes them.
        keep = {"nat.sh", "interfaces", "proof.json"} if directory == paths.LIVE else set()
        if Path(directory).is_symlink():
            # Where it leads nothing is ours.
            Path(directory).unlink()
            continue
        for entry in Path(directory).glob("*"):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name not in keep:
                entry.unlink()
    shutil.rmtree(paths.DNSMASQ_RUN, ignore_errors=True)
    logs = (paths.DNSMASQ_LOG, paths.DNS_LOG)
    for name in (*logs, *(f"{log}.1" for log in logs), SERVE_LOG):
        Path(name).unlink(missing_ok=True)
    if Path(_RUNTIME_UNIT).exists():
        Path(_RUNTIME_UNIT).unlink()
        systemd.reload()
