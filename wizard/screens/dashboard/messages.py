"""What the dashboard page asks of its controller."""

from __future__ import annotations

from wizard.widgets.page import PageMessage


class TrafficRequested(PageMessage):
    """Read the traffic counters."""
