"""A virtual machine under one of Debian's kernels, which runs tests of this checkout.

Its root is this machine's own file system, read-only, under a layer in memory: what is installed here is installed
there, and nothing that happens there stays. It has no NIC and no disk. Only the kernel, its modules and nft are of the
release: what a kernel is told depends on the nft that tells it.
What pytest reports in there comes out through a directory that the two share, line by line.
"""

from __future__ import annotations

import json
import lzma
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.kernel.packages import Kernel
from tests.needs import absent
from wizard.lab.tools import find

TREE = Path(__file__).resolve().parents[2]
VARIABLE = "CIAO_TEST_KERNEL"
"""Set inside, to the kernel's name."""
SHARE = "/run/ciao-test"
NFT = find("nft") or "/usr/sbin/nft"
OTHER_NFT = "/run/nft"
"""Inside, the nft of the machine outside."""
REPORTS, ARGUMENTS = "reports", "arguments"
SILENCE_S = 1500.0
"""How long one test, or the start with the first, may take on a host that others keep busy."""
IN_ONE_TEST_S = 300
"""The same by the machine's own clock."""
_NEEDED = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
_APPLETS = ("sh", "insmod", "mount", "mkdir", "switch_root")
_MEMORY_MB = 1536

_INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs dev /dev
{insmod}
share="-t 9p -o trans=virtio,version=9p2000.L,msize=524288"
mount $share,ro,cache=loose root /below
mount -t tmpfs tmpfs /above
mkdir /above/upper /above/work
mount -t overlay -o lowerdir=/below,upperdir=/above/upper,workdir=/above/work overlay /root
mkdir -p /root/proc /root/sys /root/dev /root/run /root/lib/modules/{release}
mount -t proc proc /root/proc
mount -t sysfs sys /root/sys
mount -t devtmpfs dev /root/dev
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts devpts /root/dev/pts
mount -t tmpfs tmpfs /root/dev/shm
mount -t tmpfs -o mode=755 tmpfs /root/run
mkdir /root/run/lock /root{share}
mount $share,ro,cache=loose modules /root/lib/modules/{release}
mount $share,cache=none share /root{share}
exec switch_root /root /bin/sh {share}/start
"""

_START = """#!/bin/sh
cd {tree}
ip link set lo up
cp {nft} {other_nft}
cp {share}/nft {nft}
{environment} {pytest} @{share}/{arguments}
echo "pytest ended with $?"
echo o >/proc/sysrq-trigger
sleep 60
"""


class Machine:
    """One such machine, running the tests with these node ids, in this order."""

    def __init__(self, name: str, kernel: Kernel, nft: Sequence[str], tests: Sequence[str]) -> None:
        self._share = tempfile.TemporaryDirectory(prefix="ciao-kernel-")
        self._place = Path(self._share.name)
        self.reports: dict[str, list[dict[str, Any]]] = {}
        self._read = 0
        self._partial = ""
        self._news = time.monotonic()
        self._why = ""
        outside = self._place / "outside"
        shared = self._place / "share"
        for directory in (outside, shared):
            directory.mkdir()
        (shared / ARGUMENTS).write_text("\n".join(tests) + "\n")
        (shared / REPORTS).touch()
        (shared / "start").write_text(_start(name))
        (shared / "nft").write_text(f'#!/bin/sh\nexec {shlex.join(nft)} "$@"\n')
        initrd = outside / "initrd"
        initrd.write_bytes(_initrd(kernel))
        self.console = outside / "console"
        argv = _qemu(kernel, initrd, self.console, {"root": Path("/"), "modules": kernel.modules, "share": shared})
        self._said = (outside / "qemu").open("w+")
        self._process = subprocess.Popen(
            [find("setpriv") or "setpriv", "--pdeathsig", "KILL", "--", *argv],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
        )

    def wait_for(self, test: str) -> list[dict[str, Any]] | str:
        """The reports of a test, as pytest serialises them, as soon as all of them are there; or why there are none."""
        while True:
            ended = self._process.poll() is not None
            self._take_in()
            found = self.reports.get(test, [])
            if found and found[-1]["when"] == "teardown":
                return found
            if ended:
                why = self._why or f"the machine ended without a word:\n{self._tail()}"
                self._why = "the machine had ended before it came to this test"
                return why
            if time.monotonic() - self._news > SILENCE_S:
                self._why = f"no word from the machine for {SILENCE_S:g} s:\n{self._tail()}"
                self.stop()
            time.sleep(0.1)

    def _take_in(self) -> None:
        with (self._place / "share" / REPORTS).open() as lines:
            lines.seek(self._read)
            text = lines.read()
            self._read = lines.tell()
        *whole, self._partial = (self._partial + text).split("\n")
        for line in whole:
            report = json.loads(line)
            self.reports.setdefault(report["nodeid"], []).append(report)
            self._news = time.monotonic()

    def _tail(self) -> str:
        """The end of what the kernel, pytest and QEMU said."""
        self._said.seek(0)
        said = self.console.read_text(errors="replace") if self.console.exists() else ""
        lines = [*self._said.read().splitlines(), *said.splitlines()]
        return "\n".join(re.sub(r"\x1b[\[c][0-9;?]*[a-zA-Z]?|\r", "", line) for line in lines[-60:])

    def stop(self) -> None:
        """End it, whatever it is doing. What it said stays readable until `remove`."""
        self._process.kill()
        self._process.wait()

    def remove(self) -> None:
        """End it and forget what it said."""
        self.stop()
        self._said.close()
        self._share.cleanup()


def _qemu(kernel: Kernel, initrd: Path, console: Path, shares: dict[str, Path]) -> list[str]:
    argv = [find("qemu-system-x86_64") or "", "-nodefaults", "-no-reboot", "-display", "none", "-cpu", "max"]
    # Its clock goes by what it computes, and by the host's only while it has nothing to do: however busy the host is,
    # a processor that does 500 million instructions a second is what the waits in there meet.
    argv += ["-icount", "shift=1,sleep=on", "-accel", "tcg", "-m", str(_MEMORY_MB)]
    argv += ["-kernel", str(kernel.image), "-initrd", str(initrd)]
    # A panic reboots at once, and a reboot ends it.
    # The timer is not tried at the start: on a busy host it seems not to tick, and the kernel gives up.
    argv += ["-append", "console=ttyS0 quiet panic=-1 no_timer_check", "-serial", f"file:{console}"]
    for tag, path in shares.items():
        readonly = "" if tag == "share" else ",readonly=on"
        where = str(path).replace(",", ",,")
        argv += ["-fsdev", f"local,id={tag},path={where},security_model=none,multidevs=remap{readonly}"]
        argv += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    return argv


def _start(name: str) -> str:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "TERM": "linux",
        "CI": os.environ.get("CI", ""),
        VARIABLE: name,
        # Plugins that are of no use here take seconds to load.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    pytest = [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", str(TREE), "-q", "--tb=short"]
    pytest += ["--confcutdir", str(TREE / "tests" / "kernel"), "--import-mode=importlib", "-p", "no:cacheprovider"]
    pytest += ["-p", "pytest_timeout", f"--timeout={IN_ONE_TEST_S}", "--basetemp=/run/pytest"]
    return _START.format(
        tree=shlex.quote(str(TREE)),
        environment=shlex.join(["env", "-i", *(f"{key}={value}" for key, value in environment.items())]),
        pytest=shlex.join(pytest),
        share=SHARE,
        nft=shlex.quote(NFT),
        other_nft=OTHER_NFT,
        arguments=ARGUMENTS,
    )


def _initrd(kernel: Kernel) -> bytes:
    """What the kernel unpacks and starts: just enough to reach the shares."""
    init = _INIT.replace("{release}", kernel.release).replace("{share}", SHARE)
    return tiny_initrd(kernel, init, _NEEDED, _APPLETS, directories=("below", "above", "root"))


def tiny_initrd(
    kernel: Kernel,
    init: str,
    needed: Sequence[str],
    applets: Sequence[str],
    scripts: Mapping[str, str] = MappingProxyType({}),
    directories: Sequence[str] = (),
) -> bytes:
    """An initrd of busybox and the modules `needed`, which `init` loads at its "{insmod}". `applets`: of busybox, in
    /bin; `scripts`: path -> text."""
    busybox = find("busybox") or "busybox"
    said = subprocess.run([find("ldd") or "ldd", busybox], capture_output=True, text=True, check=False).stdout
    modules = _modules(kernel, needed)
    insmod = "\n".join(f"insmod /modules/{module}" for module in modules)
    files: dict[str, tuple[int, bytes]] = {
        "bin/busybox": (0o100755, Path(busybox).read_bytes()),
        **{f"bin/{applet}": (0o120777, b"busybox") for applet in applets},
        # None where it is linked statically.
        **{library[1:]: (0o100755, Path(library).read_bytes()) for library in re.findall(r"/\S+", said)},
        **{f"modules/{module}": (0o100644, content) for module, content in modules.items()},
        **{path: (0o100755, text.encode()) for path, text in scripts.items()},
        "init": (0o100755, init.replace("{insmod}", insmod).encode()),
    }
    places = {str(parent) for name in files for parent in Path(name).parents} - {"."}
    places |= {"proc", "dev", *directories}
    return _cpio({**dict.fromkeys(sorted(places), (0o040755, b"")), **files})


def _modules(kernel: Kernel, needed: Sequence[str]) -> dict[str, bytes]:
    """These modules and what they need, in the order in which they can be loaded."""
    needs = dict(line.split(":", 1) for line in (kernel.modules / "modules.dep").read_text().splitlines())
    by_name = {_module_name(path): path for path in needs}
    found: dict[str, bytes] = {}
    # What is not there as a module is built in.
    for path in (by_name[name] for name in needed if name in by_name):
        for each in [*reversed(needs[path].split()), path]:
            content = (kernel.modules / each).read_bytes()
            found[f"{_module_name(each)}.ko"] = lzma.decompress(content) if each.endswith(".xz") else content
    return found


def _module_name(path: str) -> str:
    return Path(path).name.split(".")[0].replace("-", "_")


def _cpio(files: dict[str, tuple[int, bytes]]) -> bytes:
    """An archive in the format "newc", which the kernel unpacks."""
    archive = bytearray()
    for number, (name, (mode, content)) in enumerate({**files, "TRAILER!!!": (0, b"")}.items(), 1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name.encode()) + 1, 0)
        archive += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        archive += bytes(-len(archive) % 4) + content
        archive += bytes(-len(archive) % 4)
    return bytes(archive)


def missing() -> list[str]:
    """Why no such machine can be had here; [] where it can."""
    return absent("qemu-system-x86_64", "busybox", "nft")
