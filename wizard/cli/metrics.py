"""The command that prints metrics."""

from __future__ import annotations

import argparse

from wizard.cli.console import out


def metrics(args: argparse.Namespace) -> int:
    """OpenMetrics on stdout; where nothing is applied, that alone, and status 3."""
    from wizard.monitor.metrics import openmetrics, read_gateway

    seen = read_gateway(args.per_node)
    out(openmetrics(seen, args.per_node).removesuffix("\n"))
    return 0 if seen.plan is not None else 3
