"""The wizard itself, here and in the laboratory. What only other commands need is not loaded on the way to it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wizard.plan.findings import WizardError


def wizard(args: argparse.Namespace) -> int:
    """The TUI."""
    text, source = None, ""
    if args.config is not None:
        from wizard.cli.plans import read_plan, read_plan_text

        # On a terminal the screen comes first, and what the text says is read behind it.
        text, source = read_plan_text(args.config) if _terminal() else read_plan(args.config)[1:]
    if not _terminal():
        raise WizardError(
            "the wizard needs a terminal",
            "Without a terminal use the commands: ciao-wizard apply -c PLAN, status, leases; 'ciao-wizard --help'.",
        )
    from wizard.app import run

    status, parting = run(text, source)
    if parting:
        from wizard.cli.console import say

        say(parting)
    return status


def lab(args: argparse.Namespace) -> int:
    """The laboratory, with a command in it or with the wizard."""
    from wizard.lab.enter import enter

    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    return enter(command or wizard_in_lab())


def wizard_in_lab() -> list[str]:
    """What the laboratory runs when it is given nothing: the wizard, with the sample's plan suggested."""
    if not _terminal():
        raise WizardError(
            "'lab' without a command opens the wizard, which needs a terminal",
            "Give a command: ciao-wizard lab -- sh -c 'ciao-wizard apply -c PLAN --yes'.",
        )
    return [sys.executable, "-P", "-m", "wizard", "-c", str(sample_plan())]


def sample_plan() -> Path:
    """examples/ciao.toml, inside the installed package or beside it in a checkout."""
    import wizard as top

    package = Path(top.__file__).resolve().parent
    installed = package / "examples" / "ciao.toml"
    return installed if installed.is_file() else package.parent / "examples" / "ciao.toml"


def _terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
