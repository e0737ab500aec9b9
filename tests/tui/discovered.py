"""Machines that are heard on the cluster's wire, and the page that listens."""

from __future__ import annotations

from tests.tui.driver import Driver
from wizard.host.dhcp.discovery import DiscoveredMachine

NUC = DiscoveredMachine("c0:3f:d5:67:a2:01", "nuc-05")
KNOWN = DiscoveredMachine("b8:ae:ed:7b:51:50", "whatever")


async def listening(driver: Driver) -> None:
    await driver.jump("Nodes")
    await driver.press("f5")
    await driver.says("Listening on eth1: no machine found yet", "Switch the machines on")


def names(driver: Driver) -> list[str]:
    return [node.name for node in driver.app.draft.nodes]
