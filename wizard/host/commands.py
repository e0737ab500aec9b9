"""Runs other programs; the only importer of sh."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from wizard.plan.findings import WizardError

if TYPE_CHECKING:
    import sh

TOOL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_listeners: list[Callable[[str], None]] = []
_inherited: set[int] = set()


_NO_REASON = re.compile(
    r"[\s^~|]*$|(Try|See) [`'\"]|Error occurred at line|usage:|For more |ifup: failed to bring up "
    r"|.*: line \d+ failed$",
    re.IGNORECASE,
)
"""Lines without a reason: rows of carets, usage, "Try --help"."""


def reason_in(stderr: str) -> str:
    """The line of a program's stderr that gives the reason, "" if there is none: the first with "Error:" (after
    FILE:LINE: or not), else the last with any."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    reasons = [line for line in lines if not _NO_REASON.match(line)] or lines
    errors = [line for line in reasons if re.search(r"(^|: )Error: ", line)]
    return next(iter(errors), reasons[-1]) if reasons else ""


class CommandFailed(WizardError):
    """A program was missing, failed, or took too long. `code` is its exit status, None if it did not end by itself."""

    def __init__(self, argv: Sequence[str], code: int | None, stderr: str, why: str = "") -> None:
        self.argv = tuple(argv)
        self.code = code
        self.stderr = stderr.strip()
        reason = reason_in(self.stderr) or why or f"exit status {code}"
        super().__init__(f"{shlex.join(argv)}: {reason}", why)


def on_command(listener: Callable[[str], None]) -> None:
    """Call `listener` with every command line before it runs (for -v and the events)."""
    _listeners.append(listener)


def inherit(*fds: int) -> None:
    """Pass these descriptors to every command that `run` starts from now on, and so to its children."""
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

    Raises CommandFailed if it is missing, ends with a status not in `ok`, or takes more than `timeout` seconds.
    """
    return _run(argv, stdin, timeout, ok, frozenset(_inherited))


def _run(argv: Sequence[str], stdin: str | None, timeout: float, ok: Sequence[int], fds: frozenset[int]) -> str:
    for listener in _listeners:
        listener(shlex.join(argv))
    path = find(argv[0])
    if path is None:
        raise CommandFailed(argv, None, "", f"{argv[0]} is not installed")
    # It brings asyncio, and commands such as `leases` run nothing.
    import sh

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
            # So that a timeout ends it with all its children, and not us.
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


@contextlib.contextmanager
def output_of(*argv: str) -> Iterator[IO[bytes]]:
    """Run a program and read its standard output while it runs, bytes as they come.

    Raises CommandFailed if it is missing, and after the body if it failed. Read all of it: a body that raises has the
    program stopped.
    """
    for listener in _listeners:
        listener(shlex.join(argv))
    path = find(argv[0])
    if path is None:
        raise CommandFailed(argv, None, "", f"{argv[0]} is not installed")
    import sh

    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as output:
        try:
            with os.fdopen(writing, "wb") as stdout:
                command = sh.Command(path)(
                    *argv[1:],
                    _out=stdout,
                    _env=environment(),
                    _bg=True,
                    _bg_exc=False,
                    _new_group=True,
                    _pass_fds=frozenset(_inherited),
                )
        except (sh.CommandNotFound, OSError) as error:
            raise CommandFailed(argv, None, "", str(error)) from None
        finished = False
        try:
            yield output
            finished = True
        finally:
            if not finished:
                with contextlib.suppress(ProcessLookupError):
                    command.signal_group(signal.SIGKILL)
            try:
                command.wait()
            except sh.ErrorReturnCode as error:
                if finished:
                    stderr = bytes(error.stderr).decode("utf-8", "replace")
                    raise CommandFailed(argv, error.exit_code, stderr) from None


def _end(command: sh.RunningCommand, late: threading.Event) -> None:
    late.set()
    for number, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 0.0)):
        try:
            # The whole group: its children would go on without it.
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
    of ours would end it too. Raises CommandFailed if it cannot be started.
    """
    # Not in the caller's directory: that may be on a stick to be removed, or gone already.
    shell = ("sh", "-c", 'cd / && exec "$@" >>"$0" 2>&1 </dev/null', log, *argv)
    if Path("/run/systemd/system").is_dir():
        # If its first process is killed, the second must survive to roll back.
        argv = ("systemd-run", "--quiet", "--collect", "--property=KillMode=process", "--", *shell)
    else:
        argv = ("setsid", "-f", *shell)
    # It outlives us: it gets no descriptors that others wait for.
    _run(argv, None, 20, (0,), frozenset())
