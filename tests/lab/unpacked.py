"""Debian's programs for the laboratory, unpacked from their packages and not installed.

Installed, some would change the machine of whoever runs the tests: `ifup` takes dhclient as soon as it is there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.needs import need, unavailable

_FETCHING_S = 600


@dataclass(frozen=True)
class Unpacked:
    """A directory with the files of packages, and of those that they need and this machine lacks."""

    place: Path

    @property
    def env(self) -> dict[str, str]:
        """What finds the libraries and the Python packages in there; programs are found by `program`."""
        libraries = sorted(str(path) for path in self.place.glob("**/*-linux-gnu*") if path.is_dir())
        return {
            "LD_LIBRARY_PATH": ":".join(libraries),
            "PYTHONPATH": str(self.place / "usr/lib/python3/dist-packages"),
        }

    def program(self, name: str) -> str:
        """The full path of a program."""
        places = ("usr/sbin", "usr/bin", "sbin", "bin")
        return next(str(path) for where in places if (path := self.place / where / name).exists())


def unpacked(*packages: str, only: Sequence[str] = ()) -> Unpacked:
    """The files of some packages, fetched where the cache has none. Skips the test where they cannot be had.

    `only`: the few files that are kept of a large package.
    """
    need("apt-get", "dpkg-deb")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ciao-wizard" / "programs"
    cache.mkdir(parents=True, exist_ok=True)
    name = f"{packages[0]}-{hashlib.sha256(' '.join([*packages, *only]).encode()).hexdigest()[:8]}"
    place = cache / name
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            draft = cache / f"new-{name}"
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            try:
                _fetch(packages, draft, only)
            except (OSError, subprocess.SubprocessError) as error:
                said = (getattr(error, "stderr", "") or "").strip().splitlines()[-1:]
                unavailable(f"{' '.join(packages)} cannot be had: {' '.join([str(error), *said])}")
            draft.rename(place)
    return Unpacked(place)


def _fetch(packages: Sequence[str], into: Path, only: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as lists:
        # The machine's own lists may be old, and name files that the mirror has no more.
        apt = ["apt-get", "-qq", "-oAPT::Sandbox::User=root", "-oDebug::NoLocking=1", f"-oDir::State::lists={lists}"]
        apt += ["-oAcquire::Languages=none", "-oAcquire::Retries=2", f"-oDir::Cache::archives={into}"]
        apt += ["-oDir::Cache::pkgcache=", "-oDir::Cache::srcpkgcache="]
        _run(*apt, "update")
        _run(*apt, "install", "--yes", "--no-install-recommends", "--reinstall", "--download-only", *packages)
    for package in into.glob("*.deb"):
        _run("dpkg-deb", "--extract", str(package), str(into))
        package.unlink()
    for path in into.rglob("*") if only else ():
        if not path.is_dir() and str(path.relative_to(into)) not in only:
            path.unlink()


def _run(*argv: str) -> None:
    subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_FETCHING_S, check=True)
