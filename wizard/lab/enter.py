"""The front process of the laboratory: makes the namespaces, waits, and forwards signals.

    front (this process) ── setpriv → unshare ── process 1 of the laboratory (inside.py) ── the command

unshare alone cannot be the front: it blocks SIGINT and SIGTERM and forwards neither, so `timeout` and `kill`
would have no effect. Nothing survives the front: the kernel kills unshare when the front dies (pdeathsig), process 1
when unshare dies (--kill-child), and everything in the pid namespace when process 1 dies. The pipe to process 1
carries the signals, and its end of file covers the moment before these are set up.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import NoReturn

from wizard.lab import preflight
from wizard.lab.tools import LabFailed, find, python, search_path
from wizard.plan.findings import WizardError

SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
GRACE = 5.0
"""Seconds that the command has to end by itself after SIGTERM or SIGHUP."""


def enter(command: list[str]) -> NoReturn:
    """Run `command` as on the laptop (the wizard itself if it is empty) and exit with its status.

    Raises LabFailed, with the remedy, if this machine cannot run a laboratory.
    """
    hindrances = preflight.missing()
    if hindrances:
        raise LabFailed("the laboratory cannot run here: " + "; ".join(hindrances))
    sys.exit(_front(command or python("wizard")))


def _front(command: list[str]) -> int:
    theirs, ours = os.pipe()
    os.set_inheritable(theirs, True)
    handled = {number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN}
    # Blocked before the child is there, so that none is lost; inside.py opens them again.
    signal.pthread_sigmask(signal.SIG_BLOCK, {*handled, signal.SIGCHLD})
    argv = [*preflight.namespaces(preflight.is_root()), *python("wizard.lab.inside"), str(theirs), *command]
    argv[0] = find(argv[0]) or argv[0]
    child = subprocess.Popen(
        [find("setpriv") or "setpriv", "--pdeathsig", "KILL", *argv],
        env={**os.environ, "PATH": search_path(os.environ)},
        # The caller's own descriptors (`<(…)` of a shell) are the command's too.
        close_fds=False,
    )
    os.close(theirs)
    return _attend(child, ours, handled)


def _attend(child: subprocess.Popen[bytes], pipe: int, handled: set[signal.Signals]) -> int:
    ending: signal.Signals | None = None
    deadline = float("inf")
    while child.poll() is None:
        left = min(max(deadline - time.monotonic(), 0), 3600)
        info = signal.sigtimedwait({*handled, signal.SIGCHLD}, left)
        if info is None:
            if time.monotonic() >= deadline:
                return 128 + _end(child, pipe, ending or signal.SIGTERM)
            continue
        if info.si_signo == signal.SIGCHLD:
            continue
        number = signal.Signals(info.si_signo)
        ends = number in (signal.SIGTERM, signal.SIGHUP)
        # What the terminal sends on a key goes to its whole foreground group: the command has it already.
        if ends or info.si_code <= 0:
            _forward(pipe, number)
        if ends and ending is None:
            ending, deadline = number, time.monotonic() + GRACE
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _end(child: subprocess.Popen[bytes], pipe: int, why: signal.Signals) -> int:
    """End the laboratory while the command still runs. Returns `why`."""
    # Process 1 goes at the end of file, and is waited for by unshare: unlike after a kill, nothing is left on return.
    os.close(pipe)
    try:
        child.wait(2)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    return why


def _forward(pipe: int, number: signal.Signals) -> None:
    try:
        os.write(pipe, bytes([number]))
    except BrokenPipeError:
        return


def main() -> NoReturn:
    """python -m wizard.lab.enter [-- CMD…]"""
    argv = sys.argv[1:]
    try:
        enter(argv[1:] if argv[:1] == ["--"] else argv)
    except WizardError as error:
        sys.stderr.write(f"ciao-wizard: {error.message}\n")
        if error.remedy:
            sys.stderr.write(f"{error.remedy}\n")
        sys.exit(error.status)


if __name__ == "__main__":
    main()
