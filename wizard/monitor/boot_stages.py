"""How far each node has come in booting over the network: from dnsmasq's log and the netboot server's."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from wizard.deploy.netboot_server import Fetched
from wizard.host.dhcp.packet import WALK_WISH
from wizard.plan import addresses, paths
from wizard.plan.fields import format_mac
from wizard.plan.model import Plan
from wizard.plan.netboot import ArmedNode, Stage, tftp_stage

_LINE = re.compile(
    r"^(?P<stamp>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}) dnsmasq-(?P<part>dhcp|tftp)\[[0-9]+\]: (?:[0-9]+ )?(?P<text>.*)$"
)
_OFFER = re.compile(r"^DHCPOFFER\([^)]*\) [0-9.]+ (?P<mac>[0-9a-f:]{17})")
_QUESTION = re.compile(r"^DHCPDISCOVER\([^)]*\) (?:(?P<wish>[0-9.]+) )?(?P<mac>[0-9a-f:]{17})")
_SENT = re.compile(r"^sent (?P<path>.+) to (?P<ip>[0-9.]+)$")

PATIENCE_S = {
    Stage.OFFERED: 60.0,
    Stage.LOADER: 60.0,
    Stage.SCRIPT: 60.0,
    Stage.KERNEL: 120.0,
    Stage.INITRD: 300.0,
    Stage.SEED: 3600.0,
}
"""How long a node may be at a stage before it counts as stuck. An installation takes as long as it takes."""
_HINTS = {
    Stage.OFFERED: "it was offered an address and fetched no boot loader: is booting over the network on in its"
    " firmware, and is there a loader for its kind (BIOS, UEFI)?",
    Stage.LOADER: "it has its boot loader, which did not go on: with Secure Boot on, firmware refuses iPXE"
    " (arm it with --secure-boot, or switch it off)",
    Stage.SCRIPT: "it has the script and no kernel: a script of your own, or a kernel for another architecture?",
    Stage.KERNEL: "it has the kernel and not the whole initrd: is its memory too small?",
    Stage.INITRD: "it has kernel and initrd and fetched no seed: memory too small, no driver for its NIC, or a console"
    " that shows nothing (console= in the image's arguments)?",
    Stage.SEED: "it has its seed and has not reported: look at its console for a question; often it found no disk",
}
_SIGNED_HINTS = {
    Stage.LOADER: "it has its boot loader, which did not go on: are shim and GRUB of one release, and signed?",
    Stage.SCRIPT: "GRUB has its configuration, and fetched no kernel: look at its console",
    Stage.KERNEL: "it has the kernel and not the whole initrd: with Secure Boot on, GRUB refuses a kernel that nobody"
    " signed; or is its memory too small?",
}
"""The same of a node that boots with Secure Boot on."""


@dataclass(frozen=True, slots=True)
class StageTime:
    """A stage, the Unix time at which a node came to it, and seconds since the stage before, None for the first."""

    stage: Stage
    at: float
    after: float | None


@dataclass(frozen=True, slots=True)
class Boot:
    """A node and its latest boot over the network. `image`, `times`, `since`: "" where it is not armed.

    `stages`: Unix time at which it came to each; `hint`: what usually is wrong where it is stuck, or ""; `planned`: the
    image that the plan gives it, "" for its disk; `memory`: MiB that the image needs, 0 where nobody knows.
    """

    node: str
    image: str = ""
    times: str = ""
    since: str = ""
    stages: Mapping[Stage, float] = field(default_factory=dict)
    hint: str = ""
    planned: str = ""
    memory: int = 0

    @property
    def reached(self) -> tuple[Stage, float] | None:
        """The last stage, and when."""
        return max(self.stages.items(), key=_by_order) if self.stages else None

    @property
    def begun(self) -> bool:
        """Whether it is armed or has fetched something: an address is offered to everybody."""
        return bool(self.times) or bool(set(self.stages) - {Stage.OFFERED})

    @property
    def timeline(self) -> tuple[StageTime, ...]:
        """The stages that it has come to, in order."""
        found: list[StageTime] = []
        for stage, at in sorted(self.stages.items(), key=_by_order):
            found.append(StageTime(stage, at, max(at - found[-1].at, 0.0) if found else None))
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        return {
            "node": self.node,
            "image": self.image or None,
            "armed": self.times or None,
            "since": self.since or None,
            "stages": [
                {"stage": each.stage.value, "at": _iso(each.at), "seconds": each.after and round(each.after, 3)}
                for each in self.timeline
            ],
            "hint": self.hint or None,
        }


_ORDER = {stage: number for number, stage in enumerate(Stage)}


def _by_order(each: tuple[Stage, float]) -> int:
    return _ORDER[each[0]]


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


def latest_run(events: Iterable[tuple[Stage, float]]) -> dict[Stage, float]:
    """The stages of the latest boot in these events, the earliest first.

    Firmware, iPXE and installer each ask for an address: an offer alone begins no other boot. It does where an early
    stage follows it that this boot has come to already.
    """
    run: dict[Stage, float] = {}
    offered: float | None = None
    for stage, at in events:
        if stage is Stage.OFFERED:
            if set(run) - {Stage.OFFERED}:
                offered = at
                continue
        elif offered is not None:
            if stage in _FIRST and any(_ORDER[each] >= _ORDER[stage] for each in run):
                run = {Stage.OFFERED: offered}
            offered = None
        run[stage] = at
    return run


_FIRST = (Stage.LOADER, Stage.SCRIPT)


def boots(
    plan: Plan,
    armed: Iterable[ArmedNode],
    dnsmasq_log: str,
    server_log: Iterable[Fetched],
    now: float,
    who_answers: Callable[[Iterable[str]], Collection[str]] = lambda _: (),
) -> tuple[Boot, ...]:
    """Every node of the plan, in its order. `now`: Unix time.

    Of an armed node only what came after it was armed counts. `who_answers`: those of some addresses that let people
    log in, asked for the nodes that have reported.
    """
    plan = addresses.assign(plan)
    by_name = {node.name: node for node in armed}
    seen: dict[str, list[tuple[Stage, float]]] = {}
    by_mac = {format_mac(mac): node.name for node in plan.nodes for mac in node.macs}
    by_ip = {str(node.ip): node.name for node in plan.nodes}
    since = {name: datetime.fromisoformat(node.since).timestamp() for name, node in by_name.items()}
    for name, stage, at in sorted(_events(dnsmasq_log, server_log, by_mac, by_ip, now), key=lambda each: each[2]):
        # dnsmasq's log has whole seconds: what came in the second of the arming counts.
        began = since.get(name, 0.0)
        if at >= (int(began) if at == int(at) else began):
            seen.setdefault(name, []).append((stage, at))
    runs = {name: latest_run(events) for name, events in seen.items()}
    reported = {str(each.ip): each.name for each in plan.nodes if Stage.REPORTED in runs.get(each.name, {})}
    for address in who_answers(reported) if reported else ():
        runs[reported[address]][Stage.ANSWERS] = now
    found = []
    for each in plan.nodes:
        boot = Boot(each.name, stages=runs.get(each.name, {}), planned=each.image)
        if (node := by_name.get(each.name)) is not None:
            boot = replace(boot, image=node.image, times=node.times.value, since=node.since, memory=node.memory)
            boot = replace(boot, hint=_hint(boot, node, now))
        found.append(boot)
    return tuple(found)


def _hint(boot: Boot, node: ArmedNode, now: float) -> str:
    if boot.reached is None:
        return ""
    stage, at = boot.reached
    if now - at < PATIENCE_S.get(stage, float("inf")):
        return ""
    if stage is Stage.INITRD and not node.seeded:
        return ""
    memory = f" {node.image} needs {node.memory} MiB." if stage in (Stage.KERNEL, Stage.INITRD) and node.memory else ""
    hint = _SIGNED_HINTS.get(stage, _HINTS[stage]) if node.secure_boot else _HINTS[stage]
    return hint + ("." + memory if memory and not hint.endswith("?") else memory)


def _events(
    dnsmasq_log: str, server_log: Iterable[Fetched], by_mac: Mapping[str, str], by_ip: Mapping[str, str], now: float
) -> Iterator[tuple[str, Stage, float]]:
    probed = ""
    for line in dnsmasq_log.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        if question := _QUESTION.match(match["text"]):
            # The guard asks on behalf of nodes whether they would be served.
            if question["wish"] == WALK_WISH:
                probed = question["mac"]
            elif question["mac"] == probed:
                probed = ""
            continue
        offer = _OFFER.match(match["text"]) if match["part"] == "dhcp" else None
        if offer and offer["mac"] == probed:
            # dnsmasq answers at once: it is the next offer to that MAC.
            probed = ""
            continue
        sent = _SENT.match(match["text"]) if match["part"] == "tftp" else None
        name = by_mac.get(offer["mac"]) if offer else by_ip.get(sent["ip"]) if sent else None
        at = _time(match["stamp"], now)
        if name and at is not None:
            yield name, _by_tftp(sent) if sent else Stage.OFFERED, at
    for each in server_log:
        if each.stage is not None and each.whole and each.status < 300 and by_ip.get(each.source) == each.node:
            yield each.node, each.stage, each.at


def _by_tftp(sent: re.Match[str]) -> Stage:
    return tftp_stage(sent["path"].removeprefix(f"{paths.TFTP_ROOT}/{sent['ip']}/"))


def _time(stamp: str, now: float) -> float | None:
    """Unix time of a line of syslog's kind: local, and without a year."""
    year = datetime.fromtimestamp(now).year
    for guess in (year, year - 1):
        try:
            at = datetime.strptime(f"{guess} {stamp}", "%Y %b %d %H:%M:%S").astimezone().timestamp()
        except ValueError:
            continue
        if at < now + 86400:
            return at
    return None
