"""The boots of this machine's nodes, followed: who is armed, how far each has come, what can be armed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.util import find_spec

from wizard.deploy.armed import read_armed
from wizard.deploy.images.loaders import missing_loaders
from wizard.deploy.netboot_check import netboot_trouble
from wizard.deploy.netboot_server import read_log
from wizard.host.files import read_text
from wizard.host.net.tcp_ports import answering
from wizard.host.plan_in_force import Unreadable, running_plan
from wizard.monitor.boot_stages import Boot, boots
from wizard.plan import paths
from wizard.plan.boot_outline import overwrites
from wizard.plan.findings import NeedsRoot, WizardError
from wizard.plan.images import DISK_IMAGE, FROM_DISK, IPXE_LOADERS_OF, LOADER_REMEDY, Image
from wizard.plan.netboot import Stage

_TAIL = 1 << 20
_SSH = 22
_PATIENCE_S = 0.5


@dataclass(frozen=True, slots=True)
class ArmableImage:
    """What nodes can be armed with. `installs`: whether it may overwrite a disk; `reports`: whether it says its end.

    `overwrites`: what of a machine, in words; "" where nobody knows.
    """

    name: str
    installs: bool = True
    reports: bool = True
    overwrites: str = ""


@dataclass(frozen=True, slots=True)
class BootBoard:
    """Every node of the plan in force, in its order; `images`: its images and, last, the disk; () where it has none.

    `problem`: what is missing here for a node to boot, with its remedy; "" where nothing is.
    """

    nodes: tuple[Boot, ...]
    images: tuple[ArmableImage, ...] = ()
    problem: str = ""


class BootWatch:
    """Looks at the boots of this machine; remembers between looks who answered and since when."""

    def __init__(self) -> None:
        self._answered: dict[str, tuple[float, float]] = {}
        """Node -> when it reported, and when it was first found to answer."""
        self._answering: frozenset[str] = frozenset()
        self._answered_before: frozenset[str] = frozenset()
        """The addresses that answered at this look, and at the one before."""

    def look(self) -> BootBoard:
        """Raises WizardError: with status 3 where nothing is applied, NeedsRoot, ArmedDamaged. May take a second."""
        plan = running_plan(Unreadable.SKIP)
        if plan is None:
            error = WizardError("nothing is applied here", "Apply a plan with 'ciao-wizard apply -c PLAN'.")
            error.status = 3
            raise error
        if os.geteuid() != 0:
            # What was laid down for the armed may hold secrets.
            raise NeedsRoot("who is armed is root's alone to read", "Run it with sudo.")
        self._answered_before, self._answering = self._answering, frozenset()
        log, served = read_text(paths.DNSMASQ_LOG) or "", read_text(paths.NETBOOT_LOG) or ""
        found = boots(plan, read_armed(), log[-_TAIL:], read_log(served), time.time(), self._who_answers)
        images = tuple(map(_armable, (*plan.images, DISK_IMAGE))) if plan.images else ()
        return BootBoard(tuple(map(self._since_first, found)), images, _problem(plan.images))

    def _who_answers(self, addresses: Iterable[str]) -> frozenset[str]:
        """Whoever has answered once is not asked again: its sshd logs each question."""
        asked = frozenset(addresses)
        known = asked & self._answered_before
        new = answering([(address, _SSH) for address in sorted(asked - known)], _PATIENCE_S)
        self._answering = known | {address for address, _ in new}
        return self._answering

    def _since_first(self, boot: Boot) -> Boot:
        """The boot with the time at which its node was first found to answer."""
        if Stage.ANSWERS not in boot.stages:
            self._answered.pop(boot.node, None)
            return boot
        reported = boot.stages[Stage.REPORTED]
        before, first = self._answered.get(boot.node, (0.0, 0.0))
        if before != reported:
            first = boot.stages[Stage.ANSWERS]
            self._answered[boot.node] = (reported, first)
        return replace(boot, stages={**boot.stages, Stage.ANSWERS: first})


def refuse_without_server() -> None:
    """Raises WizardError where the extra is not installed that serves nodes."""
    if find_spec("aiohttp") is None:
        raise WizardError("aiohttp is not installed, which serves nodes", "pip install 'ciao-wizard[boot]'")


def without_loaders(images: Iterable[Image]) -> str:
    """Which boot loaders are missing here for images of these, and what to do; "" where none is."""
    asked = {each for image in images if image.name != FROM_DISK for each in IPXE_LOADERS_OF[image.architecture]}
    absent = [loader for loader in missing_loaders() if loader in asked]
    return f"No boot loader {', '.join(absent)} is here. {LOADER_REMEDY}" if absent else ""


def _problem(images: Iterable[Image]) -> str:
    try:
        refuse_without_server()
    except WizardError as error:
        return f"{error.message}: {error.remedy}"
    return netboot_trouble() or without_loaders(images)


def _armable(image: Image) -> ArmableImage:
    return ArmableImage(
        image.name, overwrites(image).unasked, image.reports or image.name == FROM_DISK, overwrites(image).value
    )
