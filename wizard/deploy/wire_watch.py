"""The guard's ear on the cluster wire: proves it silent, proves it again, and hears a foreign server at once."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
from collections.abc import Callable
from datetime import datetime

from netaddr import IPAddress

from wizard.deploy import proof, state
from wizard.deploy.gates import FINE, Verdict
from wizard.host import wires
from wizard.host.dhcp_packet import CLIENT_PORT, SERVER_PORT, chosen_server, parse_reply
from wizard.host.dhcp_probe import Verdict as Heard
from wizard.host.dhcp_probe import probe
from wizard.host.facts_nics import read_nics
from wizard.host.notice import desktop_notice
from wizard.host.tap import Tap, from_mac, udp_to_port
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan

log = logging.getLogger("ciao-gateway")

TRIPPED = "tripped.json"
PROBE_EVERY_S = 60.0
_TRY_AGAIN_S = 5.0
_LISTEN_S = 1.0


class WireWatch:
    """Works in threads of its own, and writes a byte to `waker` when the guard had better look."""

    def __init__(self, waker: socket.socket) -> None:
        self.waker = waker
        self.plan: Plan | None = None
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.prover: threading.Thread | None = None
        self.listener: threading.Thread | None = None
        self.listening_on: tuple[proof.Stamp | None, proof.Stamp | None] = (None, None)
        self.unproven = ""
        self.last_try = 0.0
        self.last_silence = 0.0
        self.served_before = False
        self.foreign: Verdict | None = None

    # What the guard asks

    def take_up(self, plan: Plan) -> None:
        """Watch for this plan. A fresh proof, newer than a trip, ends the trip."""
        self.plan = plan
        tripped, proven = state.read_json(TRIPPED), proof.read()
        fresh = tripped is not None and proven is not None and float(proven["at"]) > float(tripped["at"])
        if fresh and proof.holds(plan.interfaces.cluster):
            state.remove(TRIPPED)
            self.foreign = None
            log.info("a fresh proof ends the trip")

    def tripped(self) -> Verdict | None:
        """What a person must look at before anything is served again, or None."""
        if self.foreign is not None:
            return self.foreign
        data = state.read_json(TRIPPED)
        return Verdict(False, str(data["code"]), str(data["reason"]), tripped=True) if data else None

    def trip(self, verdict: Verdict) -> None:
        """Remember why, for longer than this process lives."""
        if state.read_json(TRIPPED) is None:
            when = datetime.now().astimezone().isoformat(timespec="seconds")
            told = {"code": verdict.code, "reason": verdict.reason, "since": when, "at": state.boottime()}
            state.write_json(TRIPPED, told)
            desktop_notice("The cluster gateway stopped serving DHCP", verdict.reason)

    def judge(self) -> Verdict:
        """Whether the wire is proven; where it is not, a proof is under way when this returns."""
        if self.plan is None:
            return Verdict(False, "unproven", "nothing is proven yet")
        cluster = self.plan.interfaces.cluster
        self._listen_to(self.plan.interfaces.corporate, cluster)
        if self.foreign is not None:
            return self.foreign
        if not proof.holds(cluster):
            self._start_prover(self._prove)
            return Verdict(False, "unproven", self.unproven or f"asking the wire behind {cluster} before serving")
        self.served_before = True
        if state.boottime() - max(self.last_silence, float((proof.read() or {}).get("at", 0))) > PROBE_EVERY_S:
            self._start_prover(self._ask_again)
        return FINE

    def end(self) -> None:
        self.stop.set()
        for thread in (self.prover, self.listener):
            if thread is not None:
                thread.join(2)

    # The proofs

    def _start_prover(self, work: Callable[[], None]) -> None:
        if self.prover is not None and self.prover.is_alive():
            return
        if state.boottime() - self.last_try < _TRY_AGAIN_S and self.unproven:
            return
        self.last_try = state.boottime()
        self.prover = threading.Thread(target=work, daemon=True)
        self.prover.start()

    def _prove(self) -> None:
        """Both wires, as long as a link that just came up may need."""
        if self.plan is None:
            return
        nics = self.plan.interfaces
        before = proof.stamp(nics.cluster)
        corporate = next((n for n in read_nics() if n.name == nics.corporate), None)
        leased = corporate is not None and corporate.leased
        try:
            seen = proof.look(nics.corporate, nics.cluster, corporate_has_lease=leased, fresh_link=True)
        except (WizardError, OSError) as error:
            self.unproven = f"the wire could not be asked: {error}"
            self._wake()
            return
        refused = proof.refusal(seen)
        if refused is not None:
            self._hear_foreign("foreign-dhcp", refused.message)
        elif proof.may_serve(seen) and before == proof.stamp(nics.cluster):
            self.unproven = ""
            proof.write(nics.cluster)
        elif proof.may_serve(seen):
            self.unproven = "the cable was moved while the wire was asked; asking again"
            self.last_try = 0.0
        else:
            self.unproven = wires.explain(seen).in_a_line
        self._wake()

    def _ask_again(self) -> None:
        """The cluster wire alone, while serving: our own answers are not heard."""
        if self.plan is None:
            return
        try:
            result = probe(self.plan.interfaces.cluster, wait=proof.wait_override(), stop=self.stop)
        except (WizardError, OSError) as error:
            log.warning("the wire could not be asked: %s", error)
            return
        if result.verdict is Heard.ANSWER:
            self._hear_foreign("foreign-dhcp", _foreign(self.plan.interfaces.cluster, result.servers[0].in_words()))
        elif result.verdict is Heard.SILENCE:
            self.last_silence = state.boottime()
        self._wake()

    # The ear

    def _listen_to(self, corporate: str, cluster: str) -> None:
        """Have somebody listen behind these NICs, as they are now."""
        now = (proof.stamp(corporate), proof.stamp(cluster))
        same = [s.index if s else None for s in self.listening_on] == [s.index if s else None for s in now]
        if same and self.listener is not None and self.listener.is_alive():
            return
        self.listening_on = now
        self.listener = threading.Thread(target=self._listen, args=(now,), daemon=True)
        self.listener.start()

    def _listen(self, where: tuple[proof.Stamp | None, proof.Stamp | None]) -> None:
        """Hear every answer that a DHCP server gives to anybody behind the cluster NIC (ours are not among them),
        and whatever one of our two NICs sends and the other one hears: then both are on one wire."""
        corporate, cluster = where
        if cluster is None:
            return
        macs = {n.name: n.mac for n in read_nics()}
        mine = [macs.get(s.nic, "") if s else "" for s in where]
        with contextlib.ExitStack() as stack:
            ears: dict[Tap, Callable[[bytes], str]] = {}
            try:
                foreign = stack.enter_context(Tap(udp_to_port(CLIENT_PORT)))
                foreign.listen(cluster.nic)
                ears[foreign] = _foreign_server
                # A server's answers may go past us by unicast; that a client takes one is said to everybody.
                requests = stack.enter_context(Tap(udp_to_port(SERVER_PORT)))
                requests.listen(cluster.nic)
                ears[requests] = self._foreign_choice
                if corporate is not None and all(mine) and mine[0] != mine[1]:
                    for nic, mac in ((cluster.nic, mine[0]), (corporate.nic, mine[1])):
                        other = stack.enter_context(Tap(from_mac(mac)))
                        other.listen(nic)
                        ears[other] = lambda _frame: "what leaves one of the two NICs comes in at the other"
                self._hear(ears, where, cluster.nic)
            except (WizardError, OSError) as error:
                log.warning("nobody listens behind %s: %s", cluster.nic, error)

    def _foreign_choice(self, frame: bytes) -> str:
        server = chosen_server(frame)
        if not server or self.plan is None or IPAddress(server) in self.plan.network.cidr:
            return ""
        return f"a client there took the address that {server} offered: a DHCP server that answered it"

    def _hear(self, ears: dict[Tap, Callable[[bytes], str]], where: object, cluster: str) -> None:
        while not self.stop.is_set() and self.listening_on == where:
            ready, _, _ = select.select(list(ears), [], [], _LISTEN_S)
            for tap in ready:
                heard = tap.receive(0)
                who = ears[tap](heard[0]) if heard is not None and heard[0] else ""
                if who:
                    self._hear_foreign("foreign-dhcp" if "answered" in who else "one-wire", _foreign(cluster, who))
                    return

    def _hear_foreign(self, code: str, reason: str) -> None:
        with self.lock:
            if self.foreign is None:
                self.foreign = Verdict(False, code, reason, tripped=True)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self.waker.send(b"w")


def _foreign_server(frame: bytes) -> str:
    """Which DHCP server answered somebody in this frame; "" where none did."""
    reply = parse_reply(frame)
    if reply is None or not reply.decides:
        return ""
    offer = reply.offer
    return f"{offer.server_id or offer.source_ip} ({offer.source_mac}) answered a client there"


def _foreign(nic: str, who: str) -> str:
    return f"the cluster wire, {nic}, is not ours alone: {who}"
