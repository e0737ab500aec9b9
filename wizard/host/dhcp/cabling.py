"""Both wires at once: which pattern they make, and what that means to the person who plugged them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from wizard.host.dhcp.probe import Cause, ProbeOutcome, ProbeResult, probe
from wizard.host.dhcp.probe_questions import NOTHING_MORE, ProbeQuestions
from wizard.host.facts.vendors import named_mac
from wizard.host.net.adjacency import are_bridged
from wizard.plan.text import clean

_FRAME_PATIENCE_S = 0.5
_TELL_EVERY = 0.25


class CablingPattern(StrEnum):
    AS_IT_SHOULD_BE = "as-it-should-be"
    SWAPPED = "swapped"
    CORPORATE_CABLE_IN_CLUSTER_SWITCH = "corporate-cable-in-cluster-switch"
    ONE_NETWORK = "one-network"
    ANOTHER_GATEWAY = "another-gateway"
    ADDRESS_TAKEN = "address-taken"
    ROUTER_ON_CLUSTER_WIRE = "router-on-cluster-wire"
    CORPORATE_WITHOUT_DHCP = "corporate-without-dhcp"
    NO_CARRIER = "no-carrier"
    COULD_NOT_TELL = "could-not-tell"


@dataclass(frozen=True, slots=True)
class CablingProbe:
    """What was seen. `corporate_has_lease`: the corporate NIC's address came from a DHCP server."""

    corporate: ProbeResult
    cluster: ProbeResult
    one_wire: bool | None
    pattern: CablingPattern
    corporate_has_lease: bool = False

    @property
    def may_serve(self) -> bool:
        """Whether the cluster wire is proven silent, and proven to be another one than the corporate wire."""
        fine = self.pattern in (CablingPattern.AS_IT_SHOULD_BE, CablingPattern.CORPORATE_WITHOUT_DHCP)
        return fine and self.cluster.verdict is ProbeOutcome.SILENCE and self.one_wire is False


class CablingExplanation(NamedTuple):
    """Plain words. `text` may have several lines; `remedy` is "" where nothing needs doing."""

    title: str
    text: str
    remedy: str

    @property
    def in_a_line(self) -> str:
        """Title and text as one line of sentences."""
        lines = [line.strip() for line in (self.title, *self.text.splitlines())]
        return " ".join(line if line.endswith((".", ":", ",")) else f"{line}." for line in lines)


def probe_cabling(
    corporate: str,
    cluster: str,
    *,
    wait: float | None = None,
    progress: Callable[[float], None] | None = None,
    stop: threading.Event | None = None,
    corporate_has_lease: bool = False,
    fresh_link: bool = False,
    questions: ProbeQuestions = NOTHING_MORE,
) -> CablingProbe:
    """Probe both wires at once and try whether they are one; as long as a silent probe takes (see `probe`).

    `questions` are asked of the cluster wire alone.

    `progress` is called with the seconds gone, in the calling thread. Raises NeedsRoot.
    """
    begun = time.monotonic()
    patience = min(_FRAME_PATIENCE_S, wait or _FRAME_PATIENCE_S)
    with ThreadPoolExecutor(3) as pool:
        asked = [
            pool.submit(probe, nic, wait=wait, stop=stop, fresh_link=fresh_link, questions=more)
            for nic, more in ((corporate, NOTHING_MORE), (cluster, questions))
        ]
        tried = pool.submit(are_bridged, corporate, cluster, timeout=patience)
        running: set[Future[Any]] = {*asked, tried}
        while running:
            running = wait_for(running, _TELL_EVERY).not_done
            if progress is not None:
                progress(time.monotonic() - begun)
        heard = asked[0].result(), asked[1].result()
        one = tried.result()
    if not one:
        # Again at the end: a switch that has only just seen the link may have held the first frames back.
        again = are_bridged(corporate, cluster, tries=1, timeout=patience)
        one = again if again or one is not None else None
    return CablingProbe(*heard, one, classify(*heard, one, corporate_has_lease), corporate_has_lease)


_MET = {
    Cause.ANOTHER_GATEWAY: CablingPattern.ANOTHER_GATEWAY,
    Cause.ADDRESS_TAKEN: CablingPattern.ADDRESS_TAKEN,
    Cause.ROUTER: CablingPattern.ROUTER_ON_CLUSTER_WIRE,
}


def classify(
    corporate: ProbeResult, cluster: ProbeResult, one: bool | None, corporate_has_lease: bool
) -> CablingPattern:
    """The pattern. Silence on the cluster wire counts only beside a wire that was heard, or has nothing to say."""
    if one or _same_server(corporate, cluster):
        return CablingPattern.ONE_NETWORK
    if cluster.verdict is ProbeOutcome.ANSWER:
        gateway = cluster.asked.gateway
        if gateway and any(gateway in (server.server_id, server.source_ip) for server in cluster.servers):
            return CablingPattern.ANOTHER_GATEWAY
        silent = corporate.verdict is ProbeOutcome.SILENCE
        return CablingPattern.SWAPPED if silent else CablingPattern.CORPORATE_CABLE_IN_CLUSTER_SWITCH
    if cluster.cause in _MET:
        return _MET[cluster.cause]
    if Cause.NO_CARRIER in (corporate.cause, cluster.cause):
        return CablingPattern.NO_CARRIER
    if ProbeOutcome.UNKNOWN in (corporate.verdict, cluster.verdict) or one is None:
        return CablingPattern.COULD_NOT_TELL
    if corporate.verdict is ProbeOutcome.ANSWER:
        return CablingPattern.AS_IT_SHOULD_BE
    # The control fails: the server that gave the lease is there, and this wire hides it from a probe.
    return CablingPattern.COULD_NOT_TELL if corporate_has_lease else CablingPattern.CORPORATE_WITHOUT_DHCP


def _same_server(corporate: ProbeResult, cluster: ProbeResult) -> bool:
    # One server behind two relays is two networks of one company, not one network.
    one, other = (
        {(s.server_id, s.source_ip, s.source_mac, s.relay) for s in result.servers} for result in (corporate, cluster)
    )
    return not one.isdisjoint(other)


_WHAT_WOULD_HAPPEN = "Serving here would hand your colleagues wrong addresses, and the network team would unplug you."


def explain(wires: CablingProbe) -> CablingExplanation:
    """Title, text and remedy for the person who plugged the cables; nothing in it steers a terminal."""
    # Without a default route there is no name, where the plan follows that.
    corporate = clean(wires.corporate.nic) or "company network"
    return _EXPLAIN[wires.pattern](wires, corporate, clean(wires.cluster.nic))


def _as_it_should_be(wires: CablingProbe, corporate: str, cluster: str) -> CablingExplanation:
    return CablingExplanation(
        "Both networks look right",
        f"A DHCP server answers on the company network, {corporate}:\n{_servers(wires.corporate)}\n"
        f"None answers on the cluster network, {cluster} ({wires.cluster.in_words()}), and the two are separate.",
        "",
    )


def _swapped(wires: CablingProbe, corporate: str, cluster: str) -> CablingExplanation:
    return CablingExplanation(
        "STOP: the two NICs look swapped",
        f"You chose {cluster} for the cluster, but a DHCP server already answers there:\n"
        f"{_servers(wires.cluster)}\n"
        f"None was heard on {corporate}, chosen for the company network ({wires.corporate.in_words()}). "
        f"{_WHAT_WOULD_HAPPEN}",
        "Swap the two NICs in the plan, or the two cables, then look again.",
    )


def _cable_in_cluster_switch(wires: CablingProbe, corporate: str, cluster: str) -> CablingExplanation:
    if wires.corporate.servers:
        beside = f"Another answers on the company network, {corporate}:\n{_servers(wires.corporate)}"
    else:
        beside = f"On the company network, {corporate}: {wires.corporate.in_words()}."
    return CablingExplanation(
        "STOP: this would answer the company's DHCP",
        f"A DHCP server already answers on the cluster network, {cluster}:\n{_servers(wires.cluster)}\n{beside}\n"
        "So a company cable is in the cluster switch or in this NIC, or another machine already serves DHCP there. "
        f"{_WHAT_WOULD_HAPPEN}",
        f"Unplug whatever connects {cluster} to another network, or stop the server that answers there, then look "
        "again.",
    )


def _one_network(wires: CablingProbe, corporate: str, cluster: str) -> CablingExplanation:
    seen = (
        f"A frame sent from one of {corporate} and {cluster} arrives at the other."
        if wires.one_wire
        else f"The same DHCP server answers on {corporate} and on {cluster}:\n{_servers(wires.cluster)}"
    )
    return CablingExplanation(
        "STOP: both NICs are on one network",
        f"{seen}\nThe company network and the cluster switch are connected somewhere. {_WHAT_WOULD_HAPPEN}",
        "Unplug the cable between the two switches, or remove the two NICs from the bridge that they share on this "
        "machine, then look again.",
    )


def _another_gateway(wires: CablingProbe, corporate: str, cluster: str) -> CablingExplanation:
    seen = f":\n{_servers(wires.cluster)}\n" if wires.cluster.servers else f": {clean(wires.cluster.reason, 300)}. "
    mac = wires.cluster.holder or next((s.source_mac for s in wires.cluster.servers), "")
    same = bool(wires.cluster.servers)
    like = "It has this plan's gateway address, so it looks like a second laptop with the same plan. " if same else ""
    return CablingExplanation(
        "STOP: another gateway serves this cluster",
        f"There is already one behind {cluster}{seen}{like}Two gateways on one switch give nodes two answers. "
        f"{corporate} is not involved.",
        f"Let it serve the cluster; or run 'ciao-wizard reset' on that machine ({clean(named_mac(mac))}), or unplug "
        "it, then look again.",
    )


def _address_taken(wires: CablingProbe, corporate: str, cluster: str) -> CablingExplanation:
    return CablingExplanation(
        "STOP: the gateway's address is taken",
        f"Behind {cluster}, {clean(wires.cluster.reason, 300)}. Nodes would reach one of the two, and it is "
        f"unpredictable which. {corporate} is not involved.",
        "Give that machine another address or unplug it, or choose another network.gateway in the plan, then look "
        "again.",
    )


def _router(wires: CablingProbe, corporate: str, cluster: str) -> CablingExplanation:
    return CablingExplanation(
        "STOP: the cluster network has a router",
        f"On {cluster}, {clean(wires.cluster.reason, 300)}. Silence there proves nothing: a network with a router "
        f"usually has a DHCP server. Only {corporate} should lead to the company network.",
        f"Unplug whatever connects {cluster} to another network, then look again. If a node is to be the router, add "
        "it to the plan.",
    )


def _without_dhcp(wires: CablingProbe, corporate: str, cluster: str) -> CablingExplanation:
    return CablingExplanation(
        "No DHCP on the company network",
        f"No DHCP server answers on {corporate} or on {cluster} ({wires.cluster.in_words()}), and the two are "
        f"separate. That is fine if {corporate} has a fixed address; but no server's answer proves which network is "
        "which.",
        f"Make sure that {corporate} has the company's cable: pull it, and see which NIC loses its link.",
    )


def _no_carrier(wires: CablingProbe, corporate: str, cluster: str) -> CablingExplanation:
    dead = [
        f"{clean(result.nic)} ({role})"
        for result, role in ((wires.corporate, "company network"), (wires.cluster, "cluster"))
        if result.cause is Cause.NO_CARRIER
    ]
    return CablingExplanation(
        "No carrier on " + " and ".join(dead),
        f"{corporate}: {wires.corporate.in_words()}. {cluster}: {wires.cluster.in_words()}. "
        "Without a link a network cannot be probed.",
        "Plug the cable in, switch on the other end, then look again.",
    )


def _could_not_tell(wires: CablingProbe, corporate: str, cluster: str) -> CablingExplanation:
    text = f"{corporate}: {wires.corporate.in_words()}. {cluster}: {wires.cluster.in_words()}."
    remedy = "Look again once both NICs are up and their cables stay in."
    if ProbeOutcome.UNKNOWN not in (wires.corporate.verdict, wires.cluster.verdict):
        if wires.one_wire is None:
            text += " It could not be tested whether the two are one network."
        else:
            text += (
                f" Yet {corporate} got its address from a DHCP server: that network hides its server from a probe, "
                f"so the silence on {cluster} proves nothing either."
            )
            remedy = (
                f"Follow the cable of {cluster} by hand. If it leads only to the cluster switch, let "
                f"{corporate} renew its lease and look again, or ask the network team whether they filter DHCP."
            )
    return CablingExplanation("Could not tell", text + " This does not count as silence.", remedy)


def _servers(result: ProbeResult) -> str:
    return "\n".join(f"  {server.in_words()}" for server in result.servers)


_EXPLAIN: dict[CablingPattern, Callable[[CablingProbe, str, str], CablingExplanation]] = {
    CablingPattern.AS_IT_SHOULD_BE: _as_it_should_be,
    CablingPattern.SWAPPED: _swapped,
    CablingPattern.CORPORATE_CABLE_IN_CLUSTER_SWITCH: _cable_in_cluster_switch,
    CablingPattern.ONE_NETWORK: _one_network,
    CablingPattern.ANOTHER_GATEWAY: _another_gateway,
    CablingPattern.ADDRESS_TAKEN: _address_taken,
    CablingPattern.ROUTER_ON_CLUSTER_WIRE: _router,
    CablingPattern.CORPORATE_WITHOUT_DHCP: _without_dhcp,
    CablingPattern.NO_CARRIER: _no_carrier,
    CablingPattern.COULD_NOT_TELL: _could_not_tell,
}
