"""The kernels of Debian's releases, and their nft, unpacked from their packages into the cache directory, once."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.needs import absent

SUITES = {"debian12": "bookworm", "debian13": "trixie"}
"""The kernels that the tests run under, and the suite that each comes from."""
TOOLS = ("apt-get", "dpkg-deb", "depmod")
PACKAGE = "linux-image-amd64"
MIRROR = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MODULES = re.compile(
    r"modules\.(order|builtin.*)"
    r"|kernel/((arch|crypto|lib|net|fs/(9p|fscache|netfs|overlayfs)|drivers/(virtio|net/bonding))/.*|drivers/net/[^/]*)"
)
"""What is unpacked. The rest is mostly drivers of hardware that no virtual machine has: 300 MB of it."""
_FETCHING_S = 600


@dataclass(frozen=True)
class Kernel:
    """One kernel: its image, and the directory of its modules, in which modprobe finds its way."""

    image: Path
    modules: Path

    @property
    def release(self) -> str:
        """What `uname -r` says."""
        return self.modules.name


def missing() -> list[str]:
    """Why no kernel can be had here; [] where it can."""
    if platform.machine() != "x86_64":
        return [f"the kernels are those of amd64, and this machine is {platform.machine()}"]
    found = absent(*TOOLS)
    if not KEYRING.exists():
        found.append(f"{KEYRING} is not here: install debian-archive-keyring")
    return found


def kernel(name: str) -> Kernel:
    """A kernel of SUITES, fetched where the cache has none. Raises RuntimeError."""
    return _in(_kept(name, SUITES[name], _fetch_kernel))


def nft(name: str) -> list[str]:
    """The command that runs the nft of a release of SUITES, with all that it needs of that release. Fetched where the
    cache has none. Raises RuntimeError."""
    place = _kept(f"{name}-nft", SUITES[name], _fetch_nft)
    loader = next(place.rglob("ld-linux-x86-64.so.2"))
    libraries = ":".join(str(place / directory) for directory in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
    return [str(loader), "--library-path", libraries, str(place / "usr" / "sbin" / "nft")]


def deb(name: str) -> Path:
    """The file of a package of Debian 12, fetched where the cache has none. Raises RuntimeError."""

    def fetch(suite: str, draft: Path) -> str:
        with _apt(suite) as apt:
            _run([*apt, "download", name], cwd=draft)
        return next(draft.glob("*.deb")).name.split("_")[1]

    (package,) = _kept(f"deb-{name}", SUITES["debian12"], fetch).glob("*.deb")
    return package


def files(name: str) -> Path:
    """The directory with the files of a package of Debian 12, which is not installed. Raises RuntimeError."""

    def unpack(_: str, draft: Path) -> str:
        package = deb(name)
        _run(["dpkg-deb", "--extract", str(package), str(draft)])
        return package.name.split("_")[1]

    return _kept(f"files-{name}", SUITES["debian12"], unpack)


def _kept(name: str, suite: str, fetch: Callable[[str, Path], str]) -> Path:
    """A directory of the cache, filled by `fetch` where there is none; `fetch` returns the version that it found."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ciao-wizard" / "kernels"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept := sorted(cache.glob(f"{name}_*"), key=lambda path: path.stat().st_mtime):
            return kept[-1]
        draft = cache / f"new-{name}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            version = fetch(suite, draft)
            return draft.rename(cache / f"{name}_{version}")
        except OSError as error:
            raise RuntimeError(f"{name} of {suite}: {error}") from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _in(directory: Path) -> Kernel:
    (image,) = directory.glob("vmlinuz-*")
    return Kernel(image, directory / "lib" / "modules" / image.name.removeprefix("vmlinuz-"))


def _fetch_kernel(suite: str, draft: Path) -> str:
    with _apt(suite) as apt:
        shown = _run(["apt-cache", *apt[1:], "show", PACKAGE])
        # linux-image-amd64 is but a pointer to the package with the kernel of the day.
        wanted = re.search(r"^Depends:.*?(linux-image-\S+) \(= (\S+)\)", shown, re.MULTILINE)
        if wanted is None:
            raise RuntimeError(f"{PACKAGE} of {suite} names no kernel: {shown[:300]}")
        _run([*apt, "download", f"{wanted[1]}={wanted[2]}"], cwd=draft)
    (package,) = draft.glob("*.deb")
    _unpack(package, draft)
    package.unlink()
    # Many modules are left out, and those that need them are not wanted: what it says of them is of no interest.
    _run(["depmod", "--basedir", str(draft), _in(draft).release])
    return wanted[2]


def _fetch_nft(suite: str, draft: Path) -> str:
    with _apt(suite) as apt:
        # Nothing is installed, as it believes: so it fetches all that nft needs, down to the C library.
        fetch = ["install", "--yes", "--no-install-recommends", "--download-only", f"-oDir::Cache::archives={draft}"]
        _run([*apt, *fetch, "nftables"])
    versions = {}
    for package in draft.glob("*.deb"):
        name, version, _ = package.name.split("_")
        versions[name] = version
        _run(["dpkg-deb", "--extract", str(package), str(draft)])
        package.unlink()
    shutil.rmtree(draft / "usr" / "share")
    return versions["nftables"]


@contextlib.contextmanager
def _apt(suite: str) -> Iterator[list[str]]:
    """An apt-get with lists and sources of its own, and the machine's proxy: as if on that release."""
    with tempfile.TemporaryDirectory() as place:
        sources = Path(place, "sources.list")
        sources.write_text(f"deb [arch=amd64 signed-by={KEYRING}] {MIRROR} {suite} main non-free-firmware\n")
        for directory in ("none", "lists/partial", "cache/archives/partial"):
            Path(place, directory).mkdir(parents=True)
        Path(place, "status").touch()
        options = {
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": f"{place}/none",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": f"{place}/none",
            "Dir::State": place,
            "Dir::State::lists": f"{place}/lists",
            "Dir::State::status": f"{place}/status",
            "Dir::Cache": f"{place}/cache",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
            "APT::Sandbox::User": "root",
        }
        apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items())]
        _run([*apt, "update"])
        yield apt


def _unpack(package: Path, into: Path) -> None:
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as unpacking,
        tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive,
    ):
        for member in archive:
            path = re.sub(r"^(\./)?(usr/)?", "", member.name)
            found = re.fullmatch(r"boot/(vmlinuz-[^/]+)|(lib/modules/[^/]+)/(.*)", path)
            if not member.isfile() or found is None or (found[3] and not MODULES.fullmatch(found[3])):
                continue
            content = archive.extractfile(member)
            there = into / (found[1] or path)
            there.parent.mkdir(parents=True, exist_ok=True)
            if content is not None:
                there.write_bytes(content.read())
    if unpacking.returncode:
        raise RuntimeError(f"dpkg-deb could not unpack {package.name}")


def _run(argv: list[str], cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=_FETCHING_S,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{argv[0]} {argv[-1]}: no end after {_FETCHING_S} s") from None
    if done.returncode:
        said = " / ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-3:])
        raise RuntimeError(f"{argv[0]} {argv[-1]}: {said}")
    return done.stdout
