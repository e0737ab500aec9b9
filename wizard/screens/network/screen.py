"""The network page: the cluster's subnet, gateway, DHCP range and domain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from netaddr import IPAddress, IPNetwork
from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Checkbox, Input

from wizard.plan import addresses
from wizard.plan.draft.model import SECTION_FIELDS, Draft, readdressed, unreadable_fields
from wizard.plan.fields import field_error, parse_network
from wizard.plan.findings import Finding, Severity
from wizard.plan.machine import Facts
from wizard.plan.model import AnswerPolicy, Plan
from wizard.screens.network.dialogs import MoreDialog
from wizard.screens.network.subnet import Subnet, picture, reaching_into, roomy_picture, short
from wizard.widgets.field import Field, field_id
from wizard.widgets.page import LOOK_AGAIN, NEXT, QUICK_NODES, ROOMY, SHOWN_BACK, StepPage, plain, plural
from wizard.widgets.plain_text import PlainText
from wizard.widgets.sign_checkbox import SignCheckbox

CHECK_AFTER_S = 0.15
MOST_BUSY = 8
# From here on there is room for a larger picture, and for many networks of others below it.
WIDE, HIGH = 118, 38
# The plan's two ways to say where dynamic addresses come from share one field.
_SAME_FIELD = {"network.dhcp_range": "network.dhcp_slice"}


class NetworkPage(StepPage):
    TITLE = "Network"
    STEP = "network"
    FIELDS = ("network", "cluster", *SECTION_FIELDS)
    FEW_FINDINGS = 0
    QUESTION = "The cluster's own network. It must not overlap any network this machine knows."
    HELP = (
        "Subnet: the network of the cluster, such as 192.168.0.0/24. When you change it, the gateway, the DHCP range "
        "and the nodes' addresses move with it.\n"
        "Gateway: this machine's address in it.\n"
        "DHCP range: addresses for machines without a reserved one, such as VMs; a network within the subnet "
        "(192.168.0.64/26) or a first and last address (192.168.0.65 - 192.168.0.126). If it is empty, the wizard "
        "uses a quarter of the subnet.\n"
        "Lease time: 45m, 12h, 7d or infinite.\n"
        "Domain: node names end in it.\n\n"
        "If the box is ticked, only nodes of the plan and VMs get an address. "
        "f4 suggests another subnet that is free on this machine. f6 has more: another kind of cluster, and "
        "devices such as switches and BMCs."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f4", "another", "another subnet"),
        Binding("f6", "more", "more"),
        NEXT,
        SHOWN_BACK,
        LOOK_AGAIN,
    ]

    def __init__(self, draft: Draft, field: str = "") -> None:
        super().__init__(draft, field)
        self._settled = _home(draft)
        # Every subnet is moved into from here: one that is too small, for a moment, costs no address.
        self._first = self._last = replace(draft, cidr=self._settled)
        self._checking: Timer | None = None
        self._moved_by: Input | None = None
        self._given: tuple[str, ...] = ()
        self._given_as: tuple[int, ...] = ()

    def body(self) -> Iterable[Widget]:
        draft = self.draft
        yield Field("network.cidr", "Subnet", draft.cidr)
        yield Field("network.gateway", "Gateway", draft.gateway)
        yield Field("network.dhcp_slice", "DHCP range", draft.pool)
        yield Field("network.lease_time", "Lease time", draft.lease_time)
        yield Field("network.domain", "Domain", draft.domain)
        yield SignCheckbox(
            f"answer only nodes of this plan and VMs ({draft.vm_macs})",
            draft.answer == AnswerPolicy.KNOWN.value,
            id="known",
        )
        yield PlainText(id="picture")
        yield PlainText(id="busy")

    def _meant(self) -> Draft:
        """What the draft becomes once the field is left: what lies in the subnet moves along with it."""
        # Of thousands of nodes none is moved while keys are waiting.
        return self._moved(self.draft) if len(self.draft.nodes) <= QUICK_NODES else self.draft

    def _moved(self, typed: Draft) -> Draft:
        """`typed` with what lay in the subnet before at its place in the new one."""
        if typed.cidr == self._settled or field_error(parse_network, typed.cidr) is not None:
            return typed
        bare = replace(typed, nodes=(), forwards=())
        here = readdressed(bare, self._settled)
        first = readdressed(replace(self._first, cidr=typed.cidr), self._first.cidr)
        pool = first.pool if typed.pool == self._last.pool else here.pool
        if any(
            _SAME_FIELD.get(finding.field, finding.field) == "network.dhcp_slice" for finding in unreadable_fields(bare)
        ):
            # Half typed: nobody can know where it belongs.
            pool = typed.pool
        # What was typed here since is meant as it stands.
        gateway = first.gateway if typed.gateway == self._last.gateway else here.gateway
        moved = replace(typed, nodes=first.nodes, forwards=first.forwards, sections=here.sections)
        return replace(moved, gateway=gateway, pool=pool)

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

    @on(Input.Changed)
    def _take_typed(self, event: Input.Changed) -> None:
        event.stop()
        self._take(self._typed())

    def _take(self, draft: Draft) -> None:
        """The draft at once; what there is to say of it when the typing pauses."""
        if draft == self.draft:
            return
        self.draft = draft
        self.set_status("")
        self.post_message(self.Edited(draft))
        if self._checking is not None:
            self._checking.stop()
        self._checking = self.set_timer(CHECK_AFTER_S, self.redraw)

    @on(Input.Submitted)
    def _settle_on_enter(self, event: Input.Submitted) -> None:
        event.stop()
        self._settle(event.input)
        self.focus_next()

    @on(SignCheckbox.Submitted)
    def _go_on_from_tick(self, event: SignCheckbox.Submitted) -> None:
        """The last of the page."""
        event.stop()
        self.action_next()

    @on(Input.Blurred)
    def _settle_left_field(self, event: Input.Blurred) -> None:
        event.stop()
        if self._moved_by not in (None, event.input):
            # It was said while somebody was in the next field.
            self.set_status("")
        self._settle(event.input)

    @on(Checkbox.Changed)
    def _take_ticks(self, event: Checkbox.Changed) -> None:
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
            said = "No private /24 is free on this machine. Stop the VPN that uses them all, or route less through it."
            self.notify(said, severity="warning", markup=False)
            return
        after = free.index(self.draft.cidr) + 1 if self.draft.cidr in free else 0
        self._field("network.cidr").value = free[after % len(free)]
        self.edit(self._typed())
        self._settle()

    def action_more(self) -> None:
        self._settle()
        self.app.push_screen(MoreDialog(self.draft, self.facts), self._take_more)

    def _take_more(self, draft: Draft | None) -> None:
        if draft is not None:
            more = {name: getattr(draft, name) for name in ("kind", "search", "mtu", "ntp", "sections")}
            self.edit(replace(self.draft, **more))

    def _typed(self) -> Draft:
        """The draft with what stands in the fields now."""
        return replace(
            self.draft,
            cidr=self._field("network.cidr").value,
            gateway=self._field("network.gateway").value,
            pool=self._field("network.dhcp_slice").value,
            lease_time=self._field("network.lease_time").value,
            domain=self._field("network.domain").value,
            answer=(
                AnswerPolicy.KNOWN if self.query_one("#known", SignCheckbox).value else AnswerPolicy.EVERYONE
            ).value,
        )

    def set_status(self, message: str, severity: str = "information") -> None:
        super().set_status(message, severity)
        self._moved_by = None

    def _settle(self, field: Input | None = None) -> None:
        """A subnet has been typed to its end: what lay in the old one moves along."""
        draft = self._typed()
        moved = self._moved(draft)
        if moved != draft:
            self._field("network.gateway").value = moved.gateway
            self._field("network.dhcp_slice").value = moved.pool
        if field_error(parse_network, draft.cidr) is None:
            if draft.cidr != self._settled:
                self._last = moved
            self._settled = draft.cidr
        self._checking = None
        self.edit(moved)
        self.redraw()
        if moved != draft:
            self.set_status(_moved_words(self._first, moved))
            self._moved_by = field

    def _field(self, key: str) -> Field:
        return self.query_one("#" + field_id(key), Field)

    def _hint(self, key: str, text: str) -> None:
        self._field(key).hint(plain(text, limit=60))

    def _draw_picture(self) -> None:
        """The hints and the picture, for as much of the draft as makes sense."""
        draft = self._meant()
        busy = self._busy(draft.cluster)
        self._draw_busy(busy)
        plan = draft.to_plan()
        bad = set() if isinstance(plan, Plan) else {finding.field for finding in plan}
        cidr = None if "network.cidr" in bad else parse_network(draft.cidr)
        self._hint("network.cidr", f"{max(cidr.size - 2, 0)} hosts" if cidr is not None else "")
        gateway_fine = cidr is not None and "network.gateway" not in bad
        here = f"this machine, on {draft.cluster}" if gateway_fine and draft.cluster else ""
        self._hint("network.gateway", here if draft.gateway == self.draft.gateway else f"→ {draft.gateway}")
        self._hint("network.domain", "" if "network.domain" in bad else f"controller.{draft.domain.strip()}")
        shown = self.query_one("#picture", PlainText)
        # Between two networks the one before stays, so that nothing jumps while somebody types.
        shown.set_class(not isinstance(plan, Plan), "-past")
        if not isinstance(plan, Plan):
            shown.display = bool(shown.content)
            self._hint("network.dhcp_slice", "")
            return
        shown.display = True
        network = plan.network
        first, last = addresses.dynamic_range(network)
        moves = "" if draft.pool == self.draft.pool else "→ "
        self._hint("network.dhcp_slice", moves + _span(first, last, network.cidr))
        taken = reaching_into(network.cidr, [each.network for each in busy])
        subnet = Subnet(network.cidr, network.gateway, (first, last), self._placed(), taken)
        roomy = self.size.width >= WIDE and self.size.height >= HIGH
        shown.update(roomy_picture(subnet) if roomy else picture(subnet, self.size.width - 2))

    def _placed(self) -> tuple[int, ...]:
        """The addresses that the nodes will have, as far as they are known by now."""
        given = self._check.node_addresses if self._check is not None else ()
        if given is not self._given:
            # There may be thousands, and the picture moves with every key.
            self._given = given
            self._given_as = tuple(ip for text in given if (ip := _number(text)))
        return self._given_as

    def _busy(self, cluster: str) -> list[addresses.Busy]:
        """The networks of others on this machine."""
        facts = self.facts or Facts()
        ours = cluster if facts.applied_cluster == cluster else ""
        return [busy for busy in addresses.busy_networks(facts, ours) if busy.nic not in (cluster, "lo")]

    def _draw_busy(self, busy: list[addresses.Busy]) -> None:
        """Where there is room: what the subnet must not meet."""
        panel = self.query_one("#busy", PlainText)
        panel.display = bool(busy) and self.size.height >= ROOMY
        most = MOST_BUSY if self.size.height >= HIGH else MOST_BUSY // 2
        lines = [f"  {each.what}" for each in busy[:most]]
        if len(busy) > most:
            lines.append(f"  … and {len(busy) - most} more")
        text = Text("Already used on this machine:\n", "dim")
        panel.update(text.append_text(Text("\n").join(plain(line, limit=110) for line in lines)))


def _home(draft: Draft) -> str:
    """The subnet that the addresses of a draft lie in, which need not be the one that stands there half typed."""
    ips = [ip for text in (draft.gateway, *(node.ip for node in draft.nodes)) if (ip := _number(text))]
    if field_error(parse_network, draft.cidr) is None or not ips:
        return draft.cidr
    homes = (IPNetwork((ips[0], prefix), version=4).cidr for prefix in (24, 20, 16, 12, 8))
    return next((str(home) for home in homes if home.first <= min(ips) and max(ips) <= home.last), draft.cidr)


def _moved_words(before: Draft, moved: Draft) -> str:
    lost = sum(bool(old.ip) and not new.ip for old, new in zip(before.nodes, moved.nodes, strict=True))
    if lost:
        return f"The addresses moved with the subnet; {plural(lost, 'node')} did not fit and will get another."
    nodes = ", the nodes' too" if moved.nodes else ""
    return f"The addresses moved with the subnet{nodes}."


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
