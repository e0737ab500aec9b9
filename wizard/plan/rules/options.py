"""DHCP options: who gets them, and whether they fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from wizard.plan.dhcp_options import code_of, described, length
from wizard.plan.fields import shown
from wizard.plan.findings import Finding, error, warning
from wizard.plan.model import Plan
from wizard.plan.targets import ALL, OptionTarget, machine_names, option_targets

MOST_OPTIONS = 1000
ROOM = 240
"""Bytes that a client which takes packets of 576 bytes has for options besides those that every answer holds."""
_DEFAULT = "0.0.0.0/0"


def of_plan(plan: Plan) -> Iterator[Finding]:
    if len(plan.options) > MOST_OPTIONS:
        message = f"{len(plan.options)} options are more than {MOST_OPTIONS}."
        yield error("options-many", "options", message, "Give them to roles instead of nodes.")
    yield from _targets(plan)
    yield from _twice(plan)
    yield from _room(plan)
    for number, option in enumerate(plan.options):
        if code_of(option.option) == 121 and isinstance(option.value, tuple) and _DEFAULT not in option.value[::2]:
            yield warning(
                "option-without-default-route",
                f"options[{number}].value",
                "A client that gets classless-static-route ignores the router: these nodes have no default route.",
                f'Add "{_DEFAULT}", "{plan.network.gateway}", unless they are to have none.',
            )


def _targets(plan: Plan) -> Iterator[Finding]:
    names = machine_names(plan)
    holders: dict[str, set[str]] = {}
    for node in plan.nodes:
        for role in node.roles:
            holders.setdefault(str(role), set()).add(node.name)
    for number, option in enumerate(plan.options):
        for word in option.to:
            field = f"options[{number}].to"
            if word not in names and word not in holders:
                known = ", ".join([*holders, *(machine.name for machine in plan.machines[:4])][:8]) or "none yet"
                message = f"{described(option)} is for {shown(word)}, and no node and no role has that name."
                yield error("option-to-nobody", field, message, f"Name a node or a role ({known}).")
            elif word in names and holders.get(word, set()) - {word}:
                message = f"{shown(word)} is a node and a role: {described(option)} goes to the node alone."
                yield warning("option-ambiguous", field, message, "Name each of the role's nodes if you mean the role.")


def _twice(plan: Plan) -> Iterator[Finding]:
    names = machine_names(plan)
    first: dict[tuple[int, OptionTarget], int] = {}
    for number, option in enumerate(plan.options):
        for target in option_targets(option, names):
            if first.setdefault((code_of(option.option), target), number) != number:
                whom = "all" if target == ALL else shown(target.name)
                message = f"{described(option)} is there twice for {whom}."
                yield error("option-taken", f"options[{number}].option", message, "Keep one of the two.")
                break


def _room(plan: Plan) -> Iterator[Finding]:
    names = machine_names(plan)
    used: Counter[OptionTarget] = Counter()
    last: dict[OptionTarget, int] = {}
    for number, option in enumerate(plan.options):
        for target in option_targets(option, names):
            used[target] += length(option) + 2
            last[target] = number
    for_all = used[ALL]
    roles = sum((size for target, size in used.items() if target.kind == "role"), 0)
    for target, size in used.items():
        most = size + (for_all if target != ALL else 0) + (roles if target.kind == "node" else 0)
        if most > ROOM:
            whom = "everybody" if target == ALL else shown(target.name)
            message = f"The options for {whom} have {most} bytes; a client may have room for {ROOM} only."
            remedy = "What does not fit is left out, and dnsmasq's log says so: shorten or remove some."
            yield warning("option-room", f"options[{last[target]}].value", message, remedy)
            return
