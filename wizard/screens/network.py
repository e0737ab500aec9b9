"""The cluster's own network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from netaddr import IPAddress, IPNetwork
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Checkbox, Input

from wizard.plan import addresses
from wizard.plan.draft import Draft, moved_along, unreadable
from wizard.plan.fields import parse_network, refusal
from wizard.plan.findings import Finding, Severity
from wizard.plan.machine import Facts
from wizard.plan.model import Answer, Plan
from wizard.widgets.field import Field, field_id
from wizard.widgets.page import LOOK_AGAIN, NEXT, QUICK_NODES, ROOMY, SHOWN_BACK, StepPage, plain
from wizard.widgets.subnet import Subnet, picture, reaching_into, short
from wizard.widgets.tick import Tick
from wizard.widgets.words import Words

CHECK_AFTER_S = 0.15
MOST_BUSY = 8
# The plan's two ways to say where dynamic addresses come from share one field.
_SAME_FIELD = {"network.dhcp_range": "network.dhcp_slice"}


class NetworkPage(StepPage):
    TITLE = "Network"
    STEP = "network"
    FIELDS = "network"
    FEW_FINDINGS = 0
    QUESTION = "The cluster's own network. It must not overlap any network this machine knows."
    HELP = (
        "Subnet: the network of the cluster, such as 192.168.0.0/24. When you change it, the gateway, the slice "
        "and the nodes' addresses move along.\n"
        "Gateway: this machine's address in it.\n"
        "Slice: where machines without an address of their own get one, such as VMs; a network within the subnet "
        "(192.168.0.64/26) or a first and last address (192.168.0.65 - 192.168.0.126). Left blank, the wizard "
        "takes a quarter of the subnet.\n"
        "Lease time: 45m, 12h, 7d or infinite.\n"
        "Domain: node names end in it.\n\n"
        "With the box ticked, machines that are not in the plan and are no VM get no address here. "
        "f4 puts in another subnet that is free on this machine."
    )
    CSS = """
    NetworkPage #picture { padding: 0 1; }
    NetworkPage.-tall #picture { margin-top: 2; }
    NetworkPage #busy { height: auto; padding: 0 1; margin-top: 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f4", "another", "another subnet"),
        NEXT,
        SHOWN_BACK,
        LOOK_AGAIN,
    ]

    def __init__(self, draft: Draft, facts: Facts | None, field: str = "") -> None:
        super().__init__(draft, facts, field)
        self._settled = draft.cidr
        self._checking: Timer | None = None

    def body(self) -> Iterable[Widget]:
        draft = self.draft
        yield Field("network.cidr", "Subnet", draft.cidr)
        yield Field("network.gateway", "Gateway", draft.gateway)
        yield Field("network.dhcp_slice", "Slice", draft.pool)
        yield Field("network.lease_time", "Lease time", draft.lease_time)
        yield Field("network.domain", "Domain", draft.domain)
        yield Tick(
            f"answer only the nodes of this plan and VMs ({draft.vm_macs})",
            draft.answer == Answer.KNOWN.value,
            id="known",
        )
        yield Words(id="picture")
        yield Words(id="busy")

    def _meant(self) -> Draft:
        """What the draft becomes once the field is left: what lies in the subnet moves along with it."""
        # Of thousands of nodes none is moved while keys are waiting.
        return moved_along(self.draft, self._settled) if len(self.draft.nodes) <= QUICK_NODES else self.draft

    def findings(self) -> tuple[Finding, ...]:
        typed, self.draft = self.draft, self._meant()
        try:
            return super().findings()
        finally:
            self.draft = typed

    def draw(self) -> None:
        findings = self.findings()
        self.show_findings(findings, self.draft)
        wrong = {
            _SAME_FIELD.get(finding.field, finding.field) for finding in findings if finding.severity is Severity.ERROR
        }
        for field in self.query(Field):
            field.mark(field.key in wrong)
        self._draw_picture()

    def point_at(self, field: str) -> None:
        for widget in self.query(Field):
            if widget.key == _SAME_FIELD.get(field, field):
                widget.point()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._take(self._typed())

    def _take(self, draft: Draft) -> None:
        """The draft at once; what there is to say of it when the typing pauses."""
        if draft == self.draft:
            return
        self.draft = draft
        self.tell("")
        self.post_message(self.Edited(draft))
        if self._checking is not None:
            self._checking.stop()
        self._checking = self.set_timer(CHECK_AFTER_S, self.redraw)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._settle()
        self.focus_next()

    def on_input_blurred(self, event: Input.Blurred) -> None:
        event.stop()
        self._settle()

    def on_checkbox_changed(self, event: Checkbox.Changed) -> None:
        event.stop()
        self.edit(self._typed())

    def action_next(self) -> None:
        self._settle()
        super().action_next()

    def action_back(self) -> None:
        self._settle()
        super().action_back()

    def action_another(self) -> None:
        """The next free network of this machine."""
        free = [str(network) for network in addresses.free_networks(self.facts or Facts(), 8)]
        if not free:
            self.notify("No private /24 is free on this machine.", severity="warning", markup=False)
            return
        after = free.index(self.draft.cidr) + 1 if self.draft.cidr in free else 0
        self._field("network.cidr").value = free[after % len(free)]
        self.edit(self._typed())
        self._settle()

    def _typed(self) -> Draft:
        """The draft with what stands in the fields now."""
        return replace(
            self.draft,
            cidr=self._field("network.cidr").value,
            gateway=self._field("network.gateway").value,
            pool=self._field("network.dhcp_slice").value,
            lease_time=self._field("network.lease_time").value,
            domain=self._field("network.domain").value,
            answer=(Answer.KNOWN if self.query_one("#known", Tick).value else Answer.EVERYONE).value,
        )

    def _settle(self) -> None:
        """A subnet has been typed to its end: what lay in the old one moves along."""
        draft = self._typed()
        moved = moved_along(draft, self._settled)
        if moved != draft:
            self._field("network.gateway").value = moved.gateway
            self._field("network.dhcp_slice").value = moved.pool
        if refusal(parse_network, draft.cidr) is None:
            self._settled = draft.cidr
        self._checking = None
        self.edit(moved)
        self.redraw()
        if moved != draft:
            self.tell("The addresses in the subnet moved along, the nodes' as well.")

    def _field(self, key: str) -> Field:
        return self.query_one("#" + field_id(key), Field)

    def _hint(self, key: str, text: str) -> None:
        self._field(key).hint(plain(text, limit=60))

    def _draw_picture(self) -> None:
        """The hints and the picture, for as much of the draft as makes sense."""
        draft = self._meant()
        busy = self._busy(draft.cluster)
        self._draw_busy(busy)
        bad = {finding.field for finding in unreadable(draft)}
        cidr = None if "network.cidr" in bad else parse_network(draft.cidr)
        self._hint("network.cidr", f"{max(cidr.size - 2, 0)} hosts" if cidr is not None else "")
        gateway_fine = cidr is not None and "network.gateway" not in bad
        here = f"this machine, on {draft.cluster}" if gateway_fine and draft.cluster else ""
        self._hint("network.gateway", here if draft.gateway == self.draft.gateway else f"→ {draft.gateway}")
        self._hint("network.domain", "" if "network.domain" in bad else f"controller.{draft.domain.strip()}")
        plan = draft.to_plan()
        shown = self.query_one("#picture", Words)
        shown.display = isinstance(plan, Plan)
        if not isinstance(plan, Plan):
            self._hint("network.dhcp_slice", "")
            return
        network = plan.network
        first, last = addresses.dynamic_range(network)
        moves = "" if draft.pool == self.draft.pool else "→ "
        self._hint("network.dhcp_slice", moves + _span(first, last, network.cidr))
        taken = reaching_into(network.cidr, [each.network for each in busy])
        shown.update(picture(Subnet(network.cidr, network.gateway, (first, last), self._placed(), taken)))

    def _placed(self) -> tuple[int, ...]:
        """The addresses that the nodes will have, as far as they are known by now."""
        known = self._judgement
        return tuple(ip for text in known.given if (ip := _number(text))) if known is not None else ()

    def _busy(self, cluster: str) -> list[addresses.Busy]:
        """The networks of others on this machine."""
        facts = self.facts or Facts()
        ours = cluster if facts.applied_cluster == cluster else ""
        return [busy for busy in addresses.busy_networks(facts, ours) if busy.nic not in (cluster, "lo")]

    def _draw_busy(self, busy: list[addresses.Busy]) -> None:
        """Where there is room: what the subnet must not meet."""
        panel = self.query_one("#busy", Words)
        panel.display = bool(busy) and self.size.height >= ROOMY
        lines = [f"  {each.what}" for each in busy[:MOST_BUSY]]
        if len(busy) > MOST_BUSY:
            lines.append(f"  … and {len(busy) - MOST_BUSY} more")
        text = Text("Used on this machine already:\n", "dim")
        panel.update(text.append_text(Text("\n").join(plain(line, limit=110) for line in lines)))


def _number(address: str) -> int:
    """An address as a number, 0 where it is none. There may be thousands, and netaddr takes its time."""
    octets = address.split(".")
    if len(octets) != 4 or not all(octet.isdecimal() and len(octet) < 4 for octet in octets):
        return 0
    a, b, c, d = map(int, octets)
    return a << 24 | b << 16 | c << 8 | d


def _span(first: IPAddress, last: IPAddress, cidr: IPNetwork) -> str:
    """A range in few words: ".65–.126, 62 addresses"."""
    count = max(int(last) - int(first) + 1, 0)
    ends = f"{short(first, cidr)}–{short(last, cidr)}, " if first in cidr and last in cidr else ""
    return f"{ends}{count} addresses"
