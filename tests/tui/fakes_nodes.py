"""What the pages in the middle of the set-up ask of a machine, in plain values."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wizard.deploy.apply.preview import StepPreview
from wizard.host.dhcp.discovery import DiscoveredMachine
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan

STEPS_TO_COME = (
    StepPreview(
        "wires:eth1",
        (
            "$ ip link set dev eth1 up",
            "asks eth0 and eth1 for DHCP servers (DISCOVER alone), for 12 s",
            "sends marked frames out of eth1, to hear whether another NIC is on its wire",
        ),
        True,
        True,
    ),
    StepPreview("rules", ("writes /run/ciao-wizard/live/nat.sh", "$ sh /run/ciao-wizard/live/nat.sh up"), True, True),
    StepPreview("address:eth1", ("$ ifup --interfaces /run/ciao-wizard/live/interfaces eth1",), True, True),
    StepPreview("gateway", ("$ systemctl start ciao-gateway.service",), True, True),
    StepPreview("file:/etc/ciao-wizard/gateway.toml", ("writes /etc/ciao-wizard/gateway.toml",), False, True),
    StepPreview("file:/etc/ciao-wizard/nat.sh", ("writes /etc/ciao-wizard/nat.sh",), False, False),
    StepPreview("service", ("$ systemctl enable --quiet ciao-gateway.service",), False, None),
)


def nobody(machines: tuple[DiscoveredMachine, ...]) -> None:
    """Nobody listens."""


@dataclass(kw_only=True)
class FakeNodes:
    """`ask` is whoever listens on the wire now; `until` is set once he no longer does.

    `foretold` lists what each preview of an apply was to stop.
    """

    lists: dict[str, str] = field(default_factory=dict)
    to_come: tuple[StepPreview, ...] = STEPS_TO_COME
    foretold: list[tuple[str, ...]] = field(default_factory=list)
    deaf: WizardError | None = None
    ask: Callable[[tuple[DiscoveredMachine, ...]], None] = field(default=nobody)
    until: threading.Event = field(default_factory=threading.Event)

    def listen(self, nic: str, stop: threading.Event, tell: Callable[[tuple[DiscoveredMachine, ...]], None]) -> None:
        # A real ear is open until it is stopped; here the test speaks.
        if self.deaf is not None:
            raise self.deaf
        self.ask, self.until = tell, stop
        tell(())

    def read_list(self, path: str) -> str:
        if path not in self.lists:
            raise WizardError(f"{path} cannot be read: No such file or directory.", "Write another path.")
        return self.lists[path]

    def preview_steps(self, plan: Plan, plan_text: str, stop: Sequence[str] = ()) -> tuple[StepPreview, ...]:
        self.foretold.append(tuple(stop))
        return self.to_come
