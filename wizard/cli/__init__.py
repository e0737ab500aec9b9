"""The command line. It imports the rest only when a command needs it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from wizard.cli.parser import build_parser, load_handler


def _internal(argv: Sequence[str]) -> int | None:
    """The processes the wizard starts itself; they are no commands for people. None where it is none of them."""
    if argv[:1] == ["serve"]:
        from wizard.deploy.guard.daemon import main as serve

        return serve()
    if argv[:1] == ["engine"]:
        from wizard.deploy.apply.main import main as engine

        return engine(argv[1:])
    if argv[:1] == ["metrics-textfile"] and len(argv) == 3 and argv[2].isdecimal():
        from wizard.monitor.metrics_writer import main as write_metrics

        return write_metrics(argv[1], int(argv[2]))
    if argv[:1] == ["netboot-server"] and len(argv) == 4:
        from wizard.deploy.netboot_server import main as serve_netboot

        return serve_netboot(*argv[1:])
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. No user error ends in a traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    # A caller may have us ignore the end of our children: then nobody could wait for one.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    from wizard.cli.console import complain, flush_out, open_streams, say
    from wizard.plan.findings import WizardError

    open_streams()
    status = _internal(words)
    if status is not None:
        return status
    try:
        try:
            args = build_parser().parse_args(words)
        except SystemExit:
            flush_out()
            raise
        if args.verbose:
            from wizard.host.commands import on_command

            on_command(lambda line: say(f"+ {line}"))
        status = load_handler(args.handler)(args)
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
