"""What the first pages of the set-up ask of a machine, in plain values."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from wizard.plan.welcome import INSTALLERS
from wizard.services.protocols import HostEnvironment, NicActivity

DEBIAN = HostEnvironment(installer=INSTALLERS["apt-get"])


def nobody(pulse: NicActivity) -> None:
    """Nobody watches."""


@dataclass(kw_only=True)
class FakeSetup:
    """`tell` is whoever watches the NICs now."""

    around: HostEnvironment = DEBIAN
    tell: Callable[[NicActivity], None] = field(default=nobody)

    def environment(self) -> HostEnvironment:
        return self.around

    def watch_nics(self, stop: threading.Event, tell: Callable[[NicActivity], None]) -> None:
        # A real watch goes on until it is stopped; here the test speaks.
        self.tell = tell
