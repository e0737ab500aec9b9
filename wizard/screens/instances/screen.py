"""The instances page: the instances behind CNCIs, and how to reach each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from wizard.plan.findings import WizardError
from wizard.plan.text import clean
from wizard.screens.instances import messages
from wizard.widgets.field import Field
from wizard.widgets.page import Page, plain, plural
from wizard.widgets.plain_text import PlainText
from wizard.widgets.virtual_table import Column, VirtualRowTable

if TYPE_CHECKING:
    from wizard.monitor.instances import CnciReading, Instance

USER = "demouser"
WIDE = 120
# What the field's label and frame take.
_LABEL = 20
_HERE = {True: "● here", False: "○ silent", None: "?"}
_STATES = {
    "": "… asking",
    "read": "✓",
    "no-lease-files": "! no leases",
    "down": "✗ no answer",
    "no-such-name": "✗ no such VM",
    "unknown-host-key": "! unknown key",
    "changed-host-key": "✗ KEY CHANGED",
    "permission-denied": "✗ denied",
    "ambiguous": "! which one?",
}


@dataclass(frozen=True, slots=True)
class InstanceLine:
    """One row: a CNCI (`reading` is None until it answers), or an instance behind it."""

    cnci: str
    reading: CnciReading | None = None
    instance: Instance | None = None


class InstancesPage(Page):
    TITLE = "Instances"
    QUESTION = "Which CNCIs? Each is asked over ssh for the leases of its instances."
    HELP = (
        "A CNCI is the VM where a tenant's network ends; those with a lease here are already in the field. Write "
        "[USER@]NAME or an address, several separated by spaces; on a CNCI itself, localhost. The wizard uses your own "
        "ssh configuration, agent and known_hosts, and never asks for a password. If there are more VMs than the field "
        "holds, an empty field means all of them. They are asked in parallel: one that does not answer delays no "
        "other.\n\n"
        "There are three ways to reach an instance: 1 from a shell on its CNCI, 2 from this gateway through the CNCI's "
        "port for it (33000 + 256 × the third octet + the fourth), 3 from the company network with ssh -J. Press that "
        "number to copy the command; c copies the gateway's. The clipboard is your terminal's.\n\n"
        "A changed host key: find out why before you continue. Nothing is read from such a machine."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#field-instances-cncis Input"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "ask", "ask"),
        Binding("c", "copy(2)", "copy ssh"),
        Binding("1", "copy(1)", "copy the CNCI command", show=False),
        Binding("2", "copy(2)", "copy the gateway command", show=False),
        Binding("3", "copy(3)", "copy the company command", show=False),
        Binding("escape", "back", "leases"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[int, list[InstanceLine]] = {}
        self._asking = False
        self._offered: tuple[str, ...] = ()

    def body(self) -> Iterable[Widget]:
        yield Field("instances.cncis", "CNCIs", "", "such as cloud-admin@192.168.0.65 192.168.0.66")
        yield Field("instances.user", "Login", USER, USER, "your user on the instances")
        yield VirtualRowTable[InstanceLine](_columns(0), self._cells, id="instances")
        yield PlainText(id="ways")

    def on_mount(self) -> None:
        cncis = self._field("cncis")
        cncis.query_one(Input).styles.width = "1fr"
        cncis.query_one(".hint").display = False
        self.query_one("#instances").display = False
        self.query_one("#ways").display = False

    @property
    def table(self) -> VirtualRowTable[InstanceLine]:
        return self.query_one("#instances", VirtualRowTable)

    def offer(self, cncis: Sequence[str]) -> None:
        """Put the VMs with a lease here into the field, unless something was typed."""
        field = self._field("cncis")
        if field.value or self._lines:
            return
        self._offered = tuple(cncis)
        text = " ".join(cncis)
        if not cncis:
            self.set_status("No VM has a lease here now. Type the CNCIs, separated by spaces.")
        elif not self._crowd:
            field.value = text
            self.set_status(f"{plural(len(cncis), 'VM')} with a lease here. Press enter to ask.")
        else:
            # A line of so many addresses nobody can read, let alone edit.
            field.query_one(Input).placeholder = f"all {len(cncis)} VMs with a lease here"
            self.set_status(
                f"{len(cncis)} VMs with a lease here. Press enter to ask them all, or type the ones you want."
            )

    @on(Input.Changed)
    def _clear_status_on_typing(self, event: Input.Changed) -> None:
        """The status line speaks of the field as it was."""
        if event.value != " ".join(self._offered) and not self._asking:
            self.set_status("")

    # Asking

    @on(Input.Submitted)
    def _ask_on_enter(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_ask()

    @property
    def _crowd(self) -> tuple[str, ...]:
        """The VMs that an empty field means: more than fit into it; () if they fit."""
        return self._offered if len(" ".join(self._offered)) > self.size.width - _LABEL else ()

    def action_ask(self) -> None:
        cncis = tuple(dict.fromkeys(self._field("cncis").value.replace(",", " ").split())) or self._crowd
        if not cncis:
            self.set_status("Type at least one CNCI: a name or an address.", "warning")
            self._field("cncis").point()
            return
        self._lines = {place: [InstanceLine(cnci)] for place, cnci in enumerate(cncis)}
        self._asking = True
        self.set_status(f"Asking {plural(len(cncis), 'CNCI')}…")
        self.post_message(messages.InstancesRequested(cncis, self._field("user").value.strip() or USER))
        self.redraw()
        self.table.focus()

    def take(self, found: tuple[int, CnciReading]) -> None:
        """Take one CNCI's answer, with its place in the request."""
        place, reading = found
        cnci = self._lines[place][0].cnci if place in self._lines else reading.cnci
        self._lines[place] = [
            InstanceLine(cnci, reading),
            *(InstanceLine(cnci, reading, one) for one in reading.instances),
        ]
        told = sum(lines[0].reading is not None for lines in self._lines.values())
        self.set_status(f"Asking… {told} of {plural(len(self._lines), 'CNCI')} answered.")
        self.redraw()

    def finish(self) -> None:
        self._asking = False
        readings = [lines[0].reading for lines in self._lines.values()]
        count = sum(len(reading.instances) for reading in readings if reading is not None)
        failed = sum(reading is None or reading.failed for reading in readings)
        told = f"{plural(count, 'instance')} behind {plural(len(readings) - failed, 'CNCI')}"
        self.set_status(f"{told}; {failed} could not be read: select one to see why." if failed else f"{told}.")

    def refuse(self, error: WizardError) -> None:
        self._asking = False
        self._lines = {}
        self.set_status(f"{error.message} {error.remedy}", "error")
        self._field("cncis").point()
        self.redraw()

    # Drawing

    def head_right(self) -> Text:
        count = sum(len(lines) - 1 for lines in self._lines.values())
        return Text(f"{plural(count, 'instance')} · {plural(len(self._lines), 'CNCI')}") if self._lines else Text()

    def draw(self) -> None:
        table = self.table
        table.display = bool(self._lines)
        table.set_columns(_columns(self.size.width))
        held = table.current
        rows = [line for place in sorted(self._lines) for line in self._lines[place]]
        table.show(rows, _place(rows, held))
        self._draw_ways()

    @on(VirtualRowTable.RowHighlighted)
    def _follow_cursor(self, message: VirtualRowTable.RowHighlighted) -> None:
        message.stop()
        if message.by_hand and not self._asking:
            self.set_status("")
        self._draw_ways()

    def _draw_ways(self) -> None:
        line = self.table.current if self._lines else None
        panel = self.query_one("#ways", PlainText)
        panel.display = line is not None
        if line is not None:
            panel.border_title = _title(line)
            panel.update(_details(line))

    def _cells(self, line: InstanceLine) -> Sequence[Text]:
        one, reading = line.instance, line.reading
        if one is None:
            state = _STATES.get(reading.state if reading else "", "✗ not read")
            count = plural(len(reading.instances), "instance") if reading and not reading.failed else ""
            head = plain(line.cnci, "bold", limit=80), Text(state, "bold"), Text(count)
            return *head, *[Text()] * (len(self.table.columns) - len(head))
        here = _HERE[one.reachable] if one.state == "leased" else "○ expired"
        name = f'"{one.hostname}"' if one.hostname else "–"
        ip, subnet = plain(f"  {one.ip}", limit=20), plain(one.subnet, limit=80)
        macs = [plain(one.mac, limit=17)] if any(column.heading == "MAC" for column in self.table.columns) else []
        return ip, Text(here), *macs, subnet, plain(name, limit=40)

    # Copying

    def action_copy(self, way: int) -> None:
        line = self.table.current if self._lines else None
        if line is None or line.instance is None:
            self.set_status("Nothing to copy here: select an instance first.", "warning")
            return
        ways = line.instance.ways
        text = (ways.direct, ways.gateway, ways.corporate)[way - 1]
        place = ("a shell on the CNCI", "a shell on this gateway", "the company network")[way - 1]
        self.app.copy_to_clipboard(text)
        self.set_status(f"Copied for {place}: {text}")

    def _field(self, key: str) -> Field:
        return self.query_one(f"#field-instances-{key}", Field)


def _columns(width: int) -> tuple[Column, ...]:
    if width < WIDE:
        return Column("CNCI, instances", 26), Column("state", 13), Column("subnet", 18), Column("name", 16)
    # A subnet's id may be a UUID.
    heads, widths = ("CNCI, instances", "state", "MAC", "subnet", "name"), (26, 15, 17, 36, 16)
    return tuple(map(Column, heads, widths))


def _place(rows: Sequence[InstanceLine], held: InstanceLine | None) -> int | None:
    """The row number of the line that `held` stands for; None if it is gone."""
    if held is None:
        return None
    which = (held.cnci, held.instance.ip if held.instance else "")
    return next((n for n, row in enumerate(rows) if (row.cnci, row.instance.ip if row.instance else "") == which), None)


def _title(line: InstanceLine) -> Text:
    one = line.instance
    if one is None:
        return Text("this CNCI")
    name = f', "{clean(one.hostname, 40)}"' if one.hostname else ""
    return plain(f"reach {one.ip}{name}", limit=70)


def _details(line: InstanceLine) -> Text:
    one, reading = line.instance, line.reading
    if reading is None:
        return Text("Asking it. The others do not wait for it.")
    if one is None:
        if reading.failed:
            lines = [plain(f"✗ {reading.reason}", limit=600), plain(reading.remedy, limit=400)]
            return Text("\n").join(part for part in lines if part)
        subnets = ", ".join(reading.subnets) or "none"
        return plain(f"{reading.address}: {plural(len(reading.instances), 'instance')}; subnets: {subnets}", limit=600)
    text = Text()
    ways = (("on the CNCI", one.ways.direct), ("this gateway", one.ways.gateway), ("corporate", one.ways.corporate))
    for number, (where, way) in enumerate(ways, 1):
        text.append(f"{number} ", "bold").append(f"{where:<13}").append_text(plain(way, limit=300)).append("\n")
    more = [one.reason, one.ways.why_no_port, f"subnet {one.subnet}", one.mac]
    return text.append_text(plain("; ".join(part for part in more if part), limit=300))
