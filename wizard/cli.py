"""The command line. It imports the rest only when a command needs it."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence

from wizard import VERSION

Handler = Callable[[argparse.Namespace], int]

EXIT_STATUS = """\
exit status:
  0  done          1  refused or failed, said why        2  bad usage or unreadable plan
  3  nothing is applied; for probe: could not tell       4  root is needed
"""

EXPORTS = ("ansible", "k3s-ansible", "hosts", "ssh-config", "ciao", "csv", "corporate-hosts")
"""The names of plan.export.FORMATS, without loading that for --help."""


def parser() -> argparse.ArgumentParser:
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
    top.set_defaults(handler="wizard.cli_wizard:wizard")
    commands = top.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, handler: str, summary: str, *, json: bool = False) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        sub.set_defaults(handler=handler)
        sub.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if json:
            sub.add_argument("--json", action="store_true", help="JSON on stdout")
        return sub

    def plan_option(sub: argparse.ArgumentParser, required: bool = True) -> None:
        text = "the plan file, - for stdin" + ("" if required else "; without it the plan in force")
        sub.add_argument("-c", "--config", metavar="PLAN", required=required, help=text)

    command("detect", "wizard.cli_show:detect", "the NICs, what is known of each, and a suggestion", json=True)
    probe = command("probe", "wizard.cli_show:probe", "ask whether a DHCP server answers behind a NIC", json=True)
    probe.add_argument("nic", metavar="NIC")
    probe.add_argument("--wait", type=_seconds, metavar="S", help="listen this long (12)")
    probe.add_argument(
        "-c", "--config", metavar="PLAN", help="ask for its nodes too (default: the plan in force, on its cluster NIC)"
    )
    plan_option(command("check", "wizard.cli_show:check", "findings on a plan, against this machine", json=True))
    render = command("render", "wizard.cli_show:render", "the files that a plan stands for")
    plan_option(render)
    render.add_argument("-o", "--output", metavar="DIR", help="write them under DIR at their real paths")
    plan_option(command("diff", "wizard.cli_show:diff", "what an apply would change, as unified diff"), required=False)
    apply = command("apply", "wizard.cli_change:apply", "apply a plan, then keep it or let it go back by itself")
    plan_option(apply, required=False)
    apply.add_argument("--yes", action="store_true", help="keep it once every verification holds")
    apply.add_argument(
        "--confirm-within", type=_seconds, metavar="S", default=120.0, help="go back after S seconds without an answer"
    )
    apply.add_argument("--events", metavar="FILE", help="write what happens as JSON, one object a line")
    command("confirm", "wizard.cli_change:confirm", "keep the apply that waits for an answer")
    command("rollback", "wizard.cli_change:rollback", "take back the apply that waits, or one that was cut off")
    reset = command("reset", "wizard.cli_change:reset", "undo everything the wizard ever did here")
    reset.add_argument("--yes", action="store_true", help="do not ask")
    what = reset.add_mutually_exclusive_group()
    what.add_argument("--forget-leases", action="store_true", help="remove the leases too")
    what.add_argument("--only", choices=("rules", "nodes", "dhcp", "leases"), help=_ONLY)
    reset.add_argument("--events", metavar="FILE", help="write what happens as JSON, one object a line")
    command("status", "wizard.cli_show:status", "what is applied, whether it works, what has drifted", json=True)
    leases = command("leases", "wizard.cli_show:leases", "who has which address, who is missing", json=True)
    leases.add_argument("--watch", action="store_true", help="go on, and say what changes")
    _handover(command, plan_option)
    lab = command("lab", "wizard.cli_wizard:lab", "the same inside a virtual laboratory on this machine")
    lab.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD", help="run CMD in the laptop's place")
    return top


_ONLY = (
    "undo nothing; bring one part of what is applied about anew: load the rules again, read the reserved nodes again, "
    "restart DHCP and keep the leases, or restart it and forget the leases. Asks where something would be lost"
)


def _handover(command: Callable[..., argparse.ArgumentParser], plan_option: Callable[..., None]) -> None:
    """The commands for those who work on the cluster, and for the lists that come from there."""
    from wizard.plan.export.about import ABOUT

    instances = command("instances", "wizard.cli_handover:instances", "the instances behind CNCIs, over ssh", json=True)
    instances.add_argument(
        "cnci", nargs="+", metavar="[USER@]CNCI", help="name, address, name or MAC of a VM's lease, or localhost"
    )
    instances.add_argument("--instance-user", metavar="USER", default="demouser", help="who you are there (demouser)")
    export = command("export", "wizard.cli_handover:export", "the plan as other tools read it")
    export.formatter_class = argparse.RawDescriptionHelpFormatter
    export.epilog = "formats:\n" + "\n".join(f"  {form:16} {about}" for form, (_, about) in ABOUT.items())
    export.add_argument("format", choices=EXPORTS, metavar="FORMAT", help="see below")
    plan_option(export, required=False)
    export.add_argument("-o", "--output", metavar="FILE", default="-", help="write it there; - is stdout, the default")
    what = "read a list of machines in any format: a table, reservations, leases, an inventory, arp"
    listed = command("import", "wizard.cli_handover:import_list", what, json=True)
    listed.add_argument("file", metavar="FILE", help="the list, - for stdin")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0 (and up to 86400)")
    return value


def _internal(argv: Sequence[str]) -> int | None:
    """The two processes the wizard starts itself; they are no commands for people. None where it is neither."""
    if argv[:1] == ["serve"]:
        from wizard.deploy.guard.daemon import main as serve

        return serve()
    if argv[:1] == ["engine"]:
        from wizard.deploy.apply.main import main as engine

        return engine(argv[1:])
    return None


def _load(handler: str) -> Handler:
    from importlib import import_module

    module, _, name = handler.partition(":")
    found: Handler = getattr(import_module(module), name)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. No user error ends in a traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    # A caller may have us ignore the end of our children: then nobody could wait for one.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    from wizard.console import complain, flush_out, open_streams, say
    from wizard.plan.findings import WizardError

    open_streams()
    status = _internal(words)
    if status is not None:
        return status
    try:
        try:
            args = parser().parse_args(words)
        except SystemExit:
            flush_out()
            raise
        if args.verbose:
            from wizard.host.commands import on_command

            on_command(lambda line: say(f"+ {line}"))
        status = _load(args.handler)(args)
        flush_out()
        return status
    except WizardError as error:
        complain(error)
        return error.status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read us has seen enough.
        return 128 + signal.SIGPIPE
