"""The runtime state of our processes: small files under /run/ciao-wizard, written by one process, read by all.

work.json       EngineState, by the engine: readers find the change under way
serve.json      GuardState, by the guard
decision.PID-…  a symbolic link whose target, "keep" or "revert", answers that engine
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from wizard.deploy.shapes import EngineState, GuardState
from wizard.host import processes
from wizard.host.files import make_directory, read_text, refuse_others_directory, write_atomic
from wizard.plan import paths

Record = dict[str, Any]

ENGINE_COMMAND = "engine"
GUARD_COMMAND = "serve"


def engine_command(*words: str) -> list[str]:
    """The command line of an engine process: of this installation, whatever root's PATH has."""
    return [sys.executable, "-P", "-m", "wizard", ENGINE_COMMAND, *words]


def boottime() -> float:
    """Seconds since boot, suspend included; setting the clock does not change it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def run_directory() -> Path:
    """The directory under /run, made where it is missing. Raises WizardError where others could write to it."""
    directory = Path(paths.RUN)
    if os.geteuid() == 0:
        refuse_others_directory(directory)
    make_directory(directory, 0o755)
    return directory


def write_json(name: str, data: Mapping[str, Any], mode: int = 0o644) -> None:
    write_atomic(str(run_directory() / name), (json.dumps(data) + "\n").encode(), mode)


def read_json(name: str) -> Record | None:
    """The object in a file under /run/ciao-wizard, or None where there is none that can be read."""
    text = read_text(f"{paths.RUN}/{name}")
    if text is None:
        return None
    try:
        data = json.loads(text)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def remove(name: str) -> None:
    Path(f"{paths.RUN}/{name}").unlink(missing_ok=True)


ENGINE_STATE = "work.json"
"""Holds an EngineState."""
GUARD_STATE = "serve.json"
"""Holds a GuardState."""
DECISION = "decision"
LOCK = f"{paths.RUN}/lock"


def read_engine_state() -> EngineState | None:
    """The last engine's state; that process may be dead."""
    return cast(EngineState | None, read_json(ENGINE_STATE))


def read_guard_state() -> GuardState | None:
    """The last guard's state; that process may be dead."""
    return cast(GuardState | None, read_json(GUARD_STATE))


def running_engine() -> EngineState | None:
    """The state of the engine that runs now, or None."""
    data = read_engine_state()
    if data is None:
        return None
    engine = processes.from_json(data.get("process"))
    return data if processes.alive(engine, ENGINE_COMMAND) else None


def running_guard() -> GuardState | None:
    """The state of the guard that runs now, or None."""
    data = read_guard_state()
    if data is None:
        return None
    return data if processes.alive(processes.from_json(data.get("process")), GUARD_COMMAND) else None


def dnsmasq_process() -> processes.Process | None:
    """The DHCP server's process, or None where it does not run."""
    return _server("dnsmasq")


def dns_process() -> processes.Process | None:
    """The name server's process, or None where it does not run."""
    return _server("dns")


def netboot_process() -> processes.Process | None:
    """The netboot server's process, or None where it does not run."""
    data = (read_guard_state() or GuardState()).get("netboot")
    process = processes.from_json(data.get("process")) if data else None
    return process if processes.alive(process, paths.LIVE) else None


def _server(key: Literal["dnsmasq", "dns"]) -> processes.Process | None:
    data = read_guard_state()
    process = processes.from_json(data.get(key)) if data else None
    return process if processes.alive(process, paths.LIVE) else None


def own_pids() -> frozenset[int]:
    """The pids of the guard and its servers."""
    guard = running_guard()
    process = processes.from_json(guard.get("process")) if guard else None
    return frozenset(p.pid for p in (process, dnsmasq_process(), dns_process(), netboot_process()) if p)


def record_decision(answer: str, engine: processes.Process | None = None) -> bool:
    """Answer an engine (default: the running one), "keep" or "revert". True where this answer was the first."""
    state = running_engine()
    engine = engine or processes.from_json(state.get("process") if state else None)
    if engine is None:
        return False
    try:
        # Creating a link is atomic: of two answers one wins. And its target needs no block on a full disk.
        os.symlink(answer, run_directory() / _decision_of(engine))
        return True
    except FileExistsError:
        return False


def read_decision(engine: processes.Process) -> str | None:
    """The answer that was given to an engine, or None."""
    try:
        return os.readlink(f"{paths.RUN}/{_decision_of(engine)}")
    except OSError:
        return None


def forget_decisions() -> None:
    for answer in Path(paths.RUN).glob(f"{DECISION}.*"):
        answer.unlink(missing_ok=True)


def _decision_of(engine: processes.Process) -> str:
    # One for each engine, so that a late answer does not reach the next one.
    return f"{DECISION}.{engine.pid}-{engine.started}"


def remove_orphaned_events(own: Collection[str] = ()) -> None:
    """Remove event and request files, but `own`, whose requesting process has ended."""
    for file in [*Path(paths.RUN).glob("events-*"), *Path(paths.RUN).glob("order-*")]:
        requester = file.name.split("-")[1]
        if str(file) not in own and requester.isdigit() and not processes.alive(processes.identify(int(requester))):
            file.unlink(missing_ok=True)
