"""Machines with firmware of their own boot from the gateway, and from their disk: QEMU, by BIOS and by UEFI.

Firmware, loaders and kernel are fetched from Debian's packages, once.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.machine import tiny_initrd
from tests.lab.guarding import await_mode
from tests.lab.qemu import FROM_DISK, KEY, Computer, Firmware, bootable_disk, kernel, loaders
from tests.lab.support import EXAMPLE, apply, ciao, ciao_json
from tests.needs import need
from wizard.lab.control import Laboratory
from wizard.lab.world import NODES
from wizard.plan import paths

pytestmark = pytest.mark.lab

IMAGES = """
[[images]]
name = "tiny"
kind = "custom"
seed = "preseed"
arguments = "console=ttyS0 quiet panic=-1 no_timer_check"
"""
NODE = "compute1"
MAC = next(machine.mac for machine in NODES if machine.name == NODE)
# The address of the seed is in the command line, and that of the report beside it.
MODULES = ("virtio_pci", "virtio_net", "af_packet")
APPLETS = ("sh", "mount", "insmod", "ip", "udhcpc", "cat", "wget", "grep", "sed", "sleep")
INIT = """#!/bin/sh
mount -t proc proc /proc
{insmod}
ip link set eth0 up
udhcpc -i eth0 -n -q -t 30 -T 1 -s /lease
for word in $(cat /proc/cmdline); do case $word in url=*) seed=${word#url=} ;; esac; done
wget -q -O /seed "$seed" && grep -q d-i /seed && echo "seed read"
report=$(echo "$seed" | sed 's,/seed/,/report/,; s,/preseed.cfg,,')
wget -q -O - "$report"
echo o >/proc/sysrq-trigger
sleep 60
"""
LEASE = '#!/bin/sh\n[ "$1" != bound ] || ip address add "$ip/24" dev eth0\n'
LOADERS = {
    Firmware.BIOS: (),
    Firmware.UEFI: ("ipxe",),
    Firmware.HTTP: ("ipxe",),
    Firmware.SECURE: ("shim-signed", "grub-efi-amd64-signed"),
}
ORDER = {firmware: ("--secure-boot",) if firmware is Firmware.SECURE else () for firmware in Firmware}
STAGES = ["offered", "loader", "script", "kernel", "initrd", "seed", "reported"]
HANDOVERS = [(firmware, way) for firmware in (Firmware.BIOS, Firmware.UEFI) for way in ("exit", "sanboot")]


def wanted(firmware: Firmware, last: str) -> list[str]:
    """The stages of a boot up to the last one."""
    found = STAGES[: STAGES.index(last) + 1]
    # A ROM that is iPXE needs no loader.
    return [stage for stage in found if (firmware, stage) != (Firmware.BIOS, "loader")]


def gateway(lab: Laboratory, place: Path, firmware: Firmware) -> None:
    """The example with an image of a tiny system, applied, with what the firmware needs. NODE's cable is free."""
    need("busybox")
    (place / "key.pub").write_text(KEY)
    system, initrd = kernel(), place / "initrd"
    initrd.write_bytes(tiny_initrd(system, INIT, MODULES, APPLETS, {"lease": LEASE}))
    for package in loaders(LOADERS[firmware]):
        assert ciao(lab, "boot", "loaders", package).returncode == 0
    files = ["--kernel", str(system.image), "--initrd", str(initrd)]
    added = ciao(lab, "image", "add", "tiny", *files, "--kind", "custom")
    assert added.returncode == 0, added.stderr
    apply(lab, EXAMPLE.read_text() + IMAGES)
    await_mode(lab, "armed")
    lab.machine("remove", NODE)


def arm(lab: Laboratory, place: Path, image: str, *more: str) -> None:
    armed = ciao(lab, "boot", "arm", NODE, "--image", image, "--ssh-key", str(place / "key.pub"), *more)
    assert armed.returncode == 0, armed.stderr
    lab.wait_for(lambda: "\ntag:" in lab.run(["cat", paths.NETBOOT_OPTIONS]).stdout)


def stages(lab: Laboratory) -> list[str]:
    (boot,) = (each for each in ciao_json(lab, "boot", "status") if each["node"] == NODE)
    return [each["stage"] for each in boot["stages"]]


def is_disarmed(lab: Laboratory) -> bool:
    return not any(each["armed"] for each in ciao_json(lab, "boot", "status"))


@pytest.mark.parametrize("firmware", LOADERS)
def test_a_machine_boots_reports_and_boots_from_its_disk(lab: Laboratory, tmp_path: Path, firmware: Firmware) -> None:
    gateway(lab, tmp_path, firmware)
    computer = Computer(lab, firmware, tmp_path, MAC, bootable_disk(firmware, tmp_path))
    arm(lab, tmp_path, "tiny", *ORDER[firmware])
    text = computer.boot()
    assert "seed read" in text, text[-3000:]
    assert "thank you" in text
    assert FROM_DISK not in text
    lab.wait_for(lambda: is_disarmed(lab), 15, "its being disarmed")
    assert stages(lab) == wanted(firmware, "reported")
    # Its PXE gives up after a minute, and its HTTP boot after another: the disk comes then (see script/soak).
    goes_on = FROM_DISK if firmware is Firmware.BIOS else "BdsDxe: failed to load"
    assert goes_on in computer.boot(goes_on)


@pytest.mark.parametrize(("firmware", "to_disk"), HANDOVERS)
def test_it_is_sent_to_its_disk(lab: Laboratory, tmp_path: Path, firmware: Firmware, to_disk: str) -> None:
    gateway(lab, tmp_path, firmware)
    computer = Computer(lab, firmware, tmp_path, MAC, bootable_disk(firmware, tmp_path))
    arm(lab, tmp_path, "disk", "--to-disk", to_disk)
    assert FROM_DISK in computer.boot(FROM_DISK)
    assert stages(lab) == wanted(firmware, "script")


def test_secure_boot_refuses_ipxe_and_the_stage_says_so(lab: Laboratory, tmp_path: Path) -> None:
    gateway(lab, tmp_path, Firmware.UEFI)
    computer = Computer(lab, Firmware.SECURE, tmp_path, MAC, bootable_disk(Firmware.SECURE, tmp_path))
    arm(lab, tmp_path, "tiny")
    assert "Access Denied" in computer.boot("Access Denied")
    assert stages(lab) == ["offered", "loader"]

    def hint() -> str:
        (boot,) = (each for each in ciao_json(lab, "boot", "status") if each["node"] == NODE)
        return str(boot["hint"] or "")

    lab.wait_for(hint, 90)
    assert "--secure-boot" in hint()
    missing = ciao(lab, "boot", "arm", NODE, "--image", "tiny", "--ssh-key", str(tmp_path / "key.pub"), "--secure-boot")
    assert missing.returncode == 1
    assert "shim-signed" in missing.stderr
