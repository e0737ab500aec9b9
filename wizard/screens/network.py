"""The cluster's own network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from netaddr import IPAddress
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Checkbox, Input

from wizard.plan import addresses
from wizard.plan.draft import Draft, moved_along, unreadable
from wizard.plan.fields import parse_network, refusal
from wizard.plan.findings import Severity
from wizard.plan.machine import Facts
from wizard.plan.model import Answer, Plan
from wizard.widgets.field import Field, field_id
from wizard.widgets.page import LOOK_AGAIN, NEXT, SHOWN_BACK, StepPage, plain
from wizard.widgets.subnet import picture
from wizard.widgets.tick import Tick
from wizard.widgets.words import Words

CHECK_AFTER_S = 0.15
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
            self.notify("The addresses in the subnet moved along.", markup=False)
        if refusal(parse_network, draft.cidr) is None:
            self._settled = draft.cidr
        self._checking = None
        self.edit(moved)
        self.redraw()

    def _field(self, key: str) -> Field:
        return self.query_one("#" + field_id(key), Field)

    def _hint(self, key: str, text: str) -> None:
        self._field(key).hint(plain(text, limit=60))

    def _draw_picture(self) -> None:
        """The hints and the picture, for as much of the draft as makes sense."""
        draft = self.draft
        bad = {finding.field for finding in unreadable(draft)}
        cidr = None if "network.cidr" in bad else parse_network(draft.cidr)
        self._hint("network.cidr", f"{max(cidr.size - 2, 0)} hosts" if cidr is not None else "")
        gateway_fine = cidr is not None and "network.gateway" not in bad
        self._hint("network.gateway", f"this machine, on {draft.cluster}" if gateway_fine and draft.cluster else "")
        self._hint("network.domain", "" if "network.domain" in bad else f"controller.{draft.domain.strip()}")
        plan = draft.to_plan()
        shown = self.query_one("#picture", Words)
        shown.display = isinstance(plan, Plan)
        if not isinstance(plan, Plan):
            self._hint("network.dhcp_slice", "")
            return
        network = plan.network
        first, last = addresses.dynamic_range(network)
        self._hint("network.dhcp_slice", _span(first, last))
        ips = [node.ip for node in plan.nodes if node.ip is not None]
        shown.update(picture(network.cidr, network.gateway, (first, last), ips))


def _span(first: IPAddress, last: IPAddress) -> str:
    """A range in few words: ".65 to .126, 62 addresses"."""
    count = max(int(last) - int(first) + 1, 0)
    one_net = int(first) >> 8 == int(last) >> 8
    ends = [f".{int(end) & 255}" if one_net else str(end) for end in (first, last)]
    return f"{' to '.join(ends)}, {count} addresses" if one_net else f"{count} addresses"
