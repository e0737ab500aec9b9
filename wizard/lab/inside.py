"""Process 1 of the laboratory: builds the world, runs the command as on the laptop, ends with its status.

When it ends, the kernel ends everything else in the laboratory.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from wizard.lab import corporate, machines, marker, node, private
from wizard.lab.boot import ROOT
from wizard.lab.enter import SIGNALS
from wizard.lab.tools import LabFailed, ip, python, run
from wizard.lab.world import COLLEAGUE, LAPTOP, LAPTOP_MACS, NODES, STATE
from wizard.plan.findings import WizardError

NOT_EXECUTABLE, NOT_FOUND = 126, 127

BIN = STATE / "bin"

FOREIGN = ("SSH_CONNECTION", "SSH_CLIENT", *(f"{what}_proxy" for what in ("http", "https", "ftp", "all")))
"""Variables about the machine's own network: no proxy and no SSH peer of it exists in here."""


def main() -> None:
    """argv: the descriptor of the pipe from the front, then the command."""
    # Blocked by the front; from here on Ctrl-C ends the building.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*SIGNALS, signal.SIGCHLD})
    pipe = int(sys.argv[1])
    os.set_inheritable(pipe, False)
    try:
        cwd = str(Path.cwd())
    except FileNotFoundError:
        cwd = "/"
    try:
        build(keep=[Path(ROOT), Path(sys.prefix), Path(sys.base_prefix), Path(cwd)])
        status = run_in_place(sys.argv[2:], pipe, cwd)
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except (WizardError, OSError) as error:
        sys.stderr.write(f"ciao-wizard: the laboratory could not be built: {error}\n")
        status = 1
    sys.exit(status)


def build(keep: Sequence[Path]) -> None:
    """Build the world; on return the laptop has its lease and reaches the corporate page. Raises LabFailed."""
    private.make(keep)
    socket.sethostname(LAPTOP)
    for directory in (marker.MACHINES, STATE / "log"):
        directory.mkdir()
    programs()
    sysctls()
    machines.build_switches()
    corporate.start()
    for machine in (*NODES, COLLEAGUE):
        machines.add(machine)
    # eth1 is not configured, but up: the kernel reports no carrier for a NIC that is down.
    ip("link", "set", "eth1", "up")
    # What a boot of the laptop does: lo, and a lease for eth0.
    run("ifup", "-a", timeout=60)
    wait_for(links_are_up, "the laptop's cables have no carrier")
    wait_for(corporate.page_answers, "the corporate page does not answer")
    marker.write()


def programs() -> None:
    """Write the programs that are run by name in here: the clients' script, and our own `ciao-wizard` and `machine`."""
    BIN.mkdir()
    texts = {node.SCRIPT: Path(__file__).with_name(node.SCRIPT.name).read_text()}
    for name, module in {"ciao-wizard": "wizard", "machine": "wizard.lab.machine"}.items():
        texts[BIN / name] = f'#!/bin/sh\nexec {shlex.join(python(module))} "$@"\n'
    for path, text in texts.items():
        path.write_text(text)
        path.chmod(0o755)


def wait_for(condition: Callable[[], bool], failure: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LabFailed(failure)
        time.sleep(0.02)


def links_are_up() -> bool:
    return all(Path(f"/sys/class/net/{nic}/operstate").read_text() == "up\n" for nic in LAPTOP_MACS)


def sysctls() -> None:
    """Set the values of a fresh Debian: new namespaces copy those of IPv4 from the machine, which may be a router."""
    for key, value in {
        "ip_forward": 0,
        "conf/default/rp_filter": 2,
        "conf/all/rp_filter": 0,
        "conf/default/accept_redirects": 1,
    }.items():
        Path("/proc/sys/net/ipv4", key).write_text(f"{value}\n")


STATE_HOME = "/run/ciao-lab/state"


def environment() -> dict[str, str]:
    """The command's environment: the caller's less FOREIGN; `python -m wizard` works in any directory."""
    env = {key: value for key, value in os.environ.items() if key.lower() not in map(str.lower, FOREIGN)}
    env["PATH"] = f"{BIN}:{env['PATH']}"
    # Drafts and logs of the wizard are the laboratory's own too.
    env["XDG_STATE_HOME"] = STATE_HOME
    # The directory is first on sys.path only where Python did not know of it, which is so in a plain checkout.
    if sys.path[0] == ROOT:
        env["PYTHONPATH"] = ":".join(filter(None, [ROOT, env.get("PYTHONPATH", "")]))
    return env


def run_in_place(command: Sequence[str], pipe: int, cwd: str) -> int:
    """Run the command in the caller's directory, with his terminal, and wait for it. Returns the exit status."""
    go(cwd)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        # From here on Ctrl-C is for the command: process 1 gets no signal that it has no handler for.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    wake, waker = os.pipe()
    for fd in (wake, waker):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        child = subprocess.Popen(command, env=environment(), close_fds=False)
    except FileNotFoundError:
        sys.stderr.write(f"ciao-wizard: lab: {command[0]}: command not found\n")
        return NOT_FOUND
    except OSError as error:
        sys.stderr.write(f"ciao-wizard: lab: {command[0]}: {error.strerror}\n")
        return NOT_EXECUTABLE
    return attend(child.pid, pipe, wake)


def go(cwd: str) -> None:
    """Change to the caller's directory by name: the present one may be under a mount."""
    try:
        os.chdir(cwd)
    except OSError:
        sys.stderr.write(f"ciao-wizard: lab: {cwd} is not there in the laboratory, the command runs in /\n")
        os.chdir("/")


def attend(command: int, pipe: int, wake: int) -> int:
    """Reap orphans and forward the front's signals, until the command ends or the front is gone."""
    while True:
        status = reap(command)
        if status is not None:
            return status
        ready, _, _ = select.select([pipe, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
        if pipe in ready:
            numbers = os.read(pipe, 64)
            if not numbers:
                return 128 + signal.SIGKILL
            for number in numbers:
                os.kill(command, number)


def reap(command: int) -> int | None:
    """Reap every process that has ended. Returns the command's status once it has, 128 + n for signal n."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == command:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if pid == 0:
            return None


if __name__ == "__main__":
    if os.getpid() != 1:
        sys.exit("this is for process 1 of a laboratory only; use: ciao-wizard lab")
    main()
