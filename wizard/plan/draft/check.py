"""The findings on a draft, also while some of its texts do not parse yet."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace

from wizard.plan.addresses import assign
from wizard.plan.draft.model import SECTION_FIELDS, UNREADABLE, Draft, ForwardText, NodeText
from wizard.plan.fields import FieldError, format_mac, parse_mac, shown
from wizard.plan.findings import Finding, Severity, WizardError
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.rules.check import check, check_plan

_ENOUGH = 8
_BARE = str.maketrans("", "", ":.- ")
_OUR_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_NUMBERED = re.compile(r"(nodes|forwards)\[([0-9]+)\]")
_STANDS_IN = Draft("ciao-none0", "ciao-none1", "192.168.0.0/24")
_NICS = ("corporate", "cluster")
DANGEROUS = frozenset(
    {
        "answer-everyone",
        "vm-macs-match-everyone",
        "corporate-no-default-route",
        "cluster-has-address",
        "cluster-has-router",
        "cluster-may-be-a-phone",
        "cluster-wire-in-use",
    }
)
"""Codes of warnings that may mean a wrong NIC, or DHCP answers to others' machines."""
# Field -> prefixes of fields whose findings need it: while it does not parse, those are dropped.
_DEPENDS = {
    "network.cidr": ("network.gateway", "network.dhcp", "nodes[", "forwards[", "interfaces."),
    "network.gateway": ("network.dhcp", "interfaces."),
    "network.dhcp_slice": ("network.dhcp_range", "network.gateway"),
    "network.dhcp_range": ("network.dhcp_slice", "network.gateway"),
    "interfaces.corporate": ("interfaces.", "forwards["),
    "interfaces.cluster": ("interfaces.",),
}


def draft_findings(draft: Draft, facts: Facts | None) -> tuple[Finding, ...]:
    """All findings on a draft: texts that do not parse, and what the rules find in the rest.

    `facts` None: only the rules that need no machine.
    """
    return _findings(draft, draft.to_plan(), facts)


def _findings(draft: Draft, plan: Plan | tuple[Finding, ...], facts: Facts | None) -> tuple[Finding, ...]:
    if isinstance(plan, Plan):
        return _rules(plan, facts)
    bad = {finding.field for finding in plan}
    repaired = _repaired(draft, bad).to_plan()
    if not isinstance(repaired, Plan):
        return plan
    return (*plan, *(finding for finding in _rules(repaired, facts) if _holds(finding, bad)))


@dataclass(frozen=True, slots=True)
class DraftCheck:
    """The findings on `draft` on the machine `facts`, and for each of its nodes the address that it will have.

    An address is "" where the wizard cannot choose one yet.
    """

    draft: Draft
    facts: Facts | None
    findings: tuple[Finding, ...]
    node_addresses: tuple[str, ...]

    def is_of(self, draft: Draft, facts: Facts | None) -> bool:
        """True if this is the check of these very objects."""
        return self.draft is draft and self.facts is facts


def check_draft(draft: Draft, facts: Facts | None) -> DraftCheck:
    """The findings and addresses of a draft. Takes about 0.5 s for 10,000 nodes."""
    # Once: thousands of records take their time.
    plan = draft.to_plan()
    return DraftCheck(draft, facts, _findings(draft, plan, facts), _node_addresses(draft, plan))


def _node_addresses(draft: Draft, plan: Plan | tuple[Finding, ...]) -> tuple[str, ...]:
    if isinstance(plan, Plan):
        try:
            return tuple(str(node.ip) for node in assign(plan).nodes)
        except WizardError:
            pass
    return tuple(node.ip for node in draft.nodes)


def check_node(text: NodeText, field: str, draft: Draft, number: int) -> tuple[Finding, ...]:
    """Errors of a node as number `number` (from 0) of a draft; their key paths begin with `field`."""
    # A node is wrong by itself, or together with one that shares a value with it.
    others = tuple(node for i, node in enumerate(draft.nodes) if i != number and _alike(text, node))
    # The rules refuse the later one of two: put this one last.
    found = _errors_of(replace(draft, nodes=(*others, text), forwards=()), f"nodes[{len(others)}]", field)
    return tuple(_of_one(finding, text) for finding in found)


def _alike(one: NodeText, other: NodeText) -> bool:
    """True if they share a value that must be unique. Cheap: called for thousands."""
    return (
        one.name.strip().lower() == other.name.strip().lower()
        or _share_a_mac(one.mac, other.mac)
        or (bool(one.ip) and one.ip.strip() == other.ip.strip())
    )


def _share_a_mac(one: str, other: str) -> bool:
    ours, theirs = (text.translate(_BARE).lower() for text in (one, other))
    if "," not in ours and "," not in theirs:
        return ours == theirs
    return not set(ours.split(",")).isdisjoint(theirs.split(","))


def _of_one(finding: Finding, text: NodeText) -> Finding:
    """Reworded without positions, which mean nothing while the node is being added."""
    if finding.code != "name-taken":
        return finding
    return replace(finding, message=f"There is already a node {shown(text.name.strip().lower())}.")


def macs_of(text: str) -> list[str]:
    """The MACs of a node as typed, each as `normal_mac` writes it."""
    return [normal_mac(mac.strip()) for mac in text.split(",")] if "," in text else [normal_mac(text)]


def normal_mac(text: str) -> str:
    """A MAC in our notation, lower case with colons; any other text as it is."""
    if _OUR_MAC.fullmatch(text):
        # Called for thousands of nodes at each key press.
        return text
    try:
        return format_mac(parse_mac(text))
    except FieldError:
        return text


def check_forward(
    text: ForwardText, field: str, draft: Draft, number: int, facts: Facts | None = None
) -> tuple[Finding, ...]:
    """Errors of a forward as number `number` (from 0) of a draft; their key paths begin with `field`."""
    others = tuple(forward for i, forward in enumerate(draft.forwards) if i != number)
    # The rules need the target, and a few nodes to name in a remedy.
    to = text.to.strip().lower()
    nodes = tuple(node for i, node in enumerate(draft.nodes) if i < _ENOUGH or to in (node.name, node.ip))
    return _errors_of(replace(draft, nodes=nodes, forwards=(*others, text)), f"forwards[{len(others)}]", field, facts)


def _errors_of(draft: Draft, place: str, field: str, facts: Facts | None = None) -> tuple[Finding, ...]:
    return tuple(
        replace(finding, field=field + finding.field.removeprefix(place))
        for finding in draft_findings(draft, facts)
        if finding.severity is Severity.ERROR and finding.field.startswith(f"{place}.")
    )


def _rules(plan: Plan, facts: Facts | None) -> tuple[Finding, ...]:
    return check_plan(plan) if facts is None else check(plan, facts)


_PATHS = {
    "bmc.credentials": "bmc_credentials",
    "metrics.textfile": "textfile",
    "seeds.user": "seed_user",
    "seeds.ssh_key": "seed_keys",
    "seeds.proxy": "seed_proxy",
}


def _holds(finding: Finding, bad: set[str]) -> bool:
    """True if a finding on the repaired draft also applies to the draft itself."""
    if finding.field in bad or finding.code in ("subnet-full", UNREADABLE):
        return False
    listed = _NUMBERED.match(finding.field)
    if listed and any(field.startswith(listed[0]) for field in bad):
        # Part of this entry is made up; findings on its other fields alone still apply.
        return finding.code.startswith(("mac-", "name-"))
    if finding.code == "role-missing":
        return not any(field.endswith(".role") for field in bad)
    if finding.code == "forward-to-nobody":
        return not any(field.endswith(".name") for field in bad) and "network.cidr" not in bad
    if finding.field.startswith(SECTION_FIELDS) or finding.code == "node-image-unknown":
        return not any(field.startswith(SECTION_FIELDS) for field in bad)
    return not any(finding.field.startswith(_DEPENDS.get(field, ())) for field in bad)


def _repaired(draft: Draft, bad: set[str]) -> Draft:
    """`draft` with a valid placeholder for every text that does not parse."""

    def mend(field: str, text: str, instead: str) -> str:
        return instead if field in bad else text

    nodes = tuple(
        NodeText(
            mend(f"nodes[{i}].role", node.role, "compute"),
            mend(f"nodes[{i}].name", node.name, f"unnamed-{i}"),
            mend(f"nodes[{i}].mac", node.mac, f"02:00:00:00:{i >> 8 & 255:02x}:{i & 255:02x}"),
            mend(f"nodes[{i}].ip", node.ip, ""),
            mend(f"nodes[{i}].bmc", node.bmc, ""),
            mend(f"nodes[{i}].image", node.image, ""),
        )
        for i, node in enumerate(draft.nodes)
    )
    forwards = tuple(
        forward
        for i, forward in enumerate(draft.forwards)
        if not any(field.startswith(f"forwards[{i}].") for field in bad)
    )
    if len(forwards) < len(draft.forwards):
        # Their indices have shifted.
        forwards = ()
    rooms = {field.name: "interfaces" if field.name in _NICS else "network" for field in fields(Draft)}
    unread = any(field.startswith(SECTION_FIELDS) for field in bad)
    texts = {name: getattr(_STANDS_IN, name) for name, room in rooms.items() if f"{room}.{name}" in bad}
    if unread:
        texts["sections"] = ""
    if "cluster.kind" in bad:
        texts["kind"] = _STANDS_IN.kind
    if "network.cidr" in bad:
        texts["gateway"] = texts["pool"] = ""
    if bad & {"network.dhcp_slice", "network.dhcp_range"}:
        texts["pool"] = ""
    texts |= {key: "" for field, key in _PATHS.items() if field in bad}
    return replace(
        draft,
        **texts,
        nodes=nodes,
        forwards=forwards,
    )
