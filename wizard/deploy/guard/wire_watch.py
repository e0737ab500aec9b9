"""What the guard knows of the wires: proves the cluster's silent, proves it again, and keeps what tripped it.

All of it happens in the guard's own thread, but for the asking itself, which takes long and only brings back what
it heard: whether that still means anything is judged here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from netaddr import IPAddress

from wizard.deploy import runtime_state
from wizard.deploy.guard import corporate_dhcp_history, proof, trip_record
from wizard.deploy.guard.link_listener import LinkListener, nodes_by_mac
from wizard.deploy.guard.preconditions import HOLDS, GuardVerdict
from wizard.deploy.shapes import AddressConflict
from wizard.host.dhcp import cabling
from wizard.host.dhcp.local_servers import LocalDhcpServers
from wizard.host.dhcp.probe import Cause, ProbeOutcome, ProbeResult, probe
from wizard.host.dhcp.probe_questions import NOTHING_MORE, ProbeQuestions, address_text, questions_for
from wizard.host.facts.vendors import named_mac
from wizard.host.net import rtnetlink
from wizard.host.net.link import LinkState, read_link
from wizard.host.net.packet_socket import PacketSocket
from wizard.host.notice import desktop_notice
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan

log = logging.getLogger("ciao-gateway")

PROBE_EVERY_S = 60.0
PROOF_VALID_S = 600.0
"""How long a wire that cannot be asked again counts as silent."""
_TRY_AGAIN_S = 5.0

ProbeReport = cabling.CablingProbe | ProbeResult


ANOTHER_GATEWAY = "another-gateway"

Stamps = tuple[proof.WireStamp | None, proof.WireStamp | None]


class ProbeThread(threading.Thread):
    """One question to the wires, under way. `before` are corporate's and cluster's stamps as it began; `wake` is
    called when it is done."""

    def __init__(
        self, work: Callable[[threading.Event], ProbeReport], before: Stamps, wake: Callable[[], None]
    ) -> None:
        super().__init__(daemon=True)
        self.work, self.before, self.wake = work, before, wake
        self.cancel = threading.Event()
        self.outcome: ProbeReport | None = None
        self.error = "the asking broke off"
        self.done = False

    def run(self) -> None:
        try:
            self.outcome = self.work(self.cancel)
        except (WizardError, OSError) as error:
            self.error = str(error)
        finally:
            self.done = True
            self.wake()


class WireWatch:
    """Not to be shared between threads. `wake` is called from another one when there is something to judge."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        self.plan: Plan | None = None
        self.ours: set[IPAddress] = set()
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

    # What the guard asks

    def reload(self, plan: Plan) -> None:
        """Watch for this plan. A fresh proof, newer than a trip, ends the trip."""
        if self.plan is None or (self.plan.interfaces, self.plan.network.cidr) != (plan.interfaces, plan.network.cidr):
            # What is still asked and heard was for other NICs.
            self._rest()
            self.unproven, self.tried_at = "", 0.0
        if self.listener is not None and (
            self.listener.nodes != nodes_by_mac(plan) or self.listener.gateway != plan.network.gateway.packed
        ):
            # Heard was perhaps one that is no longer in the plan.
            self.listener.close()
            self.listener = None
        self.plan, self.questions = plan, questions_for(plan)
        self.ours.add(plan.network.gateway)
        proven = proof.proven_at(plan.interfaces.cluster)
        if self.trip_verdict is not None and proven is not None and trip_record.ended_by(proven):
            trip_record.clear()
            self.trip_verdict = None
            log.info("a fresh proof ends the trip")

    def tripped(self) -> GuardVerdict | None:
        """What a person must look at before anything is served again, or None."""
        verdict = self.trip_verdict
        # A boot, or a NIC that comes back, raises it again; an apply under way does so by right.
        if (
            verdict is not None
            and verdict.code == ANOTHER_GATEWAY
            and self.plan is not None
            and runtime_state.running_engine() is None
        ):
            self._leave_the_address(self.plan)
        return verdict

    def trip(self, verdict: GuardVerdict) -> None:
        """Ask and listen no more, and remember why."""
        if self.trip_verdict is not None:
            return
        self.trip_verdict = verdict
        self._rest()
        proof.forget()
        trip_record.write(verdict)
        if verdict.code == ANOTHER_GATEWAY and self.plan is not None:
            self._leave_the_address(self.plan)
        desktop_notice("The cluster gateway stopped serving DHCP", verdict.reason)

    def _leave_the_address(self, plan: Plan) -> None:
        """The gateway that was there first serves on: its nodes must not find us under its address. An apply that
        finds the wire silent raises it again."""
        address = f"{plan.network.gateway}/{plan.network.cidr.prefixlen}"
        try:
            rtnetlink.delete_address(plan.interfaces.cluster, address)
        except OSError as error:
            log.warning("%s could not be taken off %s: %s", address, plan.interfaces.cluster, error)

    def sockets(self) -> list[PacketSocket]:
        """What to select on, so that the ear is heard at once."""
        return self.listener.sockets() if self.listener is not None else []

    def is_throttled(self) -> bool:
        return self.listener is not None and self.listener.is_throttled()

    def evaluate(self, corporate_has_lease: bool) -> GuardVerdict:
        """Whether the wire is proven and listened to; where it is not, a proof is under way when this returns."""
        if self.plan is None:
            return GuardVerdict(False, "unproven", "nothing is proven yet")
        cluster = self.plan.interfaces.cluster
        for look in (self._collect, self._listen, self._address_holds, self._only_server_here):
            verdict = look()
            if not verdict.ok:
                return verdict
        proven = proof.proven_at(cluster)
        age = runtime_state.boottime() - proven if proven is not None else PROOF_VALID_S
        if age >= PROOF_VALID_S:
            if self.listener is not None:
                self.listener.probe_nodes(self.plan.network.gateway.packed)
            self._ask(lambda cancel: self._both_wires(cancel, corporate_has_lease))
            return GuardVerdict(False, "unproven", self.unproven or f"asking the wire behind {cluster} before serving")
        self.unproven = ""
        if age > PROBE_EVERY_S:
            self._ask(lambda cancel: probe(cluster, wait=proof.wait_override(), stop=cancel, questions=self.questions))
        return HOLDS

    def conflicts(self) -> list[AddressConflict]:
        """Who has an address of the plan's beside the machine that it is for: `{ip, mac, name}` of each, for others to
        read. `name` is the node's, or "gateway"."""
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

    def _rest(self) -> None:
        if self.probe_thread is not None:
            self.probe_thread.cancel.set()
        self.probe_thread = None
        if self.listener is not None:
            self.listener.close()
        self.listener = None

    def end(self) -> None:
        asking = self.probe_thread
        self._rest()
        if asking is not None:
            asking.join(2)

    # Asking

    def _ask(self, work: Callable[[threading.Event], ProbeReport]) -> None:
        """Have the wires asked, one question at a time; again after a while, or when a cable was touched."""
        now = self._stamps()
        if self.probe_thread is not None:
            if not _same(now, self.probe_thread.before):
                # What it hears no longer matters; the next question waits for its end.
                self.probe_thread.cancel.set()
            return
        if time.monotonic() - self.tried_at < _TRY_AGAIN_S and _same(now, self.tried_on):
            return
        self.tried_at, self.tried_on = time.monotonic(), now
        self.probe_thread = ProbeThread(work, now, self.wake)
        self.probe_thread.start()

    def _both_wires(self, cancel: threading.Event, corporate_has_lease: bool) -> ProbeReport:
        """As long as a link that just came up may need."""
        if self.plan is None:
            raise WizardError("there is no plan")
        return proof.probe_both_wires(
            self.plan.interfaces.corporate,
            self.plan.interfaces.cluster,
            corporate_has_lease=corporate_has_lease,
            fresh_link=True,
            stop=cancel,
            questions=self.questions,
        )

    def _stamps(self) -> Stamps:
        if self.plan is None:
            return None, None
        return proof.read_stamp(self.plan.interfaces.corporate), proof.read_stamp(self.plan.interfaces.cluster)

    def _collect(self) -> GuardVerdict:
        """What an asking that is done brought back. A proof only where nobody has touched the cable meanwhile."""
        asking = self.probe_thread
        if asking is None or not asking.done:
            return HOLDS
        self.probe_thread = None
        self.tried_at = time.monotonic()
        outcome, before = asking.outcome, asking.before[1]
        if outcome is None:
            log.warning("the wire could not be asked: %s", asking.error)
            self.unproven = f"the wire could not be asked: {asking.error}"
            return HOLDS
        # What was heard until this moment counts.
        heard = self._listen()
        if not heard.ok:
            return heard
        silent, verdict = (
            self._judge_both(outcome) if isinstance(outcome, cabling.CablingProbe) else _judge_one(outcome)
        )
        now = self._stamps()[1]
        if silent and before is not None and before.same_wire(now):
            proof.write(before)
        elif not _same(self._stamps(), asking.before):
            self.unproven = "a cable was moved while the wire was asked; asking again"
        return verdict

    def _judge_both(self, seen: cabling.CablingProbe) -> tuple[bool, GuardVerdict]:
        refused = proof.refusal(seen)
        if refused is not None and seen.pattern is cabling.CablingPattern.ANOTHER_GATEWAY:
            return False, GuardVerdict(False, ANOTHER_GATEWAY, refused.message, tripped=True)
        if refused is not None and seen.pattern is cabling.CablingPattern.ADDRESS_TAKEN:
            # Nobody answers there but us: it is no danger, and over once the other is gone.
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
        """Have somebody listen behind the NICs as they are now, and judge what was heard."""
        if self.plan is None:
            return HOLDS
        cluster, corporate = read_link(self.plan.interfaces.cluster), read_link(self.plan.interfaces.corporate)
        if cluster is None:
            return GuardVerdict(False, "deaf", f"{self.plan.interfaces.cluster} is gone")
        if corporate is not None and not corporate.up:
            corporate = None
        now = proof.read_stamp(cluster.name)
        if self.listener is not None and not (
            self.listener.is_behind(cluster, corporate) and _same_one(now, self.listener_stamp)
        ):
            # Nor behind another cable: what waits to be heard came over the former one.
            self.listener.close()
            self.listener = None
        try:
            if self.listener is None:
                self.listener, self.listener_stamp = self._new_ear(cluster, corporate), now
            self.listener.may_defend = proof.holds(cluster.name)
            self.listener.send_mark()
            code, heard = self.listener.poll()
            self.listener.probe_addresses()
        except (WizardError, OSError) as error:
            if self.listener is not None:
                self.listener.close()
            self.listener = None
            return GuardVerdict(False, "deaf", f"nobody can listen behind {self.plan.interfaces.cluster}: {error}")
        if not code:
            return HOLDS
        if self.listener.same_gateway_heard and not self.listener.may_defend:
            code, heard = ANOTHER_GATEWAY, f"{heard}: another gateway with this plan's address"
        return GuardVerdict(False, code, _foreign(self.plan.interfaces.cluster, heard), tripped=True)

    def _new_ear(self, cluster: LinkState, corporate: LinkState | None) -> LinkListener:
        if self.plan is None:
            raise WizardError("there is no plan")
        return LinkListener(cluster, corporate, self.ours, nodes_by_mac(self.plan), self.plan.network.gateway)

    def _address_holds(self) -> GuardVerdict:
        """Nobody else has the gateway's address: nodes would send to one of the two."""
        if self.plan is None or self.listener is None:
            return HOLDS
        if self.listener.address_is_over():
            log.info("nobody else claims %s any more", self.plan.network.gateway)
        if not self.listener.address.given_up:
            return HOLDS
        reason = (
            f"{self.plan.network.gateway}, the gateway's address, is also at {named_mac(self.listener.address.rival)} "
            f"behind {self.plan.interfaces.cluster}: give that machine another address or unplug it; this goes on by "
            "itself once it is gone"
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


def _judge_one(result: ProbeResult) -> tuple[bool, GuardVerdict]:
    if result.verdict is ProbeOutcome.ANSWER:
        reason = _foreign(result.nic, result.servers[0].in_words())
        return False, GuardVerdict(False, "foreign-dhcp", reason, tripped=True)
    if result.cause is Cause.ROUTER:
        return False, GuardVerdict(False, "foreign-router", _foreign(result.nic, result.reason), tripped=True)
    if result.verdict is not ProbeOutcome.SILENCE:
        log.warning("the wire could not be asked again: %s", result.reason)
    return result.verdict is ProbeOutcome.SILENCE, HOLDS


def _same(now: Stamps, then: Stamps) -> bool:
    return all(_same_one(one, other) for one, other in zip(now, then, strict=True))


def _same_one(now: proof.WireStamp | None, then: proof.WireStamp | None) -> bool:
    return now is then if now is None else now.same_wire(then)


def _foreign(nic: str, who: str) -> str:
    return f"the cluster wire, {nic}, is not ours alone: {who}"
