"""The page Boot by keyboard in the laboratory, and nodes that fetch what firmware and an installer would."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.guarding import await_mode
from tests.lab.keyboard import At, nowhere
from tests.lab.support import EXAMPLE, HERE, apply, await_nodes, ciao
from tests.lab.terminal import Terminal
from wizard.lab.control import Laboratory
from wizard.lab.world import NODES as MACHINES
from wizard.plan import paths

URL = "http://192.168.0.200:8069"
IMAGES = '\n[[images]]\nname = "debian12"\nkind = "custom"\nseed = "preseed"\n'
PLACE = "/run/ciao-lab"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBxRkm0q8u2uLGyIpVSWhVYpVtV4b0pZ1vS8o0Q8mJwG me@laptop\n"
MACS = {machine.name: machine.mac for machine in MACHINES}


@contextmanager
def bootable() -> Iterator[Laboratory]:
    """A laboratory whose plan in force has an image, debian12, which is none of Debian's; loaders are there."""
    with Laboratory() as lab:
        make = f"cd {PLACE}; echo kernel >linux; echo initrd >initrd; cat >key.pub"
        lab.run(["sh", "-ec", make], input=KEY)
        files = ["--kernel", f"{PLACE}/linux", "--initrd", f"{PLACE}/initrd"]
        added = ciao(lab, "image", "add", "debian12", *files, "--kind", "custom")
        assert added.returncode == 0, added.stderr
        make = f"mkdir {paths.BOOT_LOADERS}; cd {paths.BOOT_LOADERS}; touch undionly.kpxe snponly.efi snponly-arm64.efi"
        lab.run(["sh", "-ec", make])
        apply(lab, EXAMPLE.read_text() + IMAGES)
        await_nodes(lab)
        await_mode(lab, "armed")
        yield lab


@contextmanager
def at_the_boot_page(lab: Laboratory) -> Iterator[Terminal]:
    """The wizard on a terminal of its own in the laptop's place, on its page Boot."""
    with Terminal(lab.command(["ciao-wizard"]), env=lab.env) as terminal:
        if terminal.page("Welcome", "Dashboard", "Leases") != "Dashboard":
            terminal.press("escape")
            terminal.page("Dashboard")
        terminal.press("b")
        terminal.page("Boot")
        terminal.says("controller", "compute2")
        yield terminal
        terminal.press("ctrl+q")
        terminal.ended()


def arm_two(terminal: Terminal, at: At = nowhere) -> None:
    """Mark the two compute nodes and arm them with debian12."""
    terminal.press("down", "down", "space", "space")
    terminal.says("2 marked")
    terminal.press("enter")
    terminal.says("(x) debian12", "SSH keys")
    # To the files of keys, of which root may have some.
    terminal.press("tab", "tab", "ctrl+u")
    terminal.type(f"{PLACE}/key.pub")
    terminal.says("key.pub")
    at("boot-arm")
    terminal.press("enter")
    terminal.says("y arms.")
    at("boot-asks")
    terminal.press("y")
    terminal.says("2 armed")


def ask_as_firmware(lab: Laboratory, node: str) -> None:
    _act(lab, node, "discover", "eth0", told=[{"mac": MACS[node], "arch": 7, "vendor": "PXEClient", "ipxe": True}])


def fetch(lab: Laboratory, node: str, *stages: str) -> None:
    """As iPXE and an installer would; stages: script, kernel, initrd, seed, reported."""
    mac = MACS[node].replace(":", "-")
    urls = {
        "script": f"boot/{mac}",
        "kernel": "images/debian12/linux",
        "initrd": "images/debian12/initrd",
        "seed": f"seed/{mac}/preseed.cfg",
        "reported": f"report/{mac}",
    }
    for stage in stages:
        lab.wait_for(lambda: _act(lab, node, "http", f"{URL}/{urls[stage]}")[0] == 200, 20, stage)  # noqa: B023


def _act(lab: Laboratory, where: str, *argv: str, told: object = None) -> list[object]:
    script = [sys.executable, str(HERE / "netboot_actors.py"), *argv]
    found: list[object] = json.loads(lab.run(script, netns=where, input=json.dumps(told) if told else "").stdout)
    return found
