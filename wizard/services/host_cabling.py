"""What this machine's NICs and the networks behind them say."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from wizard.services.protocols import CablingReport, NicActivity

if TYPE_CHECKING:
    from wizard.host.dhcp.cabling import CablingProbe
    from wizard.host.dhcp.probe import ProbeResult
    from wizard.plan.machine import Facts

TRAFFIC_EVERY_S = 1.0
# How long the end of a watch may take: the process does not end before it.
_LOOK_S = 0.2


class HostCabling:
    """`facts` reads the machine."""

    def __init__(self, facts: Callable[[], Facts]) -> None:
        self._facts = facts
        self._fresh: Mapping[str, float] = {}
        """When the cables that we saw come in did so."""

    def probe(self, corporate: str, cluster: str, stop: threading.Event) -> CablingReport | None:
        if os.geteuid() != 0:
            return None
        from wizard.host.dhcp.cabling import probe_cabling
        from wizard.host.dhcp.probe import FRESH_WAIT

        nic = self._facts().nic(corporate)
        since = time.monotonic() - FRESH_WAIT
        wires = probe_cabling(
            corporate,
            cluster,
            stop=stop,
            corporate_has_lease=nic is not None and nic.leased,
            fresh_link=any(self._fresh.get(name, 0) > since for name in (corporate, cluster)),
        )
        return None if stop.is_set() else cabling_report(wires)

    def watch_nics(self, stop: threading.Event, tell: Callable[[NicActivity], None]) -> None:
        from wizard.host.facts.nic_watch import NicChange, NicWatch
        from wizard.host.net.traffic import Traffic, read_traffic

        watch, traffic, due = NicWatch(), Traffic(), 0.0
        try:
            while not stop.is_set():
                news = watch.poll(_LOOK_S)
                now = time.monotonic()
                plugged = [
                    each.name for each in news if each.what in (NicChange.PLUGGED, NicChange.MOVED, NicChange.SWITCHED)
                ]
                self._fresh = {**self._fresh, **dict.fromkeys(plugged, now)}
                if now >= due:
                    due = now + TRAFFIC_EVERY_S
                    traffic = traffic.after(read_traffic([name for _, name in socket.if_nameindex()]))
                    tell(NicActivity(news, traffic.rates))
                elif news:
                    tell(NicActivity(news, traffic.rates))
        finally:
            watch.close()


def cabling_report(wires: CablingProbe) -> CablingReport:
    """What was seen on both wires, in words and for the eye."""
    from wizard.host.dhcp.cabling import CablingPattern, explain
    from wizard.host.dhcp.probe import ProbeOutcome

    answered = wires.cluster.verdict is ProbeOutcome.ANSWER
    one = wires.pattern is CablingPattern.ONE_NETWORK
    return CablingReport(
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
