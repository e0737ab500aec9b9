"""Debian's installer, on computers with firmware of their own: from the gateway onto a disk, and from that disk."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.lab.guarding import await_mode
from tests.lab.mirror import debian_mirror, lacks_installer
from tests.lab.qemu import KEY, Computer, Firmware, loaders
from tests.lab.support import EXAMPLE, apply, ciao, ciao_json
from tests.needs import unavailable
from wizard.lab.control import Laboratory
from wizard.lab.preflight import missing
from wizard.lab.world import NODES

pytestmark = [pytest.mark.lab, pytest.mark.slow]

NODE = "compute1"
MAC = next(machine.mac for machine in NODES if machine.name == NODE)
IMAGES = """
[[images]]
name = "debian12"
kind = "debian"
arguments = "--- console=ttyS0,115200n8"
"""
DISK_BYTES = 8 << 30
"""Of a sparse file."""
INSTALLING_S, BOOTING_S = 3 * 3600, 900
LOADERS = {Firmware.BIOS: (), Firmware.UEFI: ("ipxe",)}


@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("firmware", LOADERS)
def test_it_installs_reports_and_boots_from_its_disk(tmp_path: Path, firmware: Firmware) -> None:
    if hindrances := missing():
        unavailable("no laboratory here: " + "; ".join(hindrances))
    if reason := lacks_installer():
        unavailable(reason)
    (installer,) = loaders(["debian-installer-12-netboot-amd64"])
    key = tmp_path / "key.pub"
    key.write_text(KEY)
    disk = tmp_path / "disk"
    with disk.open("wb") as image:
        image.truncate(DISK_BYTES)
    with Laboratory() as lab, debian_mirror(lab, tmp_path):
        for package in loaders(LOADERS[firmware]):
            assert ciao(lab, "boot", "loaders", package).returncode == 0
        added = ciao(lab, "image", "add", "debian12", installer)
        assert added.returncode == 0, added.stderr
        apply(lab, EXAMPLE.read_text() + IMAGES)
        await_mode(lab, "armed")
        lab.machine("remove", NODE)
        armed = ciao(lab, "boot", "arm", NODE, "--image", "debian12", "--ssh-key", str(key))
        assert armed.returncode == 0, armed.stderr
        computer = Computer(lab, firmware, tmp_path, MAC, f"format=raw,cache=unsafe,file={disk}", memory_mib=1024)
        began = time.monotonic()
        # A reboot ends it.
        computer.boot(seconds=INSTALLING_S)
        print(f"{firmware}: installed in {(time.monotonic() - began) / 60:.0f} min")  # noqa: T201
        (boot,) = (each for each in ciao_json(lab, "boot", "status") if each["node"] == NODE)
        assert boot["armed"] is None, computer.shown()[-3000:]
        assert [each["stage"] for each in boot["stages"]][-2:] == ["seed", "reported"]
        began = time.monotonic()
        computer.boot(f"{NODE} login:", BOOTING_S)
        print(f"{firmware}: at its login in {time.monotonic() - began:.0f} s")  # noqa: T201
