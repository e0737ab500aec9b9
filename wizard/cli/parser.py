"""The commands, their options, and who carries each out; what does is loaded only once it is asked for."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from wizard import VERSION

Handler = Callable[[argparse.Namespace], int]

WIZARD = "wizard.cli.interactive:wizard"
"""What is run without a command."""

HANDLERS = {
    "detect": "wizard.cli.inspect:detect",
    "probe": "wizard.cli.inspect:probe",
    "check": "wizard.cli.inspect:check",
    "render": "wizard.cli.inspect:render",
    "diff": "wizard.cli.inspect:diff",
    "apply": "wizard.cli.change:apply",
    "confirm": "wizard.cli.change:confirm",
    "rollback": "wizard.cli.change:rollback",
    "reset": "wizard.cli.change:reset",
    "status": "wizard.cli.inspect:status",
    "leases": "wizard.cli.inspect:leases",
    "instances": "wizard.cli.handover:instances",
    "export": "wizard.cli.handover:export",
    "import": "wizard.cli.handover:import_list",
    "wake": "wizard.cli.nodes:wake",
    "reboot": "wizard.cli.nodes:reboot",
    "off": "wizard.cli.nodes:off",
    "ssh": "wizard.cli.nodes:ssh",
    "metrics": "wizard.cli.metrics:metrics",
    "image": "wizard.cli.images:image",
    "boot": "wizard.cli.boot:boot",
    "lab": "wizard.cli.interactive:lab",
}
"""Each command, and "module:function" of its Handler."""

EXIT_STATUS = """\
exit status:
  0  done          1  refused or failed, with the reason    2  bad usage or unreadable plan
  3  not applied; for probe: could not tell                 4  needs root
"""

EXPORTS = (
    "ansible",
    "k3s-ansible",
    "hosts",
    "ssh-config",
    "ciao",
    "csv",
    "clush",
    "prometheus",
    "corporate-hosts",
)
"""The names of plan.export.formats.FORMATS, without loading that for --help."""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="ciao-wizard",
        description="Turns a two-NIC laptop into the gateway of an isolated cluster. Without a command: the wizard.",
        epilog=EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"ciao-wizard {VERSION}")
    top.add_argument("-v", "--verbose", action="store_true", help="print the commands that are run")
    top.add_argument("-c", "--config", metavar="PLAN", help="start the wizard with the values of this plan")
    top.set_defaults(handler=WIZARD)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, summary: str, *, json: bool = False) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        sub.set_defaults(handler=HANDLERS[name])
        sub.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if json:
            sub.add_argument("--json", action="store_true", help="JSON on stdout")
        return sub

    def plan_option(sub: argparse.ArgumentParser, required: bool = True) -> None:
        text = "the plan file, - for stdin" + ("" if required else " (default: the plan in force)")
        sub.add_argument("-c", "--config", metavar="PLAN", required=required, help=text)

    command("detect", "list the NICs and suggest a role for each", json=True)
    probe = command("probe", "probe the network behind a NIC for a DHCP server", json=True)
    probe.add_argument("nic", metavar="NIC")
    probe.add_argument("--wait", type=_seconds, metavar="S", help="listen for S seconds (default: 12)")
    probe.add_argument(
        "-c", "--config", metavar="PLAN", help="also ask as its nodes (default: the plan in force, on its cluster NIC)"
    )
    plan_option(command("check", "check a plan against this machine", json=True))
    render = command("render", "print the files that a plan produces")
    render.epilog = (
        "Of the files that set the cluster NIC's address, it prints the one of whoever manages that NIC here. To see "
        'another\'s, write backend = "networkmanager", "networkd", "netplan", "ifupdown" or "none" under [network].'
    )
    plan_option(render)
    render.add_argument("-o", "--output", metavar="DIR", help="write them under DIR at their real paths")
    plan_option(command("diff", "show what an apply would change, as a unified diff"), required=False)
    apply = command("apply", "apply a plan, then keep it or have it undone")
    plan_option(apply, required=False)
    apply.add_argument("--yes", action="store_true", help="keep it once it is verified, without asking")
    apply.add_argument(
        "--confirm-within",
        type=_seconds,
        metavar="S",
        default=120.0,
        help="undo it after S seconds without an answer (default: 120)",
    )
    apply.add_argument(
        "--stop",
        metavar="UNIT",
        action="append",
        default=[],
        help="stop and disable this service, which has port 53 or 67, until a reset; may be given again",
    )
    apply.add_argument("--events", metavar="FILE", help="write the events as JSON, one object per line")
    command("confirm", "keep the apply that waits for an answer")
    command("rollback", "undo the apply that waits for an answer, or an interrupted one")
    reset = command("reset", "undo everything the wizard did on this machine")
    reset.add_argument("--yes", action="store_true", help="do not ask")
    reset.add_argument("--forget-leases", action="store_true", help="forget the leases too")
    reset.add_argument("--forget-images", action="store_true", help="remove the images that nodes boot too")
    reset.add_argument("--only", choices=("rules", "nodes", "dhcp", "leases"), help=_ONLY)
    reset.add_argument("--events", metavar="FILE", help="write the events as JSON, one object per line")
    command("status", "show what is applied, whether it works, and what was changed by hand", json=True)
    leases = command("leases", "list the leases and the missing nodes", json=True)
    leases.add_argument("--watch", action="store_true", help="keep running and print changes")
    _handover(command, plan_option)
    _nodes(command)
    metrics = command("metrics", "print the gateway's state for Prometheus, in OpenMetrics")
    metrics.add_argument("--per-node", action="store_true", help="series for each node, VM and stranger too")
    _images(command("image", "manage the images that nodes boot over the network"))
    _boot(command("boot", "have nodes boot an image over the network"))
    lab = command("lab", "run the wizard in a virtual laboratory on this machine")
    lab.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD", help="run CMD on the virtual laptop")
    return top


_ONLY = (
    "undo nothing, re-apply one part only: reload the rules, reload the reserved nodes, restart DHCP and keep the "
    "leases (dhcp), or restart it and forget them (leases). Asks if something would be lost"
)


def _handover(command: Callable[..., argparse.ArgumentParser], plan_option: Callable[..., None]) -> None:
    """The commands for those who work on the cluster, and for the lists that come from there."""
    from wizard.plan.export.about import ABOUT

    instances = command("instances", "list the instances behind CNCIs, over ssh", json=True)
    instances.add_argument(
        "cnci", nargs="+", metavar="[USER@]CNCI", help="name or address, name or MAC of a VM's lease, or localhost"
    )
    instances.add_argument(
        "--instance-user", metavar="USER", default="demouser", help="your user on the instances (default: demouser)"
    )
    export = command("export", "print the plan in a format for other tools")
    export.formatter_class = argparse.RawDescriptionHelpFormatter
    export.epilog = "formats:\n" + "\n".join(f"  {form:16} {about}" for form, (_, about) in ABOUT.items())
    export.add_argument("format", choices=EXPORTS, metavar="FORMAT", help="one of those below")
    plan_option(export, required=False)
    export.add_argument("-o", "--output", metavar="FILE", default="-", help="write it to FILE (default: -, stdout)")
    what = "read a list of machines in any format: table, reservations, leases, inventory, arp"
    listed = command("import", what, json=True)
    listed.add_argument("file", metavar="FILE", help="the list, - for stdin")


def _nodes(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The commands that do something to nodes."""

    def on_nodes(name: str, summary: str) -> argparse.ArgumentParser:
        sub = command(name, summary, json=True)
        sub.add_argument(
            "nodes", nargs="*", metavar="NODE", help="a node of the plan in force: its name, address or MAC"
        )
        sub.add_argument("--role", metavar="ROLE", help="all nodes of this role")
        sub.add_argument("--all", action="store_true", help="all nodes of the plan")
        return sub

    def over_ssh(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--user", metavar="USER", default="", help="your user there (default: from your ssh configuration)"
        )

    wake = on_nodes("wake", "wake nodes by Wake-on-LAN, out of the cluster NIC alone")
    wake.add_argument("--wait", type=_seconds, nargs="?", const=300.0, metavar="S", help=_WAIT)
    for name, summary in (("reboot", "restart nodes"), ("off", "power nodes off")):
        sub = on_nodes(name, f"{summary}, over your own ssh, or by the BMC of those that have one")
        over_ssh(sub)
        sub.add_argument("--hard", action="store_true", help="at once, without asking the system there; needs a BMC")
        sub.add_argument("--yes", action="store_true", help="do not ask")
    ssh = on_nodes("ssh", "log in to a node over your own ssh, or run a command on many")
    over_ssh(ssh)
    ssh.add_argument(
        "--run", metavar="CMD", help="run this there, on all at once; without it, several nodes are only tested"
    )


_WAIT = "then wait until each answers, S seconds at most (default: 300)"


def _images(image: argparse.ArgumentParser) -> None:
    """The actions of `image`."""
    actions = image.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        sub.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        sub.add_argument("--json", action="store_true", help="JSON on stdout")
        return sub

    add = action("add", "copy an image from what is on this machine; nothing is downloaded")
    add.formatter_class = argparse.RawDescriptionHelpFormatter
    add.epilog = _IMAGE_SOURCES
    add.add_argument("name", metavar="NAME", help="what the plan calls it, such as debian12")
    add.add_argument("source", metavar="SOURCE", nargs="?", help="a Debian package or an ISO")
    add.add_argument("--kernel", metavar="FILE", help="a kernel, without SOURCE")
    add.add_argument("--initrd", metavar="FILE", action="append", default=[], help="its initrd; may be given again")
    add.add_argument("--script", metavar="FILE", help="a script of iPXE, instead of a kernel")
    add.add_argument("--kind", metavar="KIND", help="debian, ubuntu, talos, custom, memtest or rescue (default: seen)")
    add.add_argument("--arch", metavar="ARCH", help="amd64 or arm64 (default: seen)")
    action("list", "list the images and what they take on the disk")
    check = action("check", "read every file of images again and compare it with its checksum")
    check.add_argument("name", metavar="NAME", nargs="*", help="an image (default: all)")
    remove = action("remove", "remove images, whole ones or what there is of them")
    remove.add_argument("name", metavar="NAME", nargs="+", help="an image")


def _boot(boot: argparse.ArgumentParser) -> None:
    """The actions of `boot`."""
    actions = boot.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        sub.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        sub.add_argument("--json", action="store_true", help="JSON on stdout")
        return sub

    arm = action("arm", "let nodes boot an image; all others go on to their disk")
    arm.add_argument("nodes", nargs="*", metavar="NODE", help="a node of the plan in force: its name, address or MAC")
    arm.add_argument("--role", metavar="ROLE", help="all nodes of this role")
    arm.add_argument("--all", action="store_true", help="all nodes of the plan")
    arm.add_argument("--image", metavar="IMAGE", default="", help="an image of the plan (default: the node's own)")
    arm.add_argument("--wake", action="store_true", help="then wake them by Wake-on-LAN")
    often = arm.add_mutually_exclusive_group()
    often.add_argument("--once", action="store_true", help="until it has reported (default)")
    often.add_argument("--always", action="store_true", help="at every boot, until it is disarmed")
    arm.add_argument("--to-disk", choices=("exit", "sanboot"), default="exit", help=_TO_DISK)
    arm.add_argument("--secure-boot", action="store_true", help=_SECURE_BOOT)
    arm.add_argument("--ssh-key", metavar="FILE", action="append", default=[], help=_SSH_KEY)
    arm.add_argument("--user", metavar="USER", default="", help="who logs in with it (default: the plan's, else ciao)")
    arm.add_argument("--proxy", metavar="URL", default="", help="a proxy for what is installed (default: the plan's)")
    arm.add_argument("--disk", metavar="DISK", default="", help=_DISK)
    disarm = action("disarm", "have nodes boot from their disk again")
    disarm.add_argument("nodes", nargs="*", metavar="NODE", help="an armed node's name")
    disarm.add_argument("--all", action="store_true", help="all that are armed")
    loaders = action("loaders", "copy the boot loaders out of Debian's packages, which need not be installed")
    loaders.epilog = _LOADERS
    loaders.add_argument("packages", metavar="PACKAGE", nargs="+", help="a package's file, or a directory with them")
    discover = action("discover", "find machines that are in no plan: shown a page when they boot over the network")
    discover.epilog = "They get an address for two minutes, a boot loader and the page, and nothing else."
    how = discover.add_mutually_exclusive_group()
    how.add_argument("--for", metavar="TIME", dest="seconds", type=_duration, default=1800.0, help=_HOW_LONG)
    how.add_argument("--off", action="store_true", help="end it; the list stays until a reset")
    how.add_argument("--list", action="store_true", help="only show those that were found")
    status = action("status", "show who is armed, and how far each node has come")
    status.add_argument("--watch", action="store_true", help="keep running and print changes, one a line")
    status.epilog = "The wizard has all of this on its page Boot: b on the dashboard."


_LOADERS = (
    "apt-get download ipxe, then ciao-wizard boot loaders ipxe_*.deb. For Secure Boot: shim-signed and"
    " grub-efi-amd64-signed; for Raspberry Pis: raspi-firmware (non-free-firmware) and linux-image-arm64's kernel."
)
_SECURE_BOOT = "they have x64 UEFI with Secure Boot on: Debian's signed shim and GRUB are served in place of iPXE"
_DISK = "what is installed on, such as /dev/nvme0n1; all of it is overwritten (default: the installer's choice)"
_TO_DISK = "how iPXE goes on to the disk, where the image is disk: firmware differs in what works (default: exit)"
_HOW_LONG = "such as 90s, 30m or 2h, up to a day (default: 30m)"
_SSH_KEY = "your public key, for what is installed; may be given again (default: the plan's, else ~/.ssh/id_*.pub)"

_IMAGE_SOURCES = """\
sources:
  Debian's installer   apt-get download debian-installer-12-netboot-amd64
                       ciao-wizard image add debian12 debian-installer-12-netboot-amd64_*.deb
  its rescue mode      the same, with --kind rescue
  Ubuntu Server        ciao-wizard image add ubuntu ubuntu-24.04-live-server-amd64.iso
  Talos                ciao-wizard image add talos --kind talos --kernel vmlinuz-amd64 --initrd initramfs-amd64.xz
  memtest86+           apt-get download memtest86+
                       ciao-wizard image add memtest memtest86+_*.deb
  anything else        ciao-wizard image add mine --kernel vmlinuz --initrd initrd.img
"""


def _duration(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    seconds = int(number) * {"s": 1, "m": 60, "h": 3600}.get(unit, 0) if number.isascii() and number.isdigit() else 0
    if not 0 < seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 90s, 30m or 2h, up to a day")
    return float(seconds)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0 and up to 86400")
    return value


def load_handler(handler: str) -> Handler:
    """The function that "module:function" names."""
    from importlib import import_module

    module, _, name = handler.partition(":")
    found: Handler = getattr(import_module(module), name)
    return found
