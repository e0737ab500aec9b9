"""Computers with firmware of their own on the laboratory's cluster: QEMU, its firmware from Debian's packages."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

from tests.kernel import packages
from tests.needs import need, unavailable
from wizard.lab.control import Laboratory

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBxRkm0q8u2uLGyIpVSWhVYpVtV4b0pZ1vS8o0Q8mJwG me@laptop\n"
FROM_DISK = "booted from its own disk"
"""What the console says where a disk of `bootable_disk` was booted."""
_OVMF = "usr/share/OVMF"
_TAIL = 3000
# Writes what follows it to the first serial port, and turns the power off.
_BOOT_SECTOR = bytes.fromhex("31c0 8ed8 be1c7c baf803 ac 84c0 7403 ee ebf8 ba0406 b80020 ef f4 ebfd")


class Firmware(StrEnum):
    """`BIOS` has iPXE as its NIC's ROM, the others have none; `HTTP` is UEFI without PXE, and `SECURE` UEFI that boots
    what Microsoft signed."""

    BIOS = "bios"
    UEFI = "uefi"
    HTTP = "http"
    SECURE = "secure"


class Computer:
    """A computer on a cable of its own. It is off, and keeps its disk and its firmware's settings while it is.

    `disk`: what QEMU takes as a drive. Skips the test where firmware cannot be had.
    """

    def __init__(
        self, lab: Laboratory, firmware: Firmware, place: Path, mac: str, disk: str = "", memory_mib: int = 512
    ) -> None:
        need("qemu-system-x86_64")
        self.lab, self.console = lab, place / "console"
        argv = ["qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none", "-accel", "tcg", "-cpu", "max"]
        argv += ["-m", str(memory_mib), "-serial", f"file:{self.console}", "-device", "virtio-rng-pci"]
        device = f"virtio-net-pci,netdev=n,mac={mac},bootindex=1"
        if firmware is not Firmware.BIOS:
            # Without the ROM that is iPXE: the firmware's own PXE.
            device += ",romfile="
            ovmf = fetched(packages.files, "ovmf") / _OVMF
            secure = firmware is Firmware.SECURE
            settings = place / "settings"
            shutil.copyfile(ovmf / f"OVMF_VARS_4M{'.ms' if secure else ''}.fd", settings)
            off = ["IPv6Support", "IPv6PXESupport", *(["IPv4PXESupport"] if firmware is Firmware.HTTP else [])]
            for feature in off:
                argv += ["-fw_cfg", f"name=opt/org.tianocore/{feature},string=no"]
            argv += ["-machine", f"q35,smm={'on' if secure else 'off'}"]
            argv += ["-global", "driver=cfi.pflash01,property=secure,value=on"] if secure else []
            code = ovmf / f"OVMF_CODE_4M{'.secboot' if secure else ''}.fd"
            argv += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}"]
            argv += ["-drive", f"if=pflash,unit=1,format=raw,file={settings}"]
        argv += ["-device", device, "-netdev", "tap,id=n,ifname=vm0,script=no,downscript=no"]
        argv += (
            ["-drive", f"if=none,id=disk,{disk}", "-device", "virtio-blk-pci,drive=disk,bootindex=2"] if disk else []
        )
        self.argv = argv
        # As one who does not wait for a tree of bridges to be known: a ROM asks for a few seconds only.
        tap = "ip tuntap add vm0 mode tap && ip link set vm0 master cluster && ip link set vm0 up"
        lab.run(["sh", "-ec", tap], netns="switch")

    def boot(self, until: str = "", seconds: float = 600) -> str:
        """Turn it on until it turns itself off, or until its console shows `until`; what that showed.

        Raises AssertionError with the end of the logs where neither comes in time.
        """
        self.console.unlink(missing_ok=True)
        with self.lab.popen(self.argv, netns="switch", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as qemu:
            try:
                end = time.monotonic() + seconds
                while qemu.poll() is None and not (until and until in self.shown()):
                    if time.monotonic() > end:
                        raise AssertionError(f"it did not end: {self._logs()}")
                    time.sleep(0.1)
            finally:
                qemu.kill()
                _, said = qemu.communicate()
        assert self.console.exists(), said
        return self.shown()

    def shown(self) -> str:
        """What its console has shown since it was turned on."""
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def _logs(self) -> str:
        logs = "tail -n 40 /run/ciao-wizard/netboot.log /run/ciao-wizard/dnsmasq.log"
        return self.lab.run(["sh", "-c", logs], check=False).stdout + self.shown()[-_TAIL:]


def fetched(get: Callable[[str], Path], name: str) -> Path:
    """A package's file (`packages.deb`), its files (`packages.files`); skips the test where it cannot be had."""
    if hindrances := packages.missing():
        unavailable("; ".join(hindrances))
    try:
        return get(name)
    except RuntimeError as error:
        unavailable(f"{name} cannot be had: {error}")


def kernel() -> packages.Kernel:
    """A signed kernel of Debian's."""
    if hindrances := packages.missing():
        unavailable("; ".join(hindrances))
    try:
        return packages.kernel("debian12")
    except RuntimeError as error:
        unavailable(f"no kernel: {error}")


def bootable_disk(firmware: Firmware, place: Path) -> str:
    """A disk for a Computer that says FROM_DISK on the console and turns the power off."""
    if firmware is Firmware.BIOS:
        image = place / "disk"
        sector = _BOOT_SECTOR + f"{FROM_DISK}\r\n\0".encode()
        image.write_bytes((sector.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
        return f"format=raw,file={image}"
    tree = place / "disk"
    config = f'echo "{FROM_DISK}"\nhalt\n'
    files = {
        "EFI/BOOT/BOOTX64.EFI": fetched(packages.files, "shim-signed") / "usr/lib/shim/shimx64.efi.signed",
        "EFI/BOOT/grubx64.efi": fetched(packages.files, "grub-efi-amd64-signed")
        / "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
    }
    for name, source in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, tree / name)
    (tree / "EFI/debian").mkdir()
    (tree / "EFI/debian/grub.cfg").write_text(config)
    return f"format=raw,readonly=on,file=fat:{tree}"


def loaders(names: Sequence[str]) -> list[str]:
    """The files of packages for `boot loaders`."""
    return [str(fetched(packages.deb, name)) for name in names]
