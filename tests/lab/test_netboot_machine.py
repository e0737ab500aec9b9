"""Machines with firmware of their own boot from the gateway: QEMU, by BIOS with iPXE as the NIC's ROM, and by UEFI.

UEFI needs a firmware's file and Debian's package ipxe, which nothing here fetches: CIAO_TEST_OVMF, CIAO_TEST_IPXE.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.kernel import packages
from tests.kernel.machine import tiny_initrd
from tests.lab.guarding import await_mode
from tests.lab.support import EXAMPLE, apply, ciao, ciao_json
from tests.needs import need, unavailable
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
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBxRkm0q8u2uLGyIpVSWhVYpVtV4b0pZ1vS8o0Q8mJwG me@laptop\n"
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


FROM_ROM = ["offered", "script", "kernel", "initrd", "seed", "reported"]
FIRMWARE = {"bios": FROM_ROM, "uefi": [FROM_ROM[0], "loader", *FROM_ROM[1:]]}


@pytest.mark.parametrize("firmware", FIRMWARE)
def test_a_machine_boots_reports_and_is_disarmed(lab: Laboratory, tmp_path: Path, firmware: str) -> None:
    ovmf, package = os.environ.get("CIAO_TEST_OVMF", ""), os.environ.get("CIAO_TEST_IPXE", "")
    if firmware == "uefi" and not (ovmf and package):
        pytest.skip("CIAO_TEST_OVMF and CIAO_TEST_IPXE name no files")
    need("qemu-system-x86_64", "busybox")
    rom = Path("/usr/lib/ipxe/qemu/pxe-virtio.rom")
    if not rom.exists():
        unavailable("ipxe-qemu is not installed")
    try:
        kernel = packages.kernel("debian12")
    except RuntimeError as error:
        unavailable(f"no kernel: {error}")
    initrd = tmp_path / "initrd"
    initrd.write_bytes(tiny_initrd(kernel, INIT, MODULES, APPLETS, {"lease": LEASE}))
    if firmware == "uefi":
        assert ciao(lab, "boot", "loaders", package).returncode == 0
    key = tmp_path / "key.pub"
    key.write_text(KEY)
    files = ["--kernel", str(kernel.image), "--initrd", str(initrd)]
    added = ciao(lab, "image", "add", "tiny", *files, "--kind", "custom")
    assert added.returncode == 0, added.stderr
    apply(lab, EXAMPLE.read_text() + IMAGES)
    await_mode(lab, "armed")
    lab.machine("remove", NODE)
    # As one who does not wait for a tree of bridges to be known: a ROM asks for a few seconds only.
    tap = "ip tuntap add vm0 mode tap && ip link set vm0 master cluster && ip link set vm0 up"
    lab.run(["sh", "-ec", tap], netns="switch")
    armed = ciao(lab, "boot", "arm", NODE, "--image", "tiny", "--ssh-key", str(key))
    assert armed.returncode == 0, armed.stderr
    lab.wait_for(lambda: "\ntag:" in lab.run(["cat", paths.NETBOOT_OPTIONS]).stdout)
    console = tmp_path / "console"
    argv = ["qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none", "-accel", "tcg", "-cpu", "max"]
    argv += ["-m", "512", "-boot", "n", "-serial", f"file:{console}"]
    device = f"virtio-net-pci,netdev=n,mac={MAC}"
    if firmware == "uefi":
        # Without the ROM that is iPXE: the firmware's own PXE, and a source of chance, which it wants.
        argv += ["-machine", "q35", "-drive", f"if=pflash,format=raw,readonly=on,file={ovmf}"]
        argv += ["-device", "virtio-rng-pci", "-device", f"{device},romfile="]
    else:
        argv += ["-device", device]
    argv += ["-netdev", "tap,id=n,ifname=vm0,script=no,downscript=no"]
    with lab.popen(argv, netns="switch", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as qemu:
        try:
            _, said = qemu.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            qemu.kill()
            _, said = qemu.communicate()
            log = lab.run(["sh", "-c", "tail -n 40 /run/ciao-wizard/netboot.log /run/ciao-wizard/dnsmasq.log"]).stdout
            text = console.read_text(errors="replace") if console.exists() else ""
            raise AssertionError(f"it did not end: {said}\n{log}\n{text[-3000:]}") from None
    text = console.read_text(errors="replace")
    assert "seed read" in text, text[-3000:] + said
    assert "thank you" in text

    def disarmed() -> bool:
        return not any(each["armed"] for each in ciao_json(lab, "boot", "status"))

    lab.wait_for(disarmed, 15, "its being disarmed")
    (boot,) = (each for each in ciao_json(lab, "boot", "status") if each["node"] == NODE)
    stages = [each["stage"] for each in boot["stages"]]
    assert stages == FIRMWARE[firmware]
