"""The guard's view of the wires: probes, proves the cluster wire silent, listens on it, and remembers a trip.

Called by `daemon.Guard` from the guard's main thread. A probe takes long and runs in a ProbeThread, which only returns
a report; the main thread decides whether the report is still valid.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from netaddr import IPAddress

from wizard.deploy import runtime_state
from wizard.deploy.guard import corporate_dhcp_history, proof, trip_record
from wizard.deploy.guard.link_listener import ANOTHER_GATEWAY, LinkListener, nodes_by_mac
from wizard.deploy.guard.preconditions import HOLDS, GuardVerdict
from wizard.deploy.shapes import AddressConflict
from wizard.host.dhcp import cabling
from wizard.host.dhcp.local_servers import LocalDhcpServers
from wizard.host.dhcp.probe import Cause, ProbeOutcome, ProbeResult, probe
from wizard.host.dhcp.probe_questions import NOTHING_MORE, ProbeQuestions, address_text, questions_for
from wizard.host.facts.vendors import named_mac
from wizard.host.net import rtnetlink
from wizard.host.net.link import LinkState, ethernet_links, read_link
from wizard.host.net.managers import BACKENDS
from wizard.host.net.packet_socket import PacketSocket
from wizard.host.notice import desktop_notice
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan

log = logging.getLogger("ciao-gateway")

PROBE_EVERY_S = 60.0
PROOF_VALID_S = 600.0
"""How long a proof is valid where the wire cannot be probed again."""
_TRY_AGAIN_S = 5.0

ProbeReport = cabling.CablingProbe | ProbeResult


Stamps = tuple[proof.WireStamp | None, proof.WireStamp | None]


class ProbeThread(threading.Thread):
    """One probe in progress. `before`: the stamps of (corporate, cluster) at its start; `wake` is called at its end.

    When `done`: `outcome` is the report, or None where `error` says why there is none.
    """

    def __init__(
        self, work: Callable[[threading.Event], ProbeReport], before: Stamps, wake: Callable[[], None]
    ) -> None:
        super().__init__(daemon=True)
        self.work, self.before, self.wake = work, before, wake
        self.cancel = threading.Event()
        self.outcome: ProbeReport | None = None
        self.error = "the probe broke off"
        self.done = False

    def run(self) -> None:
        try:
            self.outcome = self.work(self.cancel)
        except (WizardError, OSError) as error:
            self.error = str(error)
        finally:
            self.done = True
            self.wake()


class OwnGateways:
    """The gateway's addresses: of the plans that were loaded, since clients may still name those, and of the live file.

    An apply sets a new address before the guard loads the plan that it is of, and our dnsmasq answers from it at once.
    """

    def __init__(self) -> None:
        self._loaded: set[IPAddress] = set()

    def add(self, address: IPAddress) -> None:
        self._loaded.add(address)

    def __contains__(self, address: object) -> bool:
        if address in self._loaded:
            return True
        given = {cidr for backend in BACKENDS.values() for cidr in backend.addresses()}
        return str(address) in {cidr.partition("/")[0] for cidr in given}


class WireWatch:
    """Not thread-safe. `wake` is called from the probe's thread when its report is ready."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        self.plan: Plan | None = None
        self.corporate = ""
        self.others: tuple[str, ...] = ()
        self.ours = OwnGateways()
        self.probe_thread: ProbeThread | None = None
        self.listener: LinkListener | None = None
        self.listener_stamp: proof.WireStamp | None = None
        self.unproven = ""
        self.tried_at = 0.0
        self.tried_on: Stamps = (None, None)
        self.questions: ProbeQuestions = NOTHING_MORE
        self.servers_here = LocalDhcpServers()
        self.warned: set[tuple[str, str]] = set()
        self.trip_verdict = trip_record.read()

    # Called by the guard

    def reload(self, plan: Plan) -> None:
        """Watch for this plan. A proof that is newer than the trip ends it."""
        if self.plan is None or (self.plan.interfaces, self.plan.network.cidr) != (plan.interfaces, plan.network.cidr):
            # The probe and the listener were for other NICs.
            self._stop()
            self.unproven, self.tried_at = "", 0.0
        if self.listener is not None and (
            self.listener.nodes != nodes_by_mac(plan) or self.listener.gateway != plan.network.gateway.packed
        ):
            # It may have heard a node that is no longer in the plan.
            self.listener.close()
            self.listener = None
        self.plan, self.questions = plan, questions_for(plan)
        if not plan.interfaces.follows_default_route:
            self.corporate, self.others = plan.interfaces.corporate, ()
        self.ours.add(plan.network.gateway)
        proven = proof.proven_at(plan.interfaces.cluster)
        if self.trip_verdict is not None and proven is not None and trip_record.ended_by(proven):
            trip_record.clear()
            self.trip_verdict = None
            log.info("a fresh proof ends the trip")

    def follow(self, corporate: str, others: tuple[str, ...]) -> None:
        """The corporate wire is behind this NIC from now on; "" where there is none.

        `others`: further NICs whose wire must not be the cluster's.
        """
        self.corporate, self.others = corporate, others

    def tripped(self) -> GuardVerdict | None:
        """The verdict that a person must clear by an apply, or None."""
        verdict = self.trip_verdict
        # A boot or a replugged NIC sets the address again: take it off. An apply may set it.
        if (
            verdict is not None
            and verdict.code == ANOTHER_GATEWAY
            and self.plan is not None
            and runtime_state.running_engine() is None
        ):
            self._remove_address(self.plan)
        return verdict

    def trip(self, verdict: GuardVerdict) -> None:
        """Stop probing and listening, drop the proof, and record why. Only the first trip counts.

        Raises WizardError where the record cannot be written.
        """
        if self.trip_verdict is not None:
            return
        self.trip_verdict = verdict
        self._stop()
        proof.forget()
        trip_record.write(verdict)
        if verdict.code == ANOTHER_GATEWAY and self.plan is not None:
            self._remove_address(self.plan)
        desktop_notice("The cluster gateway stopped serving DHCP", verdict.reason)

    def _remove_address(self, plan: Plan) -> None:
        """Take the gateway's address off the NIC: the nodes of the gateway that was there first must not reach us.

        An apply that finds the wire silent sets it again.
        """
        address = plan.network.gateway_cidr
        try:
            rtnetlink.delete_address(plan.interfaces.cluster, address)
        except OSError as error:
            log.warning("%s could not be taken off %s: %s", address, plan.interfaces.cluster, error)

    def sockets(self) -> list[PacketSocket]:
        """The listener's sockets, for the guard's select."""
        return self.listener.sockets() if self.listener is not None else []

    def is_throttled(self) -> bool:
        return self.listener is not None and self.listener.is_throttled()

    def evaluate(self, corporate_has_lease: bool) -> GuardVerdict:
        """HOLDS where the wire is proven and the listener works; starts a probe where a proof is missing or old."""
        if self.plan is None:
            return GuardVerdict(False, "unproven", "nothing is proven yet")
        cluster = self.plan.interfaces.cluster
        for check in (self._collect, self._listen, self._address_holds, self._only_server_here):
            verdict = check()
            if not verdict.ok:
                return verdict
        proven = proof.proven_at(cluster)
        age = runtime_state.boottime() - proven if proven is not None else PROOF_VALID_S
        if age >= PROOF_VALID_S:
            if self.listener is not None:
                self.listener.probe_nodes(self.plan.network.gateway.packed)
            self._start_probe(lambda cancel: self._probe_both(cancel, corporate_has_lease))
            return GuardVerdict(False, "unproven", self.unproven or f"probing the wire behind {cluster} before serving")
        self.unproven = ""
        if age > PROBE_EVERY_S:
            self._start_probe(
                lambda cancel: probe(cluster, wait=proof.wait_override(), stop=cancel, questions=self.questions)
            )
        return HOLDS

    def conflicts(self) -> list[AddressConflict]:
        """Machines that use an address the plan gives to another one; each new conflict is logged once."""
        if self.plan is None or self.listener is None:
            return []
        found: list[AddressConflict] = [
            {"ip": address_text(ip), "mac": mac.hex(":"), "name": self.questions.clients.get(node, "")}
            for ip, node, mac in self.listener.address_conflicts()
        ]
        if self.listener.address.given_up:
            found.insert(
                0, {"ip": str(self.plan.network.gateway), "mac": self.listener.address.rival, "name": "gateway"}
            )
        now = {(each["ip"], each["mac"]) for each in found}
        for each in found:
            if (each["ip"], each["mac"]) not in self.warned:
                log.warning("%s, the address of %s, is also at %s", each["ip"], each["name"], named_mac(each["mac"]))
        self.warned = now
        return found

    def _stop(self) -> None:
        if self.probe_thread is not None:
            self.probe_thread.cancel.set()
        self.probe_thread = None
        if self.listener is not None:
            self.listener.close()
        self.listener = None

    def end(self) -> None:
        thread = self.probe_thread
        self._stop()
        if thread is not None:
            thread.join(2)

    # Probing

    def _start_probe(self, work: Callable[[threading.Event], ProbeReport]) -> None:
        """Start `work` in a thread: one probe at a time, 5 s apart, sooner where a carrier changed."""
        now = self._stamps()
        if self.probe_thread is not None:
            if not _same_wires(now, self.probe_thread.before):
                # Its report would be worthless; the next probe starts once it has ended.
                self.probe_thread.cancel.set()
            return
        if time.monotonic() - self.tried_at < _TRY_AGAIN_S and _same_wires(now, self.tried_on):
            return
        self.tried_at, self.tried_on = time.monotonic(), now
        self.probe_thread = ProbeThread(work, now, self.wake)
        self.probe_thread.start()

    def _probe_both(self, cancel: threading.Event, corporate_has_lease: bool) -> ProbeReport:
        """Probe both wires for as long as a switch may hold a fresh link back."""
        if self.plan is None:
            raise WizardError("there is no plan")
        return proof.probe_both_wires(
            self.corporate,
            self.plan.interfaces.cluster,
            corporate_has_lease=corporate_has_lease,
            fresh_link=True,
            stop=cancel,
            questions=self.questions,
        )

    def _stamps(self) -> Stamps:
        if self.plan is None:
            return None, None
        return proof.read_stamp(self.corporate), proof.read_stamp(self.plan.interfaces.cluster)

    def _collect(self) -> GuardVerdict:
        """Evaluate a finished probe. It proves the wire only if the carrier did not change during it."""
        thread = self.probe_thread
        if thread is None or not thread.done:
            return HOLDS
        self.probe_thread = None
        self.tried_at = time.monotonic()
        outcome, before = thread.outcome, thread.before[1]
        if outcome is None:
            log.warning("the wire could not be asked: %s", thread.error)
            self.unproven = f"the wire could not be asked: {thread.error}"
            return HOLDS
        # A frame that the listener has received by now outweighs the probe's silence.
        listening = self._listen()
        if not listening.ok:
            return listening
        silent, verdict = (
            self._evaluate_both(outcome) if isinstance(outcome, cabling.CablingProbe) else _evaluate_one(outcome)
        )
        now = self._stamps()[1]
        if silent and before is not None and before.same_wire(now):
            proof.write(before)
        elif not _same_wires(self._stamps(), thread.before):
            self.unproven = "a cable was moved during the probe; probing again"
        return verdict

    def _evaluate_both(self, seen: cabling.CablingProbe) -> tuple[bool, GuardVerdict]:
        refused = proof.refusal(seen)
        if refused is not None and seen.pattern is cabling.CablingPattern.ANOTHER_GATEWAY:
            return False, GuardVerdict(False, ANOTHER_GATEWAY, refused.message, tripped=True)
        if refused is not None and seen.pattern is cabling.CablingPattern.ADDRESS_TAKEN:
            # No other DHCP server there: mute, not tripped, until the other machine is gone.
            self.unproven = refused.message
            return False, HOLDS
        if refused is not None:
            router = seen.pattern is cabling.CablingPattern.ROUTER_ON_CLUSTER_WIRE
            code = "one-wire" if seen.one_wire else "foreign-router" if router else "foreign-dhcp"
            return False, GuardVerdict(False, code, refused.message, tripped=True)
        corporate = proof.read_stamp(seen.corporate.nic)
        mac = corporate.mac if corporate is not None else ""
        if seen.corporate.verdict is ProbeOutcome.ANSWER or seen.corporate_has_lease:
            corporate_dhcp_history.note_answer(mac)
        node_heard = self.listener is not None and self.listener.node_heard
        proven = proof.is_proven(seen, node_heard=node_heard, answered_before=corporate_dhcp_history.has_answered(mac))
        silent = seen.cluster.verdict is ProbeOutcome.SILENCE
        self.unproven = (
            proof.missing_control_message(seen) if silent and not proven else cabling.explain(seen).in_a_line
        )
        return proven, HOLDS

    # Listening

    def _listen(self) -> GuardVerdict:
        """Keep a listener on the NICs as they are now, and evaluate what it received."""
        if self.plan is None:
            return HOLDS
        cluster = read_link(self.plan.interfaces.cluster)
        if cluster is None:
            return GuardVerdict(False, "deaf", f"{self.plan.interfaces.cluster} is gone")
        others = ethernet_links((self.corporate, *self.others))
        now = proof.read_stamp(cluster.name)
        if self.listener is not None and not (
            self.listener.is_behind(cluster) and _same_wire(now, self.listener_stamp)
        ):
            # The frames in its queues came over another NIC or cable.
            self.listener.close()
            self.listener = None
        try:
            if self.listener is None:
                self.listener, self.listener_stamp = self._new_listener(cluster, others), now
            self.listener.follow(others)
            self.listener.may_defend = proof.holds(cluster.name)
            self.listener.send_mark()
            code, detail = self.listener.poll()
            self.listener.probe_addresses()
        except (WizardError, OSError) as error:
            if self.listener is not None:
                self.listener.close()
            self.listener = None
            return GuardVerdict(False, "deaf", f"the guard cannot listen on {self.plan.interfaces.cluster}: {error}")
        if not code:
            return HOLDS
        if self.listener.same_gateway_heard and not self.listener.may_defend:
            code, detail = ANOTHER_GATEWAY, f"{detail}: another gateway with this plan's address"
        return GuardVerdict(False, code, _foreign(self.plan.interfaces.cluster, detail), tripped=True)

    def _new_listener(self, cluster: LinkState, others: Sequence[LinkState]) -> LinkListener:
        if self.plan is None:
            raise WizardError("there is no plan")
        return LinkListener(cluster, others, self.ours, nodes_by_mac(self.plan), self.plan.network.gateway)

    def _address_holds(self) -> GuardVerdict:
        """No other machine uses the gateway's address: nodes would send to one of the two."""
        if self.plan is None or self.listener is None:
            return HOLDS
        if self.listener.address_conflict_is_over():
            log.info("no other machine claims %s any more", self.plan.network.gateway)
        if not self.listener.address.given_up:
            return HOLDS
        reason = (
            f"{self.plan.network.gateway}, the gateway's address, is also at {named_mac(self.listener.address.rival)} "
            f"behind {self.plan.interfaces.cluster}: give that machine another address or unplug it; DHCP "
            "resumes by itself once it is gone"
        )
        return GuardVerdict(False, "address-conflict", reason)

    def _only_server_here(self) -> GuardVerdict:
        """No other program of this machine serves DHCP on the cluster NIC."""
        link = read_link(self.plan.interfaces.cluster) if self.plan is not None else None
        if self.plan is None or link is None:
            return HOLDS
        found = self.servers_here.find_other(link.index, self.plan.network.gateway.packed)
        if not found:
            return HOLDS
        reason = f"{found} serves DHCP on {link.name} too: stop it, or bind it to the NICs that it is for"
        return GuardVerdict(False, "second-server", reason)


def _evaluate_one(result: ProbeResult) -> tuple[bool, GuardVerdict]:
    if result.verdict is ProbeOutcome.ANSWER:
        reason = _foreign(result.nic, result.servers[0].in_words())
        return False, GuardVerdict(False, "foreign-dhcp", reason, tripped=True)
    if result.cause is Cause.ROUTER:
        return False, GuardVerdict(False, "foreign-router", _foreign(result.nic, result.reason), tripped=True)
    if result.verdict is not ProbeOutcome.SILENCE:
        log.warning("the wire could not be asked again: %s", result.reason)
    return result.verdict is ProbeOutcome.SILENCE, HOLDS


def _same_wires(now: Stamps, then: Stamps) -> bool:
    return all(_same_wire(one, other) for one, other in zip(now, then, strict=True))


def _same_wire(now: proof.WireStamp | None, then: proof.WireStamp | None) -> bool:
    return now is then if now is None else now.same_wire(then)


def _foreign(nic: str, who: str) -> str:
    return f"the cluster wire, {nic}, is not ours alone: {who}"
