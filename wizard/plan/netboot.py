"""Who is armed with what, and so which request over the network is answered. Everybody else gets nothing.

A node is armed with an image (`arm_node`): all that it may fetch is laid down in that moment, as a table of paths.
`decide` looks a request up in the table of the address that it comes from. No path is ever joined or resolved.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from netaddr import EUI, AddrFormatError, IPAddress

from wizard.plan import addresses, paths, raw_machines
from wizard.plan.fields import format_mac, shown
from wizard.plan.findings import WizardError
from wizard.plan.image_manifest import Manifest
from wizard.plan.images import (
    FROM_DISK,
    GRUB,
    IPXE_LOADERS,
    PI_FIRMWARE,
    PI_PREFIXES,
    PI_TREES,
    SHIM,
    Architecture,
    BootUrls,
    Image,
    ImageKind,
    boot_arguments,
    url_mac,
)
from wizard.plan.model import Node, Plan
from wizard.plan.raw_machines import RawMachine
from wizard.plan.seed_fields import Answers

if TYPE_CHECKING:
    from wizard.plan.seeds import OwnTemplate

VERSION = 1
GRUB_CONFIGS = ("grub/grub.cfg", "debian-installer/amd64/grub/grub.cfg")
"""Where Debian's signed GRUBs look: that of grub-efi-amd64-signed, and that of its installer."""
_PI_CONFIGS = ("config.txt", "cmdline.txt")
LONGEST_TARGET = 300
"""Characters of a request's path; every path of ours is shorter."""


class Times(StrEnum):
    """How often an armed node may install: `ONCE` disarms it when it has reported."""

    ONCE = "once"
    ALWAYS = "always"


class ToDisk(StrEnum):
    """How iPXE hands over to the disk where the image is none: firmware differs in what works."""

    EXIT = "exit"
    SANBOOT = "sanboot"


TO_DISK = {
    # UEFI takes an exit that is no failure for a boot that went well, and shows its set-up.
    ToDisk.EXIT: ("iseq ${platform} efi && exit 1 ||", "exit"),
    ToDisk.SANBOOT: ("sanboot --no-describe --drive 0x80",),
}
"""The lines of iPXE's script for each."""


class Stage(StrEnum):
    """How far a node has come, in order."""

    OFFERED = "offered"
    LOADER = "loader"
    SCRIPT = "script"
    KERNEL = "kernel"
    INITRD = "initrd"
    SEED = "seed"
    REPORTED = "reported"
    ANSWERS = "answers"


class ArmedDamaged(WizardError):
    """A text that is no record of armed nodes."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a path answers: a file's path, or a text. `stage`: how far a node is that fetches it."""

    stage: Stage
    file: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class ArmedNode:
    """A node that may boot an image, and all that it may fetch: URL path -> what is answered.

    `address`: its reserved one; `macs`: with ":"; `since`: ISO 8601 with zone; `seeded`: whether its image has a seed
    that must have been fetched before a report counts; `memory`: MiB that it needs, 0 where nobody knows;
    `secure_boot`: its firmware boots only what is signed; `tftp`: the same as `paths` for TFTP, without a "/" at the
    start; `gateway`: the address in the scripts and seeds that were laid down.
    """

    name: str
    address: str
    macs: tuple[str, ...]
    image: str
    times: Times
    since: str
    paths: Mapping[str, Served] = field(default_factory=dict)
    seeded: bool = False
    memory: int = 0
    secure_boot: bool = False
    tftp: Mapping[str, Served] = field(default_factory=dict)
    gateway: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "address": self.address,
            "macs": list(self.macs),
            "image": self.image,
            "times": self.times.value,
            "since": self.since,
            "seeded": self.seeded,
            "memory": self.memory,
            "secure_boot": self.secure_boot,
            "gateway": self.gateway,
            "paths": _paths_as_json(self.paths),
            "tftp": _paths_as_json(self.tftp),
        }


@dataclass(frozen=True, slots=True)
class BootReply:
    """What a request gets: an HTTP status, and what is sent. For the log, `node`: "" for a stranger; `stage`: None
    where nothing was fetched."""

    status: int
    served: Served | None = None
    node: str = ""
    stage: Stage | None = None
    raw: bool = False
    machine: RawMachine | None = None
    """Of a machine that no plan has, and that asks for its page."""


_STRANGER, _NOT_THEIRS, _WRONG_METHOD = 403, 404, 405


def decide(armed: Mapping[str, ArmedNode], method: str, target: str, source: str) -> BootReply:
    """The reply to a request. `armed`: by address; `target`: the request's target as it came, still encoded."""
    node = armed.get(source)
    if node is None:
        return BootReply(_STRANGER)
    found = node.paths.get(target) if len(target) <= LONGEST_TARGET else None
    if found is None:
        return BootReply(_NOT_THEIRS, node=node.name)
    methods = ("GET", "HEAD", "POST") if found.stage is Stage.REPORTED else ("GET", "HEAD")
    if method not in methods:
        return BootReply(_WRONG_METHOD, node=node.name)
    # Firmware asks by HEAD how large a file is: nothing was fetched yet.
    return BootReply(200, found, node.name, None if method == "HEAD" else found.stage)


def raw_paths(gateway: IPAddress) -> dict[str, Served]:
    """What a machine that no plan has may fetch besides its own page: URL path -> what is answered."""
    loaders = {f"/first/{name}": Served(Stage.LOADER, f"{paths.BOOT_LOADERS}/{name}") for name in IPXE_LOADERS.values()}
    return {raw_machines.PATH: Served(Stage.SCRIPT, text=raw_machines.first_script(gateway)), **loaders}


def decide_raw(table: Mapping[str, Served], method: str, target: str) -> BootReply:
    """The reply to a machine that no plan has. `table`: see `raw_paths`."""
    found, machine = table.get(target), None
    if found is None and (machine := raw_machines.parse_target(target)) is not None:
        found = Served(Stage.SCRIPT, text=raw_machines.page(machine))
    if found is None:
        return BootReply(_STRANGER)
    if method not in ("GET", "HEAD"):
        return BootReply(_WRONG_METHOD)
    return BootReply(200, found, raw=True, machine=machine if method == "GET" else None)


def arm_node(
    plan: Plan,
    node: Node,
    image: Image,
    manifest: Manifest | None,
    answers: Answers,
    since: str,
    times: Times = Times.ONCE,
    to_disk: ToDisk = ToDisk.EXIT,
    own: OwnTemplate | None = None,
    secure_boot: bool = False,
) -> ArmedNode:
    """Lay down what a node may fetch. `manifest`: None for the disk alone. `plan` must have passed the rules.

    `secure_boot`: by x64 UEFI that boots nothing but what is signed, and so no iPXE.

    Raises WizardError: TemplateWrong, and where the image has nothing that boots, or nothing that boots so.
    """
    # It loads jinja2 and yaml, which the netboot server has no use for.
    from wizard.plan.seeds import main_seed, render_seeds

    plan = addresses.assign(plan)
    address = next(each.ip for each in plan.nodes if each.name == node.name)
    urls = BootUrls(plan.network.gateway)
    files = _files_of(image, manifest)
    table: dict[str, Served] = {}
    seeded = False
    directory = f"{paths.IMAGES}/{image.name}"
    script = image.script or (manifest.script if manifest else "")
    if secure_boot and image.kind is ImageKind.DISK:
        # Firmware takes GRUB's exit for a boot that went well, and shows its set-up. A shim started by a shim fails.
        raise WizardError(
            "with Secure Boot on, nothing leads on from GRUB to a machine's own disk",
            f"Disarm {node.name}: its firmware goes on to the disk by itself.",
        )
    if secure_boot and (script or image.architecture is not Architecture.AMD64):
        what = "an iPXE script" if script else f"of {image.architecture}"
        raise WizardError(
            f"the image {shown(image.name)} is {what}, which does not boot with Secure Boot on",
            "Switch Secure Boot off in the node's firmware, and leave --secure-boot out.",
        )
    for file, stage in files.items():
        table[_path(urls, urls.file(image.name, file))] = Served(stage, file=f"{directory}/{file}")
    for mac in node.macs:
        boot = f"/boot/{url_mac(mac)}"
        if script:
            table[boot] = Served(Stage.SCRIPT, file=f"{directory}/{script}")
        else:
            table[boot] = Served(Stage.SCRIPT, text=_script(plan, node, image, manifest, urls, mac, to_disk))
        for seed in render_seeds(plan, node, image, answers, urls, own, mac):
            table[_path(urls, urls.seed(mac)) + seed.name] = Served(Stage.SEED, text=seed.text)
            # Talos without a template has a patch for talosctl, and fetches nothing.
            seeded = seeded or seed.name == main_seed(image.seed_form)
        table[_path(urls, urls.report(mac))] = Served(Stage.REPORTED, text="thank you\n")
    for loader in IPXE_LOADERS.values():
        table[f"/first/{loader}"] = Served(Stage.LOADER, file=f"{paths.BOOT_LOADERS}/{loader}")
    macs = tuple(map(format_mac, node.macs))
    tftp = _by_tftp(plan, node, image, manifest, urls, macs, secure_boot)
    memory = image.memory_mib
    return ArmedNode(
        node.name,
        str(address),
        macs,
        image.name,
        times,
        since,
        table,
        seeded,
        memory,
        secure_boot,
        tftp,
        str(plan.network.gateway),
    )


def _by_tftp(
    plan: Plan,
    node: Node,
    image: Image,
    manifest: Manifest | None,
    urls: BootUrls,
    macs: tuple[str, ...],
    secure_boot: bool,
) -> dict[str, Served]:
    """What a node may fetch by TFTP: the first stage, and all up to the kernel where that is not iPXE."""
    first: tuple[str, ...] = tuple(IPXE_LOADERS.values())
    texts: dict[str, str] = {}
    is_pi = any(mac.startswith(PI_PREFIXES) for mac in macs) and image.architecture is Architecture.ARM64
    if secure_boot:
        first += (SHIM, GRUB)
    if is_pi:
        first += PI_FIRMWARE + PI_TREES
    table = {name: Served(Stage.LOADER, file=f"{paths.BOOT_LOADERS}/{name}") for name in first}
    kernel, initrd = _kernel(image, manifest)
    if kernel and (secure_boot or is_pi):
        iso = manifest.iso if manifest else ""
        arguments = {
            format_mac(mac): boot_arguments(image, urls, mac, node.name, plan.network.domain, iso) for mac in node.macs
        }
        names = [f"initrd/{number}" for number, _ in enumerate(initrd)]
        texts = dict.fromkeys(GRUB_CONFIGS, _grub_config(node, image, arguments, names)) if secure_boot else {}
        if is_pi:
            lines = ["arm_64bit=1", "enable_uart=1", "kernel=kernel/linux"]
            lines += [f"initramfs {','.join(names)} followkernel"] if names else []
            texts |= dict(zip(_PI_CONFIGS, ("\n".join([*lines, ""]), f"{arguments[macs[0]]}\n"), strict=True))
        directory = f"{paths.IMAGES}/{image.name}"
        table["kernel/linux"] = Served(Stage.KERNEL, file=f"{directory}/{kernel}")
        for name, file in zip(names, initrd, strict=True):
            table[name] = Served(Stage.INITRD, file=f"{directory}/{file}")
    return {**table, **{path: Served(Stage.SCRIPT, text=text) for path, text in texts.items()}}


def _grub_config(node: Node, image: Image, arguments: Mapping[str, str], initrd: Iterable[str]) -> str:
    """What GRUB does. `arguments`: of the kernel, by the MAC that it was fetched by. By TFTP: the module for HTTP is
    none of those that are signed."""
    lines = [f"echo '{node.name}: {image.name}'"]
    for mac, words in arguments.items():
        # A ";" would end the command; no argument has a quote in it.
        quoted = " ".join(f"'{word}'" for word in words.split())
        lines += [f'if [ "$net_default_mac" = "{mac}" ]; then', f"    linux /kernel/linux {quoted}", "fi"]
    lines += [" ".join(["initrd", *(f"/{name}" for name in initrd)])] if initrd else []
    return "\n".join([*lines, "boot", ""])


def tftp_stage(path: str) -> Stage:
    """How far a node is that fetched `path` of its own by TFTP."""
    if path in (*GRUB_CONFIGS, *_PI_CONFIGS):
        return Stage.SCRIPT
    return {"kernel": Stage.KERNEL, "initrd": Stage.INITRD}.get(path.partition("/")[0], Stage.LOADER)


def _path(urls: BootUrls, url: str) -> str:
    return url.removeprefix(urls.base)


def _kernel(image: Image, manifest: Manifest | None) -> tuple[str, tuple[str, ...]]:
    kernel = image.kernel or (manifest.kernel if manifest else "")
    return kernel, image.initrd or (manifest.initrd if manifest else ())


def _files_of(image: Image, manifest: Manifest | None) -> dict[str, Stage]:
    """What is fetched of an image, and nothing else of its directory."""
    if image.kind is ImageKind.DISK:
        return {}
    kernel, initrd = _kernel(image, manifest)
    script = image.script or (manifest.script if manifest else "")
    if manifest is None or not (kernel or script):
        raise WizardError(
            f"the image {shown(image.name)} has no kernel on this machine", "See 'ciao-wizard image list'."
        )
    if script:
        # Only who wrote it knows what it fetches.
        return {file.path: Stage.KERNEL for file in manifest.files if file.path != script}
    files = {kernel: Stage.KERNEL, **dict.fromkeys(initrd, Stage.INITRD)}
    return {**files, manifest.iso: Stage.INITRD} if manifest.iso else files


def _script(
    plan: Plan, node: Node, image: Image, manifest: Manifest | None, urls: BootUrls, mac: EUI, to_disk: ToDisk
) -> str:
    """What iPXE does. Names in it were validated: none has a blank or a `$`."""
    lines = ["#!ipxe", f"echo {node.name}: {image.name}"]
    if image.kind is ImageKind.DISK:
        return "\n".join([*lines, *TO_DISK[to_disk], ""])
    kernel, initrd = _kernel(image, manifest)
    iso = manifest.iso if manifest else ""
    arguments = boot_arguments(image, urls, mac, node.name, plan.network.domain, iso)
    # By EFI a Linux kernel finds its initrds by these names alone; BIOS ignores the words.
    names = [f"initrd={path.rpartition('/')[2]}" for path in initrd]
    lines.append(" ".join(filter(None, ["kernel", urls.file(image.name, kernel), *names, arguments])))
    lines += [f"initrd {urls.file(image.name, path)}" for path in initrd]
    return "\n".join([*lines, "boot", ""])


def still_planned(plan: Plan, armed: Iterable[ArmedNode]) -> tuple[ArmedNode, ...]:
    """The armed nodes that the plan still has, by name, address and MACs, with its image and behind this gateway."""
    plan = addresses.assign(plan)
    known = {(node.name, str(node.ip), tuple(map(format_mac, node.macs))) for node in plan.nodes}
    images, gateway = {FROM_DISK, *(image.name for image in plan.images)}, str(plan.network.gateway)
    return tuple(
        node
        for node in armed
        if (node.name, node.address, node.macs) in known and node.image in images and node.gateway in ("", gateway)
    )


def after_stages(node: ArmedNode, seen: Iterable[Stage]) -> ArmedNode | None:
    """The node after what it was seen to fetch; None where it is to be disarmed: it fetched its seed and reported."""
    stages = set(seen)
    done = Stage.REPORTED in stages and (Stage.SEED in stages or not node.seeded)
    return None if done and node.times is Times.ONCE else node


def dump_armed(armed: Iterable[ArmedNode], raw: Mapping[str, Served] | None = None) -> str:
    """The record's text. `raw`: for the netboot server alone, what those in no plan may fetch."""
    data: dict[str, Any] = {"version": VERSION, "nodes": [node.as_json() for node in armed]}
    if raw:
        data["raw"] = _paths_as_json(raw)
    return json.dumps(data) + "\n"


def _paths_as_json(table: Mapping[str, Served]) -> dict[str, list[str]]:
    return {path: [each.stage.value, each.file, each.text] for path, each in table.items()}


def _paths_from_json(data: Any) -> dict[str, Served]:
    return {path: Served(Stage(stage), str(file), str(text)) for path, (stage, file, text) in data.items()}


def load_raw_paths(text: str) -> dict[str, Served]:
    """What machines that no plan has may fetch, {} for nothing. Raises ArmedDamaged."""
    try:
        return _paths_from_json(json.loads(text).get("raw", {}))
    except _NO_RECORD as problem:
        raise _damaged() from problem


def load_armed(text: str) -> tuple[ArmedNode, ...]:
    """The armed nodes of a record's text. Raises ArmedDamaged."""
    try:
        data = json.loads(text)
        if data["version"] != VERSION:
            raise ValueError
        nodes = tuple(map(_node, data["nodes"]))
    except _NO_RECORD as problem:
        raise _damaged() from problem
    return nodes


_NO_RECORD = (ValueError, KeyError, TypeError, AttributeError, RecursionError, AddrFormatError)


def _damaged() -> ArmedDamaged:
    return ArmedDamaged(
        "the record of armed nodes cannot be read", "Nobody is armed. Arm again: sudo ciao-wizard boot arm."
    )


def _node(data: Any) -> ArmedNode:
    return ArmedNode(
        str(data["name"]),
        str(IPAddress(data["address"])),
        tuple(format_mac(EUI(mac)) for mac in data["macs"]),
        str(data["image"]),
        Times(data["times"]),
        _moment(data["since"]),
        _paths_from_json(data["paths"]),
        bool(data["seeded"]),
        int(data["memory"]),
        bool(data.get("secure_boot", False)),
        _paths_from_json(data.get("tftp", {})),
        str(data.get("gateway", "")),
    )


def _moment(text: str) -> str:
    """The same text, which others compare with a clock. Raises ValueError, TypeError."""
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError(text)
    return text


def with_seeds_fetched(armed: Iterable[ArmedNode], names: Collection[str]) -> tuple[ArmedNode, ...]:
    """The same, `names` having fetched their seeds: a report is all that they are waited for."""
    return tuple(replace(node, seeded=False) if node.name in names else node for node in armed)


def rearmed(armed: Iterable[ArmedNode], new: Iterable[ArmedNode]) -> tuple[ArmedNode, ...]:
    """With others armed besides, or instead where they were armed already; by name."""
    both = {node.name: node for node in (*armed, *new)}
    return tuple(both[name] for name in sorted(both))


def without(armed: Iterable[ArmedNode], names: Iterable[str]) -> tuple[ArmedNode, ...]:
    gone = set(names)
    return tuple(node for node in armed if node.name not in gone)
