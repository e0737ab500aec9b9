"""What the app knows by now, and every page that is shown is kept in step with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wizard.services.progress import Progress

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.monitor.machine_events import MachineEvent
    from wizard.monitor.overview import Overview
    from wizard.plan.machine import Facts


@dataclass(frozen=True, slots=True, eq=False)
class SyncedState:
    """`progress` is that of the change under way, or of the last one; `looked_at` is of the monotonic clock.

    `status`, and `overview` where there is one, are as they were then; `happened` has the newest last.
    """

    host: str = ""
    facts: Facts | None = None
    status: Status | None = None
    overview: Overview | None = None
    looked_at: float = 0.0
    happened: tuple[MachineEvent, ...] = ()
    progress: Progress = field(default_factory=Progress)
