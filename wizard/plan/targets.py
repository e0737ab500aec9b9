"""Who gets a DHCP option: tags of dnsmasq, which a reservation sets and an option asks for."""

from __future__ import annotations

from typing import NamedTuple

from wizard.plan.dhcp_options import words
from wizard.plan.model import DhcpOption, Machine, Node, Plan

MADE_UP_MACS = "0e:c1:a0:*:*:*"
"""Those that the guard asks with in a node's place: locally administered, and not ones that virtual machines use."""


class OptionTarget(NamedTuple):
    """`kind`: "all", "role" or "node" (also a device)."""

    kind: str
    name: str = ""

    @property
    def tag(self) -> str:
        return "cluster" if self.kind == "all" else f"{self.kind}-{self.name}"


ALL = OptionTarget("all")
_ORDER = ("all", "role", "node")


def machine_names(plan: Plan) -> frozenset[str]:
    return frozenset(machine.name for machine in plan.machines)


def option_targets(option: DhcpOption, names: frozenset[str]) -> list[OptionTarget]:
    """Each word of `to` as a machine with that name, else as a role. `names`: of all machines of the plan."""
    if not option.to:
        return [ALL]
    return [OptionTarget("node" if word in names else "role", word) for word in option.to]


def option_lines(plan: Plan) -> list[tuple[int, str]]:
    """Each option's index in the plan and its line for dnsmasq, once for each target.

    Of several that a machine has the tags of, dnsmasq sends the last one: nodes' come after roles', and both after
    those for all.
    """
    names = machine_names(plan)
    found = [
        (target, number, f"dhcp-option=tag:{target.tag},{words(option)}")
        for number, option in enumerate(plan.options)
        for target in option_targets(option, names)
    ]
    found.sort(key=lambda each: _ORDER.index(each[0].kind))
    return [(number, line) for _, number, line in found]


def used_targets(plan: Plan) -> frozenset[OptionTarget]:
    """The targets that an option of the plan names."""
    names = machine_names(plan)
    return frozenset(target for option in plan.options for target in option_targets(option, names))


def tags_of(machine: Machine, used: frozenset[OptionTarget]) -> list[str]:
    """The tags that a reservation sets: only those that an option asks for."""
    roles = machine.roles if isinstance(machine, Node) else ()
    held = [*(OptionTarget("role", str(role)) for role in roles), OptionTarget("node", machine.name)]
    return [target.tag for target in held if target in used]
