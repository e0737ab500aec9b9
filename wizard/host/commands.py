"""Running other programs; the only importer of sh."""

from __future__ import annotations

import os
import re
import shlex
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import sh

from wizard.plan.findings import WizardError

TOOL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_listeners: list[Callable[[str], None]] = []
_inherited: set[int] = set()


_SAYS_NOTHING = re.compile(
    r"[\s^~|]*$|(Try|See) [`'\"]|Error occurred at line|usage:|For more |ifup: failed to bring up "
    r"|.*: line \d+ failed$",
    re.IGNORECASE,
)
"""Rows that point, and lines that only say that there was an error or where to read on."""


def reason_in(stderr: str) -> str:
    """The line of a program's stderr that says what is wrong, "" where nothing was said: the first that begins with
    "Error:", behind a place or not, else the last that says anything."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    telling = [line for line in lines if not _SAYS_NOTHING.match(line)] or lines
    errors = [line for line in telling if re.search(r"(^|: )Error: ", line)]
    return next(iter(errors), telling[-1]) if telling else ""


class CommandFailed(WizardError):
    """A program was missing, ended badly, or took too long. `code` is None where it never ended by itself."""

    def __init__(self, argv: Sequence[str], code: int | None, stderr: str, why: str = "") -> None:
        self.argv = tuple(argv)
        self.code = code
        self.stderr = stderr.strip()
        said = reason_in(self.stderr) or why or f"exit status {code}"
        super().__init__(f"{shlex.join(argv)}: {said}", why)


def on_command(listener: Callable[[str], None]) -> None:
    """Have every command line told to `listener` before it runs (for -v and the events)."""
    _listeners.append(listener)


def inherit(*fds: int) -> None:
    """Have every command that `run` starts from now on, and all that it starts itself, hold these descriptors."""
    _inherited.clear()
    _inherited.update(fds)


def environment() -> dict[str, str]:
    """The caller's environment with the C locale and a PATH that holds the sbin directories."""
    env = dict(os.environ)
    env["LC_ALL"] = "C"
    # An empty or relative entry is the current directory, which is anybody's.
    given = [entry for entry in env.get("PATH", "").split(":") if entry.startswith("/")]
    env["PATH"] = ":".join([*given, TOOL_PATH])
    return env


def find(tool: str) -> str | None:
    """The full path of a program, or None."""
    from shutil import which

    return which(tool, path=environment()["PATH"])


def run(*argv: str, stdin: str | None = None, timeout: float = 20, ok: Sequence[int] = (0,)) -> str:
    """Run a program to its end and return its standard output.

    Raises CommandFailed when it is missing, ends with a status not in `ok`, or needs more than `timeout` seconds.
    """
    return _run(argv, stdin, timeout, ok, frozenset(_inherited))


def _run(argv: Sequence[str], stdin: str | None, timeout: float, ok: Sequence[int], fds: frozenset[int]) -> str:
    for tell in _listeners:
        tell(shlex.join(argv))
    path = find(argv[0])
    if path is None:
        raise CommandFailed(argv, None, "", f"{argv[0]} is not installed")
    late = threading.Event()
    try:
        command = sh.Command(path)(
            *argv[1:],
            # A pty as stdout makes programs page, colour and, under sudo, write to the person's own terminal.
            _tty_out=False,
            _decode_errors="replace",
            _env=environment(),
            _in=stdin,
            _ok_code=list(ok),
            _bg=True,
            _bg_exc=False,
            # Ours would end with it, where it must be ended with all that it started.
            _new_group=True,
            _pass_fds=fds,
        )
        # Not sh's own _timeout: with it, every call lasts at least 0.1 s.
        watch = threading.Timer(timeout, _end, (command, late))
        watch.daemon = True
        watch.start()
        try:
            command.wait()
        finally:
            watch.cancel()
        return bytes(command.stdout).decode("utf-8", "replace")
    except sh.ErrorReturnCode as error:
        stderr = bytes(error.stderr).decode("utf-8", "replace")
        if late.is_set():
            raise CommandFailed(argv, None, stderr, f"no end after {timeout:g} s") from None
        raise CommandFailed(argv, error.exit_code, stderr) from None
    except (sh.CommandNotFound, OSError) as error:
        raise CommandFailed(argv, None, "", str(error)) from None


def _end(command: sh.RunningCommand, late: threading.Event) -> None:
    late.set()
    for number, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 0.0)):
        try:
            # Its whole group: what it started itself would go on without it.
            command.signal_group(number)
        except ProcessLookupError:
            return
        time.sleep(patience)


def works(*argv: str, timeout: float = 20) -> bool:
    """Whether a program ends with status 0."""
    try:
        run(*argv, timeout=timeout)
    except CommandFailed:
        return False
    return True


def detach(argv: Sequence[str], log: str) -> None:
    """Start a program in a session of its own, with no terminal, its output appended to `log`.

    It outlives us, our terminal and our session; where systemd runs it is a unit of its own, because the end
    of ours would end it too. Raises CommandFailed where it cannot even be started.
    """
    # Not in the directory of whoever starts it: that may be on a stick that is to be taken out, or gone already.
    shell = ("sh", "-c", 'cd / && exec "$@" >>"$0" 2>&1 </dev/null', log, *argv)
    if Path("/run/systemd/system").is_dir():
        # Where its first process is killed, its second must live to take everything back.
        argv = ("systemd-run", "--quiet", "--collect", "--property=KillMode=process", "--", *shell)
    else:
        argv = ("setsid", "-f", *shell)
    # It stays, and is not one of those commands that are waited for.
    _run(argv, None, 20, (0,), frozenset())
