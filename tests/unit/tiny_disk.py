"""A disk that is soon full: a small tmpfs in a mount namespace of its own, for a script to run on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.needs import unavailable

_BEGINNING = """
import os, sys
DISK = sys.argv[1]

def say(*words):
    print(*words)

def fill(leave=0):
    with open(f"{DISK}/ballast", "ab", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(512))
        except OSError:
            pass
        ballast.truncate(max(0, ballast.tell() - leave))
"""


def on_tiny_disk(script: str, kib: int = 512) -> str:
    """Run a Python script with `DISK`, `say` and `fill` at hand; what it said."""
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _MOUNT, "sh", str(kib), sys.executable],
        input=_BEGINNING + script,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        unavailable(f"no mount namespace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout


_MOUNT = 'mount -t tmpfs -o size="$1k",mode=755 tmpfs /mnt && exec "$2" - /mnt'
