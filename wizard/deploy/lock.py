"""One change at a time: a lock that dies with its holder and that no child inherits."""

from __future__ import annotations

import fcntl
import os

from wizard.deploy.state import run_directory
from wizard.plan.findings import WizardError


class Lock:
    """The lock of this machine. Raises WizardError, naming the holder, where somebody else has it."""

    def __init__(self, purpose: str) -> None:
        path = run_directory() / "lock"
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(fd, 200, 0).decode("utf-8", "replace").strip() or "somebody"
                os.close(fd)
                raise WizardError(
                    f"another change is under way: {holder}",
                    "Wait for it, or answer it with 'ciao-wizard confirm' or 'ciao-wizard rollback'.",
                ) from None
            # A reset removes the file; a lock on a file that is no longer there locks nobody out.
            try:
                if os.fstat(fd).st_ino == path.stat().st_ino:
                    break
            except FileNotFoundError:
                pass
            os.close(fd)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{purpose} (process {os.getpid()})".encode(), 0)
        self.fd = fd

    def release(self) -> None:
        """Let go. In a forked child this would let go for the parent too: there, only close `fd`."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        os.close(self.fd)
