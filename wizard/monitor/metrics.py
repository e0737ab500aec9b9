"""The gateway's state as metrics for Prometheus; the names are in docs/metrics.md and never change their meaning."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from wizard import VERSION
from wizard.deploy import runtime_state
from wizard.deploy.guard import path_report
from wizard.deploy.shapes import GuardState
from wizard.host.net import gateway_rules
from wizard.host.net.node_traffic import NodeTraffic, read_node_traffic
from wizard.host.plan_in_force import Unreadable, running_plan
from wizard.monitor.lease_board import read_rows
from wizard.monitor.lease_rows import LeaseRow
from wizard.plan.addresses import SubnetFull, assign, range_use
from wizard.plan.checks import Check
from wizard.plan.model import Plan
from wizard.plan.text import clean

MODES = ("armed", "muted", "tripped", "failed", "absent")
"""Of the guard; "absent" where none runs."""
_STATES = {
    "node": ("leased", "static", "missing", "wrong-address", "ignored"),
    "device": ("leased", "static", "missing", "wrong-address", "ignored"),
    "vm": ("leased", "ignored"),
    "stranger": ("leased", "ignored"),
}
"""The states that each kind of machine can have: each is a series from the first moment."""
_REFUSED = ("refused_nak", "refused_source", "refused_in", "refused_forward", "crowded")
_NODE_LABELS = ("name", "kind", "ip", "mac")


@dataclass(frozen=True, slots=True)
class GatewayReading:
    """What the metrics are made of. `plan` is None where nothing is applied; `path`: the last report's checks, and when
    that ended (Unix time), None without one. `counters`: packets by counter, {} where they may not be read."""

    plan: Plan | None = None
    mode: str = "absent"
    trips: int = 0
    rows: Sequence[LeaseRow] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    path: tuple[Check, ...] = ()
    path_at: float | None = None
    traffic: NodeTraffic = field(default_factory=NodeTraffic)


def read_gateway(per_node: bool = False) -> GatewayReading:
    """One reading of this machine; the traffic only for `per_node`. Raises PlanUnreadable."""
    plan = running_plan(Unreadable.RAISE)
    if plan is None:
        return GatewayReading()
    try:
        plan = assign(plan)
    except SubnetFull:
        # This version cannot have applied it.
        pass
    guard = runtime_state.running_guard() or GuardState()
    report = path_report.read(guard) if guard else None
    # The report holds what DHCP does, too.
    path = [check for check in (*report.found, *report.findings) if check.name.startswith("path")] if report else []
    return GatewayReading(
        plan,
        mode=str(guard.get("mode") or "absent"),
        trips=int(guard.get("trips") or 0),
        rows=read_rows(),
        counters=gateway_rules.counters(),
        path=tuple(path),
        path_at=time.time() - report.age if report else None,
        traffic=read_node_traffic() if per_node else NodeTraffic(),
    )


class _Collector:
    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def openmetrics(seen: GatewayReading, per_node: bool = False) -> str:
    """OpenMetrics 1.0, ended by "# EOF"."""
    from prometheus_client.openmetrics.exposition import generate_latest

    text: str = generate_latest(_registry(seen, per_node)).decode()
    return text


def prometheus_text(seen: GatewayReading) -> str:
    """The text format 0.0.4, which node_exporter's textfile collector reads."""
    from prometheus_client import generate_latest

    return generate_latest(_registry(seen, False)).decode()


def _registry(seen: GatewayReading, per_node: bool) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector([*_gateway(seen), *(_per_node(seen) if per_node else ())]))
    return registry


def _gateway(seen: GatewayReading) -> Iterator[Metric]:
    about = InfoMetricFamily("ciao_wizard", "The program that wrote this.")
    about.add_metric((), {"version": VERSION})
    yield about
    yield GaugeMetricFamily("ciao_gateway_applied", "1 where a plan is in force.", float(seen.plan is not None))
    if seen.plan is None:
        return
    modes = GaugeMetricFamily("ciao_guard_mode", "1 for the mode that the guard is in.", labels=("mode",))
    for mode in MODES:
        modes.add_metric((mode,), float(mode == seen.mode))
    yield modes
    trips = "Times that the guard stopped DHCP since it was started: another server, a changed NIC."
    yield CounterMetricFamily("ciao_guard_trips", trips, seen.trips)
    yield from _dropped(seen.counters)
    yield from _machines(seen.plan, seen.rows)
    if seen.path_at is not None:
        checks = GaugeMetricFamily("ciao_path_check", "1 where a node's packets pass, 0 where not.", labels=("check",))
        # The last one of a name counts, as every series may be there once.
        for name, ok in {check.name: check.ok for check in seen.path}.items():
            if ok is not None:
                checks.add_metric((clean(name, 60),), float(ok))
        yield checks
        when = "When the path was last probed, in Unix time."
        yield GaugeMetricFamily("ciao_path_checked_timestamp_seconds", when, seen.path_at)


def _dropped(counters: Mapping[str, int]) -> Iterator[Metric]:
    if not counters:
        return
    muted = "DHCP answers of ours that were held back."
    yield CounterMetricFamily("ciao_dhcp_answers_muted", muted, counters.get("muted", 0))
    astray = "DHCP answers of ours that would have left by another NIC than the cluster's; none ever should."
    yield CounterMetricFamily("ciao_dhcp_answers_astray", astray, counters.get("astray", 0))
    refused = CounterMetricFamily("ciao_packets_refused", "Packets that the firewall dropped.", labels=("why",))
    for name in _REFUSED:
        refused.add_metric((name.removeprefix("refused_"),), counters.get(name, 0))
    yield refused


def _machines(plan: Plan, rows: Sequence[LeaseRow]) -> Iterator[Metric]:
    counts = Counter((row.kind, row.state) for row in rows)
    machines = GaugeMetricFamily(
        "ciao_machines", "Machines by kind and state of their lease.", labels=("kind", "state")
    )
    for kind, states in _STATES.items():
        for state in states:
            machines.add_metric((kind, state), counts[kind, state])
    yield machines
    alarms = "Machines with an alarm: a cloned MAC, a doubled address, a tenant's MAC."
    yield GaugeMetricFamily("ciao_machines_alarmed", alarms, sum(bool(row.alarms) for row in rows))
    held = {row.ip for row in rows if row.ip and row.state in ("leased", "wrong-address")}
    use = range_use(plan, held)
    yield GaugeMetricFamily("ciao_dhcp_range_addresses", "Addresses in the DHCP range.", use.size)
    free = "Addresses of the DHCP range that are neither leased nor reserved."
    yield GaugeMetricFamily("ciao_dhcp_range_free_addresses", free, use.free)


def _per_node(seen: GatewayReading) -> Iterator[Metric]:
    up = GaugeMetricFamily("ciao_node_up", "1 where a machine answers, 0 where not.", labels=_NODE_LABELS)
    received = CounterMetricFamily(
        "ciao_node_received_bytes", "Bytes that it received through this gateway.", labels=_NODE_LABELS
    )
    sent = CounterMetricFamily("ciao_node_sent_bytes", "Bytes that it sent through this gateway.", labels=_NODE_LABELS)
    told = set()
    for row in seen.rows:
        labels = (clean(row.name or row.hostname, 63), row.kind, row.ip, row.mac)
        if labels in told:
            continue
        told.add(labels)
        if row.reachable is not None or row.state == "missing":
            up.add_metric(labels, float(bool(row.reachable)))
        count = seen.traffic.of(row.ip)
        if count is not None:
            received.add_metric(labels, count.received)
            sent.add_metric(labels, count.sent)
    yield from (up, received, sent)
