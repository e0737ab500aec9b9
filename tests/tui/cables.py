"""What the wires said, and NICs that come and go."""

from __future__ import annotations

import pytest

from tests.tui.driver import Driver
from tests.tui.fakes import FakeServices
from tests.tui.fakes_setup import nobody
from wizard.host.facts.nic_watch import NicChange, NicEvent
from wizard.host.net.traffic import Rate
from wizard.plan.machine import Nic
from wizard.screens.interfaces import dialogs as stop
from wizard.services.protocols import CablingReport, NicActivity

ANSWER = "  10.77.0.1 (00:1b:21:3c:9d:10) offered 10.77.0.98 after 0.1 s"
FINE = CablingReport(
    True,
    "Both networks look right",
    f"A DHCP server answers on the company network, eth0:\n{ANSWER}\n"
    "None answers on the cluster network, eth1 (silent for 12 s), and the two are separate.",
    "",
    answers=(("eth0", "DHCP 10.77.0.1"), ("eth1", "silent 12 s")),
)
SWAPPED = CablingReport(
    False,
    "STOP: the two NICs look swapped",
    f"You chose eth1 for the cluster, but a DHCP server already answers there:\n{ANSWER}\n"
    "None was heard on eth0, chosen for the company network (silent for 12 s). Serving here would hand your "
    "colleagues wrong addresses, and the network team would unplug you.",
    "Swap the two NICs in the plan, or the two cables, then look again.",
    stop=True,
    swap_helps=True,
    answers=(("eth0", "silent 12 s"), ("eth1", "DHCP 10.77.0.1")),
)
RATES = {
    "eth0": tuple(Rate(n * 200_000.0, n * 40_000.0) for n in (1, 2, 5, 7, 3, 6)),
    "eth1": tuple(Rate(0, 300) for _ in range(6)),
}
USB = Nic(
    "enx00e04c680f12", 9, "ethernet", "00:e0:4c:68:0f:99", driver="r8152", vendor="Realtek", up=True, carrier=True
)


@pytest.fixture(autouse=True)
def seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's keys come after it has read what is there."""
    monkeypatch.setattr(stop, "UNSEEN_S", 0)


def news(what: NicChange, name: str, was: str = "") -> NicActivity:
    return NicActivity((NicEvent(what, name, was),), RATES)


async def watched(driver: Driver) -> FakeServices:
    await driver.page("Interfaces")
    await driver.until(lambda: driver.services.tell is not nobody, "somebody who watches the NICs")
    return driver.services
