"""What the first pages of the set-up ask of the machine. Nothing here changes it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wizard.host.dhcp.cabling import CablingProbe
    from wizard.host.dhcp.probe import ProbeResult
    from wizard.host.facts.nic_watch import NicEvent
    from wizard.host.net.traffic import Rate
    from wizard.plan.machine import Facts
    from wizard.plan.welcome import Installer

PULSE_S = 1.0
# How long the end of a watch may take: the process does not end before it.
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class WiresSaid:
    """What both wires say, in words. `fine`: the gateway could serve on them.

    `stop`: it would do damage, and nobody may go on. `swap_helps`: the roles may just be exchanged.
    `answers` are (NIC, what its wire answered in a few words).
    """

    fine: bool
    title: str
    text: str
    remedy: str
    stop: bool = False
    swap_helps: bool = False
    answers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the facts do not have: programs that are missing, who installs them here, and whether we are root."""

    missing: tuple[str, ...] = ()
    installer: Installer | None = None
    root: bool = True


@dataclass(frozen=True, slots=True)
class Pulse:
    """What has happened to the NICs, and what has been going through each, the latest last."""

    news: tuple[NicEvent, ...] = ()
    rates: Mapping[str, tuple[Rate, ...]] = field(default_factory=dict)


class SetupServices(Protocol):
    """Calls may block and raise WizardError."""

    def look_at_wires(self, corporate: str, cluster: str, stop: threading.Event) -> WiresSaid | None:
        """What both wires say, or None where we may not ask them. Takes seconds; ends early once `stop` is set."""
        ...

    def surroundings(self) -> Surroundings: ...

    def watch_nics(self, stop: threading.Event, tell: Callable[[Pulse], None]) -> None:
        """Tell of the NICs until `stop` is set: of news at once, of the traffic once a second."""
        ...


class HostSetup:
    """The real machine."""

    _fresh: Mapping[str, float] = {}
    """When the cables that we saw come in did so."""

    if TYPE_CHECKING:
        # The machine's own.
        def facts(self) -> Facts: ...

    def look_at_wires(self, corporate: str, cluster: str, stop: threading.Event) -> WiresSaid | None:
        if os.geteuid() != 0:
            return None
        from wizard.host.dhcp.cabling import probe_cabling
        from wizard.host.dhcp.probe import FRESH_WAIT

        nic = self.facts().nic(corporate)
        since = time.monotonic() - FRESH_WAIT
        wires = probe_cabling(
            corporate,
            cluster,
            stop=stop,
            corporate_has_lease=nic is not None and nic.leased,
            fresh_link=any(self._fresh.get(name, 0) > since for name in (corporate, cluster)),
        )
        return None if stop.is_set() else said_of(wires)

    def surroundings(self) -> Surroundings:
        from wizard.host import commands
        from wizard.plan.tools import NEEDED
        from wizard.plan.welcome import INSTALLERS

        missing = tuple(tool for tool in NEEDED if commands.find(tool) is None)
        installer = next((INSTALLERS[name] for name in INSTALLERS if commands.find(name)), None)
        return Surroundings(missing, installer, os.geteuid() == 0)

    def watch_nics(self, stop: threading.Event, tell: Callable[[Pulse], None]) -> None:
        from wizard.host.facts.nic_watch import NicChange, NicWatch
        from wizard.host.net.traffic import Traffic, read_traffic

        watch, traffic, due = NicWatch(), Traffic(), 0.0
        try:
            while not stop.is_set():
                news = watch.look(_LOOK_S)
                now = time.monotonic()
                plugged = [
                    each.name for each in news if each.what in (NicChange.PLUGGED, NicChange.MOVED, NicChange.SWITCHED)
                ]
                self._fresh = {**self._fresh, **dict.fromkeys(plugged, now)}
                if now >= due:
                    due = now + PULSE_S
                    traffic = traffic.after(read_traffic([name for _, name in socket.if_nameindex()]))
                    tell(Pulse(news, traffic.rates))
                elif news:
                    tell(Pulse(news, traffic.rates))
        finally:
            watch.close()


def said_of(wires: CablingProbe) -> WiresSaid:
    """What was seen on both wires, in words and for the eye."""
    from wizard.host.dhcp.cabling import CablingPattern, explain
    from wizard.host.dhcp.probe import ProbeOutcome

    answered = wires.cluster.verdict is ProbeOutcome.ANSWER
    one = wires.pattern is CablingPattern.ONE_NETWORK
    return WiresSaid(
        wires.may_serve,
        *explain(wires),
        stop=answered or one,
        swap_helps=answered and not one and wires.corporate.verdict is not ProbeOutcome.ANSWER,
        answers=tuple((result.nic, _in_few_words(result)) for result in (wires.corporate, wires.cluster)),
    )


def _in_few_words(result: ProbeResult) -> str:
    from wizard.host.dhcp.probe import Cause, ProbeOutcome

    if result.servers:
        first = result.servers[0]
        more = f" +{len(result.servers) - 1}" if len(result.servers) > 1 else ""
        return f"DHCP {first.server_id or first.source_ip}{more}"
    if result.verdict is ProbeOutcome.SILENCE:
        return f"silent {result.waited_s:.0f} s"
    return "no link" if result.cause in (Cause.NO_CARRIER, Cause.DOWN) else "could not tell"
