"""Nodes that boot, of plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from wizard.monitor.boot_board import ArmableImage, BootBoard
from wizard.monitor.boot_stages import Boot
from wizard.plan.findings import WizardError
from wizard.plan.netboot import Stage

if TYPE_CHECKING:
    from wizard.actions.boot import ArmOrder

AT = datetime(2026, 3, 2, 14, 0, 23, tzinfo=UTC).timestamp()
KEY_FILE = "/home/me/.ssh/id_ed25519.pub"
IMAGES = (
    ArmableImage("debian12", overwrites="all of one disk"),
    ArmableImage("memtest", installs=False),
    ArmableImage("disk", installs=False),
)


def boot(name: str, image: str = "", times: str = "", planned: str = "", hint: str = "", **seconds: float) -> Boot:
    """A node; `seconds`: how long ago it came to each stage."""
    since = datetime.fromtimestamp(AT - 600, UTC).isoformat() if times else ""
    stages = {Stage(stage): AT - ago for stage, ago in seconds.items()}
    return Boot(name, image, times, since, stages, hint, planned, 1024 if image == "debian12" else 0)


STUCK = (
    "it has kernel and initrd and fetched no seed: memory too small, no driver for its NIC, or a console that shows "
    "nothing (console= in the image's arguments)? debian12 needs 1024 MiB."
)
BOOTS = (
    boot("controller", "debian12", "once", offered=92, loader=91, script=89, kernel=87, initrd=51.5, seed=12),
    boot("network", "debian12", "once", hint=STUCK, offered=590, script=588, kernel=586, initrd=550),
    boot("compute1", planned="debian12", offered=5000, script=4990, kernel=4988, initrd=4980, seed=4970, reported=4210,
         answers=4101),
    boot("compute2"),
)  # fmt: skip


@dataclass(kw_only=True)
class FakeBoots:
    """Mixed into the services. What is armed and disarmed is so at the next look."""

    booting: tuple[Boot, ...] = BOOTS
    bootable: tuple[ArmableImage, ...] = IMAGES
    not_bootable: str = ""
    boots_refused: WizardError | None = None
    arming_refused: WizardError | None = None
    key_files: tuple[str, ...] = (KEY_FILE,)
    orders: list[ArmOrder] = field(default_factory=list)

    if TYPE_CHECKING:
        did: list[str]

    def boots(self) -> BootBoard:
        if self.boots_refused is not None:
            raise self.boots_refused
        return BootBoard(self.booting, self.bootable, self.not_bootable)

    def usual_key_files(self) -> tuple[str, ...]:
        return self.key_files

    def arm_nodes(self, names: Sequence[str], order: ArmOrder) -> None:
        self.did.append(f"arm {' '.join(names)}")
        self.orders.append(order)
        if self.arming_refused is not None:
            raise self.arming_refused
        image = order.image or "debian12"
        self.booting = tuple(boot(b.node, image, order.times) if b.node in names else b for b in self.booting)

    def disarm_nodes(self, names: Sequence[str]) -> None:
        self.did.append(f"disarm {' '.join(names)}")
        self.booting = tuple(
            replace(b, image="", times="", since="", hint="") if b.node in names else b for b in self.booting
        )
