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
    "lab": "wizard.cli.interactive:lab",
}
"""Each command, and "module:function" of its Handler."""

EXIT_STATUS = """\
exit status:
  0  done          1  refused or failed, said why        2  bad usage or unreadable plan
  3  nothing is applied; for probe: could not tell       4  root is needed
"""

EXPORTS = ("ansible", "k3s-ansible", "hosts", "ssh-config", "ciao", "csv", "corporate-hosts")
"""The names of plan.export.FORMATS, without loading that for --help."""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="ciao-wizard",
        description="Turns a two-NIC laptop into the gateway of an isolated cluster. Without a command: the wizard.",
        epilog=EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"ciao-wizard {VERSION}")
    top.add_argument("-v", "--verbose", action="store_true", help="say which commands are run")
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
        text = "the plan file, - for stdin" + ("" if required else "; without it the plan in force")
        sub.add_argument("-c", "--config", metavar="PLAN", required=required, help=text)

    command("detect", "the NICs, what is known of each, and a suggestion", json=True)
    probe = command("probe", "ask whether a DHCP server answers behind a NIC", json=True)
    probe.add_argument("nic", metavar="NIC")
    probe.add_argument("--wait", type=_seconds, metavar="S", help="listen this long (12)")
    probe.add_argument(
        "-c", "--config", metavar="PLAN", help="ask for its nodes too (default: the plan in force, on its cluster NIC)"
    )
    plan_option(command("check", "findings on a plan, against this machine", json=True))
    render = command("render", "the files that a plan stands for")
    plan_option(render)
    render.add_argument("-o", "--output", metavar="DIR", help="write them under DIR at their real paths")
    plan_option(command("diff", "what an apply would change, as unified diff"), required=False)
    apply = command("apply", "apply a plan, then keep it or let it go back by itself")
    plan_option(apply, required=False)
    apply.add_argument("--yes", action="store_true", help="keep it once every verification holds")
    apply.add_argument(
        "--confirm-within", type=_seconds, metavar="S", default=120.0, help="go back after S seconds without an answer"
    )
    apply.add_argument("--events", metavar="FILE", help="write what happens as JSON, one object a line")
    command("confirm", "keep the apply that waits for an answer")
    command("rollback", "take back the apply that waits, or one that was cut off")
    reset = command("reset", "undo everything the wizard ever did here")
    reset.add_argument("--yes", action="store_true", help="do not ask")
    what = reset.add_mutually_exclusive_group()
    what.add_argument("--forget-leases", action="store_true", help="remove the leases too")
    what.add_argument("--only", choices=("rules", "nodes", "dhcp", "leases"), help=_ONLY)
    reset.add_argument("--events", metavar="FILE", help="write what happens as JSON, one object a line")
    command("status", "what is applied, whether it works, what has drifted", json=True)
    leases = command("leases", "who has which address, who is missing", json=True)
    leases.add_argument("--watch", action="store_true", help="go on, and say what changes")
    _handover(command, plan_option)
    lab = command("lab", "the same inside a virtual laboratory on this machine")
    lab.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD", help="run CMD in the laptop's place")
    return top


_ONLY = (
    "undo nothing; bring one part of what is applied about anew: load the rules again, read the reserved nodes again, "
    "restart DHCP and keep the leases, or restart it and forget the leases. Asks where something would be lost"
)


def _handover(command: Callable[..., argparse.ArgumentParser], plan_option: Callable[..., None]) -> None:
    """The commands for those who work on the cluster, and for the lists that come from there."""
    from wizard.plan.export.about import ABOUT

    instances = command("instances", "the instances behind CNCIs, over ssh", json=True)
    instances.add_argument(
        "cnci", nargs="+", metavar="[USER@]CNCI", help="name, address, name or MAC of a VM's lease, or localhost"
    )
    instances.add_argument("--instance-user", metavar="USER", default="demouser", help="who you are there (demouser)")
    export = command("export", "the plan as other tools read it")
    export.formatter_class = argparse.RawDescriptionHelpFormatter
    export.epilog = "formats:\n" + "\n".join(f"  {form:16} {about}" for form, (_, about) in ABOUT.items())
    export.add_argument("format", choices=EXPORTS, metavar="FORMAT", help="see below")
    plan_option(export, required=False)
    export.add_argument("-o", "--output", metavar="FILE", default="-", help="write it there; - is stdout, the default")
    what = "read a list of machines in any format: a table, reservations, leases, an inventory, arp"
    listed = command("import", what, json=True)
    listed.add_argument("file", metavar="FILE", help="the list, - for stdin")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0 (and up to 86400)")
    return value


def load_handler(handler: str) -> Handler:
    """The function that "module:function" names."""
    from importlib import import_module

    module, _, name = handler.partition(":")
    found: Handler = getattr(import_module(module), name)
    return found
