"""Runs other programs in the laboratory.

The laboratory uses the standard library only, so that any Python of the machine can start it. And its
process 1 reaps every orphan, which a library that waits for its own children could not bear.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from wizard.lab import boot
from wizard.plan.findings import WizardError

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")


class LabFailed(WizardError):
    """The laboratory cannot run, or something in it failed."""


def python(module: str) -> list[str]:
    """The command that runs a module of this package, whatever the current directory holds."""
    return [sys.executable, "-P", boot.__file__, module]


def search_path(env: Mapping[str, str]) -> str:
    """PATH with what a plain user's lacks (the sbin directories) and with the directory of `ciao-wizard`."""
    path = [part for part in env.get("PATH", "").split(":") if part.startswith("/")]
    own = [str(Path(sys.executable).parent)]
    if Path(sys.argv[0]).name == "ciao-wizard":
        own.insert(0, str(Path(sys.argv[0]).absolute().parent))
    first = [part for part in own if part not in path]
    return ":".join([*first, *path, *(part for part in SBIN if part not in path)])


def find(tool: str) -> str | None:
    """The full path of a program, or None."""
    return shutil.which(tool, path=search_path(os.environ))


def run(*argv: str, stdin: str | None = None, timeout: float = 20, fds: Sequence[int] = ()) -> str:
    """Run a program to its end and return its standard output. `fds` are open in it too.

    It gets a session of its own: we handle Ctrl-C. Raises LabFailed.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            pass_fds=fds,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabFailed(f"{shlex.join(argv)}: no end after {timeout:g} s") from None
    except OSError as error:
        raise LabFailed(f"{shlex.join(argv)}: {error.strerror}") from None
    if done.returncode:
        output = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise LabFailed(f"{shlex.join(argv)}: {' / '.join(output) or f'exit status {done.returncode}'}")
    return done.stdout


def start(argv: Sequence[str], log: Path) -> None:
    """Start a program that stays: no terminal, output appended to `log`, a child of the laboratory's process 1.

    Raises LabFailed if it cannot be started; its later errors are in the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        subprocess.run(["setsid", "--fork", *argv], stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True)


def ip(*argv: str, netns: str | None = None) -> str:
    return run("ip", *(("-n", netns) if netns else ()), *argv)


def ip_batch(lines: Sequence[str], netns: str | None = None) -> None:
    """Run several ip commands in one process: a process each would take most of the laboratory's start-up time."""
    where = ("-n", netns) if netns else ()
    run("ip", *where, "-batch", "-", stdin="\n".join(lines) + "\n")
