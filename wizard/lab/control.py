"""Controls a laboratory from outside, for tests: starts it, runs things in it, ends it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import psutil

from wizard.lab import marker
from wizard.lab.tools import LabFailed, find, python, search_path

T = TypeVar("T")

WAITING = ("sh", "-c", "echo ready && exec cat >/dev/null")
"""Runs until its input ends: so until the process that controls the laboratory has died, however."""

START_SECONDS = 30.0


class Laboratory:
    """A running laboratory, as a context manager.

    `init` is its process 1 (a pid outside), `env` the environment of a command on the laptop.
    """

    def __init__(self) -> None:
        self.init = 0
        self.env: dict[str, str] = {}
        self.started: subprocess.Popen[str] | None = None
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.namespaces: dict[str, str] = {}
        self.held: int | None = None

    def __enter__(self) -> Laboratory:
        with contextlib.ExitStack() as ended:
            ended.push(self.__exit__)
            self.begin()
            ended.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self._stderr.close()
            if self.held is not None:
                os.close(self.held)

    @property
    def front(self) -> subprocess.Popen[str]:
        """The front process (see `enter`)."""
        if self.started is None:
            raise LabFailed("this laboratory has not been started", "use it in a with statement")
        return self.started

    def begin(self) -> None:
        # The children of a background job ignore SIGINT; a laboratory must not.
        self.started = subprocess.Popen(
            ["env", "--default-signal", *python("wizard.lab.enter"), "--", *WAITING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            env={**os.environ, "PATH": search_path(os.environ)},
            start_new_session=True,
        )
        sign = self.started.stdout
        if not sign or not select.select([sign], [], [], START_SECONDS)[0] or sign.readline() != "ready\n":
            raise LabFailed(f"the laboratory did not start: {self.errors() or f'no sign in {START_SECONDS:g} s'}")
        self.init, self.env = self._find_init()
        # Held open: the kernel reuses the number of a namespace that nobody holds.
        self.held = os.open(f"/proc/{self.init}/ns/pid", os.O_RDONLY)
        kinds = ("mnt", "net", "pid", "uts", "user")
        self.namespaces = {kind: os.readlink(f"/proc/{self.init}/ns/{kind}") for kind in kinds}

    def _find_init(self) -> tuple[int, dict[str, str]]:
        """The laboratory's process 1, and the environment of a command in it."""
        for process in self.descendants():
            # Processes come and go meanwhile.
            with contextlib.suppress(psutil.NoSuchProcess):
                # Not a script of a booting machine: that has another environment.
                if process.cmdline() in (list(WAITING), ["cat"]):
                    return process.ppid(), process.environ()
        raise LabFailed(f"the laboratory ended at once: {self.errors()}")

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.front.pid).children(recursive=True)

    def errors(self) -> str:
        """What the laboratory wrote to stderr."""
        self._stderr.seek(0)
        return self._stderr.read().strip()

    def namespace(self, kind: str) -> str:
        """A namespace of the laboratory as /proc/PID/ns names it: mnt, net, pid, uts or user; also once it is gone."""
        return self.namespaces[kind]

    def command(self, argv: Sequence[str], netns: str | None = None, cwd: str | Path | None = None) -> list[str]:
        """The command outside that runs `argv` on the laptop, or in the namespace `netns`.

        It dies with nsenter: killing that leaves nothing running inside.
        """
        user = os.readlink("/proc/self/ns/user") != self.namespaces["user"]
        enter = [find("nsenter") or "nsenter", "--target", str(self.init), "--mount", "--net", "--pid", "--uts"]
        enter += ["--user", "--preserve-credentials"] if user else []
        there = ["ip", "netns", "exec", netns] if netns else []
        place = ["env", f"--chdir={cwd or Path.cwd()}"]
        return [*enter, "--", "setpriv", "--pdeathsig", "KILL", "--", *there, *place, *argv]

    def run(
        self,
        argv: Sequence[str],
        *,
        netns: str | None = None,
        check: bool = True,
        timeout: float = 60,
        input: str | None = None,  # noqa: A002
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; `env` is added to the laboratory's. Raises CalledProcessError, output noted."""
        try:
            return subprocess.run(
                self.command(argv, netns, cwd),
                input=input or "",
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                env={**self.env, **(env or {})},
                check=check,
            )
        except subprocess.CalledProcessError as error:
            error.add_note(f"stdout: {error.stdout}\nstderr: {error.stderr}")
            raise

    def popen(
        self,
        argv: Sequence[str],
        *,
        netns: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        **others: Any,
    ) -> subprocess.Popen[str]:
        """Start a command; `others` go to subprocess.Popen. A signal to it kills the command: see `command`."""
        argv = self.command(argv, netns, cwd)
        return subprocess.Popen(argv, text=True, env={**self.env, **(env or {})}, **others)

    def machine(self, *argv: str) -> str:
        """Run `machine` in the laboratory (see wizard.lab.machine), and return its output."""
        return self.run(["machine", *argv]).stdout

    def world(self) -> dict[str, Any]:
        """The laboratory's marker and machines: see marker.world."""
        return marker.world(Path(f"/proc/{self.init}/root"))

    def fetch(self, url: str, *, netns: str | None = None, timeout: float = 5) -> str | None:
        """The page at `url` as seen from a namespace, or None where it cannot be had within `timeout` seconds."""
        script = (
            "import sys, urllib.request as u; "
            "sys.stdout.write(u.urlopen(sys.argv[1], timeout=float(sys.argv[2])).read().decode())"
        )
        argv = [sys.executable, "-c", script, url, str(timeout)]
        done = self.run(argv, netns=netns, check=False, timeout=timeout + 30)
        return done.stdout if done.returncode == 0 else None

    def addresses(self, netns: str | None = None, nic: str = "eth0") -> list[str]:
        """The IPv4 addresses of a NIC, without prefix length, the laptop's or a machine's."""
        words = self.run(["ip", "-4", "-o", "address", "show", "dev", nic], netns=netns).stdout.split()
        return [after.split("/")[0] for word, after in pairwise(words) if word == "inet"]

    def wait_for(self, condition: Callable[[], T], deadline: float = 15, what: str = "") -> T:
        """Return the first true value of `condition`. Raises AssertionError after `deadline` seconds."""
        end = time.monotonic() + deadline
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                name = what or getattr(condition, "__name__", "it")
                raise AssertionError(f"{name} did not come true in {deadline:g} s; the last value was {value!r}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the laboratory and wait until nothing is left of it. May be called again."""
        front = self.started
        if front is None:
            return
        if front.stdin is not None:
            front.stdin.close()
        try:
            front.wait(10)
        except subprocess.TimeoutExpired:
            front.kill()
            front.wait()
        if front.stdout is not None:
            front.stdout.close()
        try:
            self.wait_for_end()
        finally:
            # If process 1 ever outlives the front, the test fails above, and still leaves nothing.
            if self.init in self.survivors():
                os.kill(self.init, signal.SIGKILL)

    def kill(self) -> None:
        """kill -9 of the front, as a person or the kernel might do it. Does not wait for the rest to die."""
        self.front.send_signal(signal.SIGKILL)
        self.front.wait()

    def wait_for_end(self, deadline: float = 10) -> None:
        self.wait_for(lambda: not self.survivors(), deadline, "the end of the laboratory's processes")

    def survivors(self) -> list[int]:
        """Processes, seen from this side, that are in the laboratory's pid namespace. For use in the with statement."""
        found = []
        for pid in psutil.pids():
            try:
                if self.namespaces and os.readlink(f"/proc/{pid}/ns/pid") == self.namespaces["pid"]:
                    found.append(pid)
            except OSError:
                # It has ended, or it is another user's.
                continue
        return found
