"""DNS: the plan's own records, and domains with servers of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wizard.plan.fields import shown
from wizard.plan.findings import Finding, error
from wizard.plan.model import ADDRESS_RECORDS, NAME_RECORDS, Plan, Record, RecordKind
from wizard.plan.names import full_name, reverse_zones

MOST_RECORDS = 20_000
MOST_ALIASES = 1000
"""dnsmasq compares every alias with every other when it starts: 2,000 take 0.2 s, 20,000 take 21 s."""
MOST_DOMAINS = 200


def of_plan(plan: Plan) -> Iterator[Finding]:
    aliases = sum(record.kind is RecordKind.CNAME for record in plan.records)
    for what, count, most in (
        ("records", len(plan.records), MOST_RECORDS),
        ("records", aliases, MOST_ALIASES),
        ("dns", len(plan.dns), MOST_DOMAINS),
    ):
        if count > most:
            kind = "aliases (cname)" if most == MOST_ALIASES else what
            message = f"{count} {kind}; the name server can load {most} in time."
            remedy = "Give each an address (a) instead." if most == MOST_ALIASES else "Use a DNS server of their own."
            yield error("names-many", what, message, f"Remove some. {remedy}")
    yield from _records(plan)
    yield from _split(plan)


def _records(plan: Plan) -> Iterator[Finding]:
    domain = plan.network.domain
    machines = {full_name(machine.name, domain): machine.name for machine in plan.machines}
    machines.setdefault(full_name("gateway", domain), "this machine")
    named: dict[str, list[Record]] = {}
    aliases: dict[str, str] = {}
    for record in plan.records:
        name = full_name(record.name, domain)
        named.setdefault(name, []).append(record)
        if record.kind is RecordKind.CNAME:
            aliases[name] = full_name(record.value, domain)
    first: dict[tuple[str, RecordKind, str], int] = {}
    for number, record in enumerate(plan.records):
        field, name = f"records[{number}]", full_name(record.name, domain)
        if name in machines and record.kind in (*ADDRESS_RECORDS, RecordKind.CNAME):
            message = f"{shown(record.name)} is the name of {machines[name]}."
            yield error("record-is-machine", f"{field}.name", message, "Choose another name for the record.")
        elif first.setdefault((name, record.kind, record.value), number) != number:
            message = f"{shown(record.name)} has the same {record.kind.upper()} record twice."
            yield error("record-taken", f"{field}.name", message, "Remove one of the two.")
        elif name in aliases and len(named[name]) > 1 and named[name][0] is not record:
            message = f"{shown(record.name)} is an alias (CNAME), and has another record too."
            yield error("record-taken", f"{field}.name", message, "An alias has nothing else: keep one of the two.")
        if record.kind in NAME_RECORDS:
            yield from _target(field, record, domain, machines, named, aliases)


def _target(
    field: str,
    record: Record,
    domain: str,
    machines: Mapping[str, str],
    named: Mapping[str, list[Record]],
    aliases: Mapping[str, str],
) -> Iterator[Finding]:
    value = record.value.split()[-1]
    seen = {full_name(record.name, domain)} if record.kind is RecordKind.CNAME else set()
    at = full_name(value, domain)
    while at in aliases and at not in seen:
        seen.add(at)
        at = aliases[at]
    if at in seen:
        message = f"{shown(record.name)} is an alias that leads back to itself."
        yield error("record-loop", f"{field}.{record.kind}", message, "Let one of these aliases name a machine.")
        return
    known = at in machines or any(each.kind in ADDRESS_RECORDS for each in named.get(at, ()))
    # Of a name that the company's server knows, dnsmasq makes no alias.
    needed = record.kind is RecordKind.CNAME or at.endswith(f".{domain}")
    if needed and not known:
        message = f"{shown(record.name)} leads to {shown(value)}, which is no machine and no record of this plan."
        remedy = "Name a node, a device, gateway, or a record with an address."
        yield error("record-to-nobody", f"{field}.{record.kind}", message, remedy)


def _split(plan: Plan) -> Iterator[Finding]:
    own = [plan.network.domain, *reverse_zones(plan.network.cidr)]
    first: dict[str, int] = {}
    for number, split in enumerate(plan.dns):
        field = f"dns[{number}]"
        if any(split.domain == zone or split.domain.endswith(f".{zone}") for zone in own):
            message = f"{split.domain} is the cluster's own domain; only this gateway answers for it."
            yield error("dns-is-cluster", f"{field}.domain", message, "Remove it, or name another domain.")
        if first.setdefault(split.domain, number) != number:
            message = f"{split.domain} is there twice."
            yield error("dns-taken", f"{field}.domain", message, "Put all of its servers into one [[dns]].")
        if str(plan.network.gateway) in split.servers:
            message = f"{plan.network.gateway} is this gateway: it would ask itself."
            yield error("dns-is-gateway", f"{field}.servers", message, "Name the domain's own server.")
