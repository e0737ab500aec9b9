"""Watches that the cluster NIC keeps the gateway's address, and gives it back: once, and then less and less often.

`daemon.Guard.inspect` calls it in the guard's main thread, after the NIC's identity was checked and DHCP was muted.
A NIC that was unplugged and is back, or that stayed down at boot, is raised. From one that had the address and lost it,
somebody took it: a network manager, a DHCP client, a person. It is given back after a few seconds, unless another
machine uses it. Where it is taken again within a minute two configurations fight: then it stays away for a minute, and
for twice as long each time after that, until the NIC's owner changes or a person applies.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Protocol

from netaddr import IPAddress

from wizard.deploy import runtime_state
from wizard.deploy.guard.address_defence import QUIET_S
from wizard.deploy.guard.address_owner import Taker, find_taker
from wizard.deploy.guard.address_probe import AddressProbe
from wizard.deploy.guard.preconditions import GuardVerdict
from wizard.deploy.shapes import AddressLoss
from wizard.host.facts.vendors import named_mac
from wizard.host.net import link_image, rtnetlink
from wizard.host.net.managers import applied_backend
from wizard.host.notice import desktop_notice
from wizard.plan.backends import Backend
from wizard.plan.findings import WizardError
from wizard.plan.machine import Nic
from wizard.plan.model import Plan

log = logging.getLogger("ciao-gateway")

PATIENCE_S = 3.0
"""How long whoever reconfigures the NIC, or the system's own hot plugging, has to set the address by itself, in s."""
FIGHT_S = 60.0
"""Taken away again within this time after it was given back: a fight. Also the first pause that follows."""
LONGEST_PAUSE_S = 600.0
_ASK_EVERY_S = 10.0
_STEP_S = 1.0
_AGAIN_S, _LONGEST_AGAIN_S = 10.0, 60.0
CONTESTED = "address-contested"
_CURABLE_CODES = ("no-carrier", "address")


class AddressClaims(Protocol):
    """See `AddressProbe`."""

    def ask(self) -> str: ...

    def close(self) -> None: ...


class ClusterNicAccess:
    """What the watch reads and changes of this machine. Each may raise WizardError or OSError."""

    def engine_runs(self) -> bool:
        return runtime_state.running_engine() is not None

    def taker(self, plan: Plan, nic: Nic) -> Taker:
        return find_taker(plan, nic)

    def probe(self, nic: str, address: IPAddress) -> AddressClaims:
        return AddressProbe(nic, address)

    def others_raise_it(self) -> bool:
        """Whether a manager, or the system's hot plugging, gives a NIC that appears its address by itself."""
        return applied_backend().backend is not Backend.NONE

    def set_up(self, nic: str) -> None:
        """Set the link up, without an address."""
        rtnetlink.set_link(nic, up=True)

    def give_back(self, nic: Nic, cidr: str) -> None:
        """Have the backend of the last apply give the NIC its address."""
        backend = applied_backend()
        if nic.up and backend.configured_as(nic.name) == nic.name:
            # ifupdown believes that it is there, and ifdown would take the link down, which ends the proof.
            link_image.add_address(nic.name, cidr)
        else:
            backend.give_back(nic.name)
        if not link_image.has_address(nic.name, cidr):
            raise WizardError(f"{nic.name} does not have {cidr}, though {backend.name} reported no error")

    def notify(self, text: str) -> None:
        desktop_notice("The cluster gateway does not serve", text)


@dataclass
class _Loss:
    """The address is away, or the link is down. Times are of the watch's clock. `index`: the NIC's.

    `returned`: nobody took it, as the NIC has just appeared.
    `due`: when it is given back, unless something hinders; `due_text`: the time of day. `owner`: the key of the taker
    when it was last looked for.
    """

    index: int
    asked_at: float
    taker: Taker
    owner: str
    contested: bool = False
    returned: bool = False
    due: float = 0.0
    due_text: str = ""
    raised_link: bool = False
    probe: AddressClaims | None = None
    probed_since: float = 0.0
    rival: str = ""
    rival_at: float = 0.0
    failure: str = ""
    retry_s: float = 0.0


class AddressWatch:
    """`clock`: s, monotonic. `wall`: the time of day, with its zone. `last`: what happened last, for serve.json."""

    def __init__(
        self,
        access: ClusterNicAccess | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self.access = access or ClusterNicAccess()
        self.clock, self.wall = clock, wall
        self.last: AddressLoss | None = None
        self._held_index: int | None = None
        self._loss: _Loss | None = None
        self._given_at: float | None = None
        self._pause = 0.0
        self._next_step = 0.0

    def reset(self) -> None:
        """Forget what happened: another configuration is in force, or a person has applied."""
        self._drop_loss()
        self.last, self._given_at, self._pause = None, None, 0.0

    def due(self) -> bool:
        """Whether `watch` is to be called now, though nothing has changed."""
        return self._loss is not None and self._next_step <= self.clock()

    def watch(self, plan: Plan, nics: Mapping[str, Nic], verdict: GuardVerdict) -> GuardVerdict:
        """Act on `verdict`, of `check_nic`, and return it with what happened; it is never changed to a better one.

        `nics`: by name; the cluster's must be there, its identity checked. Never raises.
        """
        nic = nics[plan.interfaces.cluster]
        has_it = _has_in_full(nic, plan)
        self._next_step = self.clock() + _STEP_S
        if self.access.engine_runs():
            # Its steps take the address off and set it again.
            self._drop_loss()
            self._held_index = nic.index if nic.up and has_it else self._held_index
            return verdict
        if nic.up and has_it:
            self._note_back(nic)
            return verdict
        if verdict.code not in _CURABLE_CODES or any(_has(n, plan) for n in nics.values() if n is not nic):
            self._close_probe()
            return verdict
        if self._loss is not None and self._loss.index != nic.index:
            self._drop_loss()
        if self._held_index != nic.index:
            return self._pursue(self._loss or self._note_return(nic), plan, nic, verdict)
        if nic.up and not nic.carrier:
            # Without a cable some managers take the address off, and set it again with the cable.
            self._close_probe()
            return verdict
        return self._pursue(self._loss or self._note_loss(plan, nic), plan, nic, verdict)

    def _note_return(self, nic: Nic) -> _Loss:
        """A NIC that has not had the address since it appeared."""
        loss = self._loss = _Loss(nic.index, self.clock(), Taker(), "", returned=True)
        self._set_due(loss, PATIENCE_S if self.access.others_raise_it() else 0.0)
        return loss

    def _note_loss(self, plan: Plan, nic: Nic) -> _Loss:
        now = self.clock()
        contested = self._given_at is not None and now - self._given_at < FIGHT_S
        self._pause = min(max(2 * self._pause, FIGHT_S), LONGEST_PAUSE_S) if contested else 0.0
        taker = self.access.taker(plan, nic)
        loss = self._loss = _Loss(nic.index, now, taker, taker.key, contested)
        self._set_due(loss, self._pause or PATIENCE_S)
        times = self.last["times"] + 1 if self.last is not None else 1
        self.last = AddressLoss(at=self._moment(), link_down=not nic.up, times=times, back=None, given_back=False)
        self._name_taker(loss)
        story = _story(loss, plan, self.last)
        log.warning("%s", story)
        if contested and self._pause == FIGHT_S:
            self.access.notify(story)
        return loss

    def _pursue(self, loss: _Loss, plan: Plan, nic: Nic, verdict: GuardVerdict) -> GuardVerdict:
        now = self.clock()
        if now - loss.asked_at > _ASK_EVERY_S and not loss.returned:
            self._ask_again(loss, plan, nic)
        if not nic.up and loss.raised_link:
            # Set down again before its address was back.
            self._drop_loss()
            loss = self._note_loss(plan, nic)
        if now >= loss.due - PATIENCE_S:
            rival = self._find_rival(loss, plan, nic)
            if rival:
                return GuardVerdict(False, "address-conflict", rival)
            if now >= loss.due and (loss.probe is None or now - loss.probed_since >= PATIENCE_S):
                self._give_back(loss, plan, nic)
        if loss.returned:
            failed = _failed(loss)
            return replace(verdict, reason=f"{verdict.reason}; {failed}") if failed else verdict
        story = _story(loss, plan, self.last or AddressLoss())
        if loss.contested:
            return GuardVerdict(False, CONTESTED, story)
        return GuardVerdict(False, "address", f"{verdict.reason}: {story}")

    def _ask_again(self, loss: _Loss, plan: Plan, nic: Nic) -> None:
        """Find who has the NIC now: a name that was not known is noted; another owner is a reason to try sooner."""
        loss.asked_at = now = self.clock()
        taker = self.access.taker(plan, nic)
        if loss.contested and loss.owner and taker.key != loss.owner:
            self._set_due(loss, min(loss.due - now, PATIENCE_S))
        loss.owner = taker.key
        if taker.name:
            loss.taker = taker
            self._name_taker(loss)

    def _find_rival(self, loss: _Loss, plan: Plan, nic: Nic) -> str:
        """The reason not to give the address back, where another machine uses it, or "". A wire that cannot be asked
        now, as its link is down, is probed before it is served."""
        if not nic.up or not nic.carrier:
            self._close_probe()
            return ""
        now, address = self.clock(), plan.network.gateway
        try:
            if loss.probe is None:
                loss.probe, loss.probed_since = self.access.probe(nic.name, address), now
            heard = loss.probe.ask()
        except (WizardError, OSError) as error:
            self._close_probe()
            self._postpone(loss, str(error))
            return ""
        if heard:
            loss.rival, loss.rival_at = heard, now
        if not loss.rival or now - loss.rival_at > QUIET_S:
            loss.rival = ""
            return ""
        return (
            f"{address}, the gateway's address, is also at {named_mac(loss.rival)} behind {nic.name}, and not given "
            "back: give that machine another address or unplug it; DHCP resumes by itself once it is gone"
        )

    def _give_back(self, loss: _Loss, plan: Plan, nic: Nic) -> None:
        if not loss.taker.name and not loss.returned:
            self._ask_again(loss, plan, nic)
        try:
            if not nic.up and not _has_in_full(nic, plan) and not loss.returned:
                # So that its wire can be asked for the address before it is set.
                self.access.set_up(nic.name)
                loss.raised_link, self._given_at = True, self.clock()
                self._set_due(loss, PATIENCE_S)
                return
            self.access.give_back(nic, plan.network.gateway_cidr)
        except (WizardError, OSError) as error:
            self._postpone(loss, str(error))
            return
        finally:
            self._close_probe()
        log.info("%s was given to %s", plan.network.gateway, nic.name)
        self._held_index = nic.index
        if not loss.returned:
            self._given_at = self.clock()
        if self.last is not None and not loss.returned:
            self.last["back"], self.last["given_back"], self.last["contested"] = self._moment(), True, False
        self._drop_loss()

    def _postpone(self, loss: _Loss, failure: str) -> None:
        if failure != loss.failure:
            log.warning("the cluster NIC could not be given its address: %s", failure)
        longest = _LONGEST_AGAIN_S if loss.returned else LONGEST_PAUSE_S
        loss.retry_s = min(max(2 * loss.retry_s, _AGAIN_S), longest)
        loss.failure = failure
        if self.last is not None and not loss.returned:
            self.last["failure"] = failure
        self._set_due(loss, loss.retry_s)

    def _set_due(self, loss: _Loss, seconds: float) -> None:
        loss.due, loss.due_text = self.clock() + seconds, f"{self.wall() + timedelta(seconds=seconds):%H:%M:%S}"

    def _note_back(self, nic: Nic) -> None:
        self._held_index = nic.index
        if self._loss is not None:
            if self.last is not None and not self._loss.returned:
                self.last["back"], self.last["contested"] = self._moment(), False
            log.info("%s has its address again", nic.name)
            self._drop_loss()

    def _drop_loss(self) -> None:
        self._close_probe()
        self._loss = None

    def _close_probe(self) -> None:
        if self._loss is not None and self._loss.probe is not None:
            self._loss.probe.close()
            self._loss.probe = None

    def _moment(self) -> str:
        return self.wall().isoformat(timespec="seconds")

    def _name_taker(self, loss: _Loss) -> None:
        """For other processes: who it was, and what to do."""
        if self.last is not None:
            self.last["by"], self.last["remedy"] = str(loss.taker), loss.taker.remedy
            self.last["contested"] = loss.contested


def _has(nic: Nic, plan: Plan) -> bool:
    return any(str(address.network.ip) == str(plan.network.gateway) for address in nic.addresses)


def _has_in_full(nic: Nic, plan: Plan) -> bool:
    """With the cluster's prefix length, too: without it no node is behind the NIC."""
    return any(str(address.network) == plan.network.gateway_cidr for address in nic.addresses)


def _story(loss: _Loss, plan: Plan, last: AddressLoss) -> str:
    """What happened and what comes next, for people."""
    failed = _failed(loss)
    if loss.contested:
        given = f"{plan.network.gateway} was given back to {plan.interfaces.cluster}"
        return f"{given}, and {lost_words(last, again=' again')}; {failed or _again(loss)}"
    return f"{lost_words(last)}; {failed or 'it is given back in a moment'}"


def _failed(loss: _Loss) -> str:
    return f"that could not be mended: {loss.failure}; {_again(loss)}" if loss.failure else ""


def _again(loss: _Loss) -> str:
    return f"the guard tries again at {loss.due_text}"


def lost_words(last: AddressLoss, today: date | None = None, again: str = "") -> str:
    """How the address was lost, as half a sentence. `today`: leave that day's date out; default: leave it out."""
    what = "set down" if last.get("link_down") else "taken away"
    times = last.get("times", 1)
    often = f", {times} times so far" if times > 1 and not again else ""
    return f"{what}{again} at {clock_text(last.get('at'), today)} by {last.get('by', 'somebody')}{often}"


def clock_text(moment: object, today: date | None = None) -> str:
    """The time of an ISO 8601 moment, with its date where that is not `today`."""
    try:
        at = datetime.fromisoformat(str(moment))
    except ValueError:
        return "?"
    return f"{at:%H:%M:%S}" if today in (None, at.date()) else f"{at:%Y-%m-%d %H:%M:%S}"
