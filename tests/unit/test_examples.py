"""The examples for Prometheus and Grafana: they load, and ask for no metric that there is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.unit.monitor.rows import row
from wizard.host.net.node_traffic import NodeTraffic
from wizard.host.net.traffic import Counters
from wizard.monitor.metrics import MODES, GatewayReading, openmetrics
from wizard.plan.checks import OK, Check
from wizard.plan.file.read import load_plan

EXAMPLES = Path(__file__).parents[2] / "examples"
NODE_EXPORTERS = {"node_textfile_mtime_seconds"}


def names() -> set[str]:
    """Every metric's name, as its samples have it."""
    plan = load_plan((EXAMPLES / "ciao.toml").read_text(), "ciao.toml")
    rows, path = (row("b8:ae:ed:7b:51:50", "192.168.0.101"),), (Check("path-out", OK, ""),)
    traffic = NodeTraffic(known=True, bytes={"192.168.0.101": Counters(1, 2)})
    reading = GatewayReading(plan, "armed", 0, rows, {"muted": 0}, path, 1.0, traffic)
    text = openmetrics(reading, per_node=True)
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}


def asked_for(expression: str) -> set[str]:
    found = set(re.findall(r"\b(?:ciao|node)_[a-z_]+", expression))
    assert found, expression
    assert expression.count("(") == expression.count(")")
    assert expression.count("{") == expression.count("}")
    return found - NODE_EXPORTERS


def modes_in(expression: str) -> set[str]:
    return {mode for group in re.findall(r'mode=~?"([^"]*)"', expression) for mode in group.split("|")}


def test_the_rules_are_for_metrics_that_there_are() -> None:
    data = yaml.safe_load((EXAMPLES / "prometheus-rules.yml").read_text())
    (group,) = data["groups"]
    alerts = [rule["alert"] for rule in group["rules"]]
    assert len(set(alerts)) == len(alerts) > 5
    for rule in group["rules"]:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert asked_for(rule["expr"]) <= names()
        assert modes_in(rule["expr"]) <= set(MODES)
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"].endswith(".")
        assert re.fullmatch(r"[0-9]+m", rule.get("for", "0m"))


def test_every_metric_is_described_and_every_described_one_is_there() -> None:
    described = re.findall(r"`(ciao_\w+)[`{]", (EXAMPLES.parent / "docs" / "metrics.md").read_text())
    assert set(described) == names()


def test_a_guard_that_is_gone_is_seen_without_its_file() -> None:
    data = yaml.safe_load((EXAMPLES / "prometheus-rules.yml").read_text())
    (absent,) = (rule for rule in data["groups"][0]["rules"] if rule["alert"] == "CiaoGuardAbsent")
    assert absent["expr"].endswith("unless on(instance) ciao_gateway_applied")


def expressions(panels: list[dict[str, Any]]) -> Iterator[str]:
    for panel in panels:
        for target in panel["targets"]:
            yield target["expr"]


def test_the_dashboard_is_of_metrics_that_there_are() -> None:
    board = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    for expression in expressions(panels):
        assert asked_for(expression) <= names()
    places = {(x, y) for p in panels for x in range(p["gridPos"]["x"], p["gridPos"]["x"] + p["gridPos"]["w"])
              for y in range(p["gridPos"]["y"], p["gridPos"]["y"] + p["gridPos"]["h"])}  # fmt: skip
    # None lies over another.
    assert len(places) == sum(p["gridPos"]["w"] * p["gridPos"]["h"] for p in panels)
    assert max(x for x, _ in places) < 24
