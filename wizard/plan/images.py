"""Images: what machines can boot over the network, and with which kernel arguments.

An image is an `[[images]]` of the plan; what lies on the disk for it is a `Manifest` (`image_manifest`). Its keys are
read by `image_fields`, and judged by `rules.images`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from netaddr import EUI, IPAddress

FROM_DISK = "disk"
"""The image of a node without one, and a name that needs no `[[images]]`: the machine boots from its disk."""
HTTP_PORT = 8069
"""TCP port of the gateway's netboot server, on the cluster NIC alone: 69 is TFTP's, and no service is known there."""
TFTP_PORT = 69
IPXE_LOADERS = {"bios": "undionly.kpxe", "efi64": "snponly.efi", "arm64": "snponly-arm64.efi"}
"""The boot loader that each kind of firmware gets, by dnsmasq's tag: iPXE, which goes on by HTTP."""
IPXE_IN_PACKAGE = {
    "undionly.kpxe": ("undionly.kpxe",),
    "snponly.efi": ("snponly.efi",),
    "snponly-arm64.efi": ("snponly-arm64.efi", "arm64-efi/snponly.efi", "ipxe-arm64.efi"),
}
"""Each of them, and its names in Debian's package `ipxe`, below usr/lib/ipxe."""
SHIM, GRUB = "shimx64.efi", "grubx64.efi"
"""The first stage of x64 UEFI with Secure Boot on: what Microsoft and Debian signed. The shim fetches GRUB by this
name, from beside itself."""
PI_PREFIXES = ("28:cd:c1", "2c:cf:67", "88:a2:9e", "b8:27:eb", "d8:3a:dd", "dc:a6:32", "e4:5f:01")
"""What the MACs of Raspberry Pis begin with."""
PI_FIRMWARE = (
    "bootcode.bin",
    *(f"start{kind}.elf" for kind in ("", "_cd", "_db", "_x", "4", "4cd", "4db", "4x")),
    *(f"fixup{kind}.dat" for kind in ("", "_cd", "_db", "_x", "4", "4cd", "4db", "4x")),
)
"""What a Raspberry Pi fetches of Debian's package `raspi-firmware`, below usr/lib/raspi-firmware."""
PI_TREES = tuple(
    f"bcm{name}.dtb"
    for name in (
        "2711-rpi-4-b",
        "2711-rpi-400",
        "2711-rpi-cm4-io",
        "2837-rpi-3-a-plus",
        "2837-rpi-3-b",
        "2837-rpi-3-b-plus",
    )
)
"""The descriptions of its hardware, of Debian's package `linux-image-arm64` and its kin."""
LONGEST_COMMAND_LINE = 2048
"""Bytes of a kernel's command line with its end, on x86 and arm64 (COMMAND_LINE_SIZE)."""


class ImageKind(StrEnum):
    """What an image is. `RESCUE` is Debian's installer in its rescue mode, `DISK` boots the machine's own disk."""

    DEBIAN = "debian"
    UBUNTU = "ubuntu"
    TALOS = "talos"
    CUSTOM = "custom"
    DISK = "disk"
    MEMTEST = "memtest"
    RESCUE = "rescue"


class Architecture(StrEnum):
    """A machine's, in Debian's words."""

    AMD64 = "amd64"
    ARM64 = "arm64"


class SeedForm(StrEnum):
    """In what form an installer is told what to do."""

    NONE = "none"
    PRESEED = "preseed"
    AUTOINSTALL = "autoinstall"
    NOCLOUD = "nocloud"
    TALOS = "talos"
    IGNITION = "ignition"


IPXE_LOADERS_OF = {
    Architecture.AMD64: (IPXE_LOADERS["bios"], IPXE_LOADERS["efi64"]),
    Architecture.ARM64: (IPXE_LOADERS["arm64"],),
}
"""Those that machines of an architecture may ask for."""


@dataclass(frozen=True, slots=True)
class KindDefaults:
    """What an image of a kind has where the plan does not say. `memory` in MiB, 0 where nobody knows."""

    seed: SeedForm
    memory: int
    source: str
    """What `image add` takes for it, for remedies."""


KINDS = {
    # Debian's manual, and what its installer unpacks; below it goes on in a mode that asks questions.
    ImageKind.DEBIAN: KindDefaults(SeedForm.PRESEED, 1024, "debian-installer-12-netboot-amd64_….deb"),
    # The whole ISO is fetched into memory. With less it hangs without a word.
    ImageKind.UBUNTU: KindDefaults(SeedForm.AUTOINSTALL, 4096, "ubuntu-24.04-live-server-amd64.iso"),
    ImageKind.TALOS: KindDefaults(SeedForm.TALOS, 2048, "--kernel vmlinuz-amd64 --initrd initramfs-amd64.xz"),
    ImageKind.CUSTOM: KindDefaults(SeedForm.NONE, 0, "--kernel FILE --initrd FILE, or --script FILE"),
    ImageKind.DISK: KindDefaults(SeedForm.NONE, 0, ""),
    ImageKind.MEMTEST: KindDefaults(SeedForm.NONE, 0, "memtest86+_….deb"),
    ImageKind.RESCUE: KindDefaults(SeedForm.NONE, 1024, "debian-installer-12-netboot-amd64_….deb --kind rescue"),
}
ADD = "sudo ciao-wizard image add"
LOADER_REMEDY = "Run `apt-get download ipxe`, then `sudo ciao-wizard boot loaders ipxe_*.deb`."
SIGNED_REMEDY = (
    "Run `apt-get download shim-signed grub-efi-amd64-signed`, then give both to `sudo ciao-wizard boot loaders`."
)
REMOVE = "sudo ciao-wizard image remove"

SEEDS_OF = {
    ImageKind.DEBIAN: (SeedForm.PRESEED, SeedForm.NONE),
    ImageKind.UBUNTU: (SeedForm.AUTOINSTALL, SeedForm.NONE),
    ImageKind.TALOS: (SeedForm.TALOS, SeedForm.NONE),
    ImageKind.CUSTOM: tuple(SeedForm),
}
"""The forms that each kind reads; other kinds read none."""


@dataclass(frozen=True, slots=True)
class Image:
    """An `[[images]]` of the plan.

    `kernel`, `initrd`, `script`: files of the image as `image add` stored them, "" and () for those that it noted;
    `arguments`: kernel arguments after those of the kind; `seed`: None for the kind's own form; `template`: path of a
    template in place of ours, "" for ours; `memory`: MiB that a machine needs, None for the kind's own figure.
    """

    name: str
    kind: ImageKind
    kernel: str = ""
    initrd: tuple[str, ...] = ()
    arguments: str = ""
    seed: SeedForm | None = None
    template: str = ""
    architecture: Architecture = Architecture.AMD64
    memory: int | None = None
    script: str = ""

    @property
    def seed_form(self) -> SeedForm:
        return KINDS[self.kind].seed if self.seed is None else self.seed

    @property
    def reports(self) -> bool:
        """Whether an installation reports its end, which disarms the node. Talos runs no commands."""
        return self.seed_form not in (SeedForm.NONE, SeedForm.TALOS)

    @property
    def memory_mib(self) -> int:
        """0 where nobody knows."""
        return KINDS[self.kind].memory if self.memory is None else self.memory


@dataclass(frozen=True, slots=True)
class SeedAnswers:
    """The plan's `[seeds]`: what machines get that are installed. There is no secret in it.

    `user`: who logs in, "" for ciao; `ssh_keys`: public keys, or paths of them, () for those in the person's ~/.ssh;
    `proxy`: a URL, "" for none. See `seed_fields`.
    """

    user: str = ""
    ssh_keys: tuple[str, ...] = ()
    proxy: str = ""


NO_ANSWERS = SeedAnswers()
DISK_IMAGE = Image(FROM_DISK, ImageKind.DISK)


@dataclass(frozen=True, slots=True)
class BootUrls:
    """The addresses at which the gateway serves images, seeds and reports. MACs in them have dashes, as iPXE's
    `${mac:hexhyp}` writes them."""

    gateway: IPAddress
    port: int = HTTP_PORT

    @property
    def base(self) -> str:
        return f"http://{self.gateway}:{self.port}"

    def file(self, image: str, file: str) -> str:
        return f"{self.base}/images/{image}/{file}"

    def seed(self, mac: EUI) -> str:
        """The directory of a node's seeds, with its "/"."""
        return f"{self.base}/seed/{url_mac(mac)}/"

    def report(self, mac: EUI) -> str:
        """Fetched by an installer that is done."""
        return f"{self.base}/report/{url_mac(mac)}"


def url_mac(mac: EUI) -> str:
    return int(mac).to_bytes(6, "big").hex("-")


def default_arguments(image: Image, urls: BootUrls, mac: EUI, name: str, domain: str, iso: str = "") -> str:
    """The kernel arguments of the image's kind, for one node. `iso`: the file of the image that is an ISO, or "".

    `boot_arguments` adds the plan's own.
    """
    seeds = urls.seed(mac)
    seeded = image.seed_form is not SeedForm.NONE
    # Which of several NICs the machine has booted by, as PXELINUX says it: its own hardware type comes first.
    words = [f"BOOTIF=01-{url_mac(mac)}"]
    match image.kind:
        case ImageKind.DEBIAN:
            words += ["interface=auto", f"hostname={name}", f"domain={domain}"]
            words += ["auto=true", "priority=critical", f"url={seeds}preseed.cfg"] if seeded else []
        case ImageKind.RESCUE:
            words += ["interface=auto", f"hostname={name}", f"domain={domain}", "rescue/enable=true"]
        case ImageKind.UBUNTU:
            words.append("ip=dhcp")
            words += [f"url={urls.file(image.name, iso)}"] if iso else []
            # Without the last one cloud-init fetches the address in url= as a configuration: the ISO, a second time.
            words += ["autoinstall", f"ds=nocloud;s={seeds}", "cloud-config-url=/dev/null"] if seeded else []
        case ImageKind.TALOS:
            words = ["talos.platform=metal", "slab_nomerge", "pti=on", "consoleblank=0", "printk.devkmsg=on"]
            # Without a whole configuration Talos waits for one in its maintenance mode; a patch alone it refuses.
            words += [f"talos.config={seeds}config.yaml"] if seeded and image.template else []
        case ImageKind.CUSTOM:
            words = _custom_words(image, seeds)
        case _:
            words = []
    return " ".join(words)


def _custom_words(image: Image, seeds: str) -> list[str]:
    """The arguments by which a kernel that is none of the kinds finds a seed."""
    match image.seed_form:
        case SeedForm.PRESEED:
            return ["auto=true", "priority=critical", f"url={seeds}preseed.cfg"]
        case SeedForm.AUTOINSTALL:
            return ["autoinstall", f"ds=nocloud;s={seeds}", "cloud-config-url=/dev/null"]
        case SeedForm.NOCLOUD:
            return [f"ds=nocloud;s={seeds}"]
        case SeedForm.TALOS:
            return ["talos.platform=metal", *([f"talos.config={seeds}config.yaml"] if image.template else [])]
        case SeedForm.IGNITION:
            return ["ignition.firstboot", "ignition.platform.id=metal", f"ignition.config.url={seeds}config.ign"]
        case _:
            return []


def boot_arguments(image: Image, urls: BootUrls, mac: EUI, name: str, domain: str, iso: str = "") -> str:
    """The whole command line of the kernel: the kind's own arguments, then the plan's, which win where both say it."""
    own = default_arguments(image, urls, mac, name, domain, iso)
    return f"{own} {image.arguments}".strip()
