"""The commands that do something to nodes: wake, reboot, off, ssh. Nothing is changed here."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from wizard.cli.console import ask, coloured, flush_out, out, out_json, say
from wizard.plan.findings import WizardError
from wizard.plan.text import clean

if TYPE_CHECKING:
    from wizard.actions.outcome import NodeOutcome
    from wizard.plan.model import Node, Plan

_MOST_NAMED = 8


def wake(args: argparse.Namespace) -> int:
    from wizard.actions.power import WAKE, Order, carry_out
    from wizard.actions.wake import send_to, wait_for

    plan, nodes = _chosen(args)
    outcomes = carry_out(plan, nodes, Order(WAKE))
    if args.wait is None:
        return _report(args, outcomes, nodes)
    _say_unless_json(args, f"Waking {_named(nodes)}; waiting up to {args.wait:g} s.")
    # Whoever is there in the end was woken, whatever became of a packet.
    unwoken = {outcome.node: outcome for outcome in outcomes if not outcome.ok}
    for outcome in unwoken.values():
        _say_unless_json(args, f"{outcome.node}: {outcome.detail}. {outcome.remedy}".strip())
    return _report(args, wait_for(plan, nodes, args.wait, lambda missed: send_to(plan, missed)), nodes)


def reboot(args: argparse.Namespace) -> int:
    return _order(args, "reboot", "Restart")


def off(args: argparse.Namespace) -> int:
    return _order(args, "off", "Power off")


def _order(args: argparse.Namespace, action: str, words: str) -> int:
    from wizard.actions.power import Order, carry_out

    plan, nodes = _chosen(args)
    if not args.yes and not ask(f"{words} {_named(nodes)}{' at once' if args.hard else ''}? [y/N] "):
        raise WizardError("nothing was done", "Answer y, or run it with --yes.")
    return _report(args, carry_out(plan, nodes, Order(action, args.user, args.hard)), nodes)


def ssh(args: argparse.Namespace) -> int:
    """Log in to one node; with --run, or several nodes, or --json: what came of each."""
    from wizard.actions import shell
    from wizard.actions.outcome import on_each
    from wizard.host.ssh import log_in

    plan, nodes = _chosen(args)
    if args.run is None and not args.json and len(nodes) == 1 and not (args.all or args.role):
        flush_out()
        log_in(shell.target_of(plan, nodes[0], args.user))
    return _report(args, on_each(nodes, lambda node: shell.run(plan, node, args.run or "", args.user)), nodes)


def _chosen(args: argparse.Namespace) -> tuple[Plan, tuple[Node, ...]]:
    from wizard.actions.targets import choose, plan_in_force
    from wizard.host.ssh import parse_target

    if getattr(args, "user", ""):
        # ssh would take a word with a dash for an option.
        parse_target(f"{args.user}@node")
    plan = plan_in_force()
    return plan, choose(plan, args.nodes, args.role or "", args.all)


def _named(nodes: Sequence[Node]) -> str:
    names = ", ".join(node.name for node in nodes[:_MOST_NAMED])
    return f"{len(nodes)} nodes ({names}, …)" if len(nodes) > _MOST_NAMED else names


def _say_unless_json(args: argparse.Namespace, text: str) -> None:
    if not args.json:
        say(clean(text, 400))


def _report(args: argparse.Namespace, outcomes: Iterator[NodeOutcome], nodes: Sequence[Node]) -> int:
    """Each outcome as it comes; for JSON all of them, in the plan's order. 0 where all are well, else 1."""
    found: dict[str, NodeOutcome] = {}
    action = args.handler.rpartition(":")[2]
    for outcome in outcomes:
        found[outcome.node] = outcome
        if not args.json:
            _print(outcome)
            flush_out()
    if args.json:
        out_json([found[node.name].as_json(action) for node in nodes if node.name in found])
    good = sum(outcome.ok for outcome in found.values())
    if not args.json and len(nodes) > 1:
        say(f"{good} of {len(nodes)} done.")
    return 0 if good == len(nodes) else 1


def _print(outcome: NodeOutcome) -> None:
    sign, colour = ("✓", "good") if outcome.ok else ("✗", "error")
    out(f"{coloured(sign, colour, sys.stdout)} {clean(outcome.node, 63):16}  {clean(outcome.detail, 300)}")
    if outcome.remedy and not outcome.ok:
        out(f"    {clean(outcome.remedy, 300)}")
    for line in outcome.output.splitlines():
        # A node's own words.
        out(f"    {clean(line, 2000)}")
