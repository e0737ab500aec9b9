"""Nodes from a list of machines, pasted or from a file: missing roles and names are filled in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count

from wizard.plan.draft.check import macs_of
from wizard.plan.draft.model import ForwardText, NodeText
from wizard.plan.machine_lists import read_list
from wizard.plan.model import USUAL_ROLES, ClusterKind, Role


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A line, or the lines of one machine, that gave no node. `number` counts from 1; `why` is for the user."""

    number: int
    line: str
    why: str


@dataclass(frozen=True, slots=True)
class ImportedNodes:
    """`nodes` are complete. `skipped_rows` has every line that should have given a node and did not.

    `heading` is the line that says which column is what, "" where there is none.
    """

    nodes: tuple[NodeText, ...]
    skipped_rows: tuple[SkippedRow, ...]
    heading: str = ""

    @property
    def rest(self) -> str:
        """The lines that were not understood, as text to correct and read again."""
        lines = [line.line for line in self.skipped_rows]
        return "\n".join([self.heading, *lines] if self.heading and lines else lines)


@dataclass(frozen=True, slots=True)
class MergedNodes:
    """The merged nodes; how many are new, changed, or unchanged."""

    nodes: tuple[NodeText, ...]
    new: int = 0
    changed: int = 0
    same: int = 0


def read_nodes(
    text: str,
    taken: Iterable[str] = (),
    known: Mapping[str, NodeText] | None = None,
    kind: ClusterKind = ClusterKind.CIAO,
) -> ImportedNodes:
    """The nodes of a list in any format of `machine_lists`. A machine without a MAC is not understood.

    Missing values come from `known`, by MAC; else the role from the name (the last of the kind's by default), and the
    name from the role, avoiding `taken`.
    """
    found: list[NodeText] = []
    skipped_rows: list[SkippedRow] = []
    listed = read_list(text)
    for machine in listed.machines:
        # The same MAC twice is to be seen as two rows, where a person can choose.
        labels = machine.labels if kind is not ClusterKind.CIAO else ()
        understood = machine.contradicts or (machine.role_problem and labels)
        problem = "" if understood else machine.problem
        if problem or not machine.mac:
            skipped_rows.append(SkippedRow(machine.line, machine.text, problem or machine.no_mac_reason))
            continue
        roles = machine.roles if machine.roles_listed and kind is ClusterKind.CIAO else labels
        role = ", ".join(roles)
        found.append(NodeText(role, machine.name, ", ".join(machine.macs), machine.ip))
    return ImportedNodes(_completed(found, taken, known or {}, kind), tuple(skipped_rows), listed.heading)


def merge_nodes(nodes: Sequence[NodeText], reading: ImportedNodes) -> MergedNodes:
    """`nodes` with those of `reading`, which replace nodes with the same MAC."""
    place = {mac: number for number, node in enumerate(nodes) for mac in (node.mac, *macs_of(node.mac))}
    result = list(nodes)
    new = changed = same = 0
    for node in reading.nodes:
        at = next((place[mac] for mac in macs_of(node.mac) if mac in place), None)
        if at is None:
            # The same MAC twice among the new ones is a mistake, to be seen as two rows.
            result.append(node)
            new += 1
        elif result[at] == node:
            same += 1
        else:
            result[at] = node
            changed += 1
    return MergedNodes(tuple(result), new, changed, same)


def follow_renames(forwards: tuple[ForwardText, ...], names: Mapping[str, str]) -> tuple[ForwardText, ...]:
    """`forwards` with the targets renamed. `names` maps old node names to new ones."""
    new_names = {old.strip().lower(): new for old, new in names.items() if old.strip() and new.strip()}
    if not new_names:
        return forwards
    return tuple(replace(each, to=new_names.get(each.to.strip().lower(), each.to)) for each in forwards)


def free_node_name(role: str, taken: Collection[str]) -> str:
    """A name for a node of that role, as the guide has them: controller, network, compute1, compute2."""
    return next(name for name in _names(role or "node") if name not in taken)


def suggest_role(nodes: Iterable[NodeText], host_name: str = "", kind: ClusterKind = ClusterKind.CIAO) -> str:
    """The role for one more node: the one in its host name, else one that no node has, else compute.

    Of a cluster that is not ciao's one of its usual roles in the same way; "" where it has none.
    """
    held = {role.strip() for roles in {node.role for node in nodes} for role in roles.split(",")}
    if kind is not ClusterKind.CIAO:
        usual = USUAL_ROLES[kind]
        named = [role for role in usual if role in host_name.lower()]
        return next(iter([*named, *(role for role in usual if role not in held), *usual[-1:]]), "")
    missing = next((role for role in (Role.CONTROLLER, Role.NETWORK) if role.value not in held), Role.COMPUTE)
    roles = [role for role in Role if role.value in host_name.lower()]
    # ciao has one controller.
    if len(roles) != 1 or (roles[0] is Role.CONTROLLER and missing is not Role.CONTROLLER):
        return missing.value
    return roles[0].value


_MANY = frozenset({"node", *(roles[-1] for roles in USUAL_ROLES.values() if roles)})
"""Roles of which there is hardly ever one: their names are numbered from the first on."""


def _names(role: str) -> Iterable[str]:
    role = role.replace("_", "-")
    many = role in _MANY
    numbered = (f"{role}{number}" for number in count(1 if many else 2))
    return numbered if many else chain([role], numbered)


def _completed(
    found: Sequence[NodeText], taken: Iterable[str], known: Mapping[str, NodeText], kind: ClusterKind
) -> tuple[NodeText, ...]:
    usual = USUAL_ROLES[kind]
    names = {*taken, *(node.name for node in found)}
    # One pass over a role's names for all nodes: there may be thousands.
    free: dict[str, Iterable[str]] = {}
    nodes = []
    for node in found:
        listed = macs_of(node.mac)
        old = next((known[mac] for mac in listed if mac in known), None)
        if old is not None:
            # A list may know but one of its NICs, or one more.
            macs = dict.fromkeys([*macs_of(old.mac), *listed])
            node = replace(
                old,
                role=node.role or old.role,
                name=node.name or old.name,
                mac=", ".join(macs) if len(macs) > 1 else old.mac,
                ip=node.ip or old.ip,
            )
        if not node.role:
            role = next((role for role in usual if node.name.startswith(role)), usual[-1] if usual else "")
            node = replace(node, role=str(role))
        if not node.name:
            role = node.role.split(",")[0]
            fresh = free.setdefault(role, iter(_names(role or "node")))
            node = replace(node, name=next(name for name in fresh if name not in names))
        names.add(node.name)
        nodes.append(node)
    return tuple(nodes)
