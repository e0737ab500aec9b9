"""The panel with machines found on the cluster network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text
from textual.containers import Vertical
from textual.widget import Widget

from wizard.plan.fields import FieldError, parse_node_name
from wizard.plan.text import clean
from wizard.widgets.page import plural
from wizard.widgets.plain_text import PlainText
from wizard.widgets.spinner import Spinner
from wizard.widgets.virtual_table import Column, VirtualKeyedTable

if TYPE_CHECKING:
    from wizard.host.dhcp.discovery import DiscoveredMachine

MOST_KEPT = 500
_COLUMNS = (
    Column("MAC", 17),
    Column("vendor", 12, 2),
    Column("name or address", 15, 2),
    Column("seen", 10),
    Column("in the plan", 12, 1),
)


@dataclass(slots=True)
class _Machine:
    heard: DiscoveredMachine
    at: float


class DiscoveryPanel(Vertical):
    """Lists the machines in the order found. `clock` is monotonic, in seconds."""

    # Else nothing above the widget, such as the page's size, could be asked for.
    SCOPED_CSS = False
    DEFAULT_CSS = """
    DiscoveryPanel { height: auto; max-height: 9; border: round $primary; margin-top: 1; display: none; }
    DiscoveryPanel PlainText { padding: 0 1; height: 1; }
    DiscoveryPanel Spinner { padding: 0 1; height: 1; }
    DiscoveryPanel VirtualKeyedTable { max-height: 5; }
    .-tall DiscoveryPanel { max-height: 16; }
    .-tall DiscoveryPanel VirtualKeyedTable { max-height: 12; }
    """

    def __init__(self, id: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:  # noqa: A002
        super().__init__(id=id)
        self.clock = clock
        self._machines: dict[str, _Machine] = {}
        self.known: Mapping[str, str] = {}
        self.vendors: Mapping[str, str] = {}

    def compose(self) -> Iterable[Widget]:
        yield Spinner("Switch the machines on. If one already runs, restart it to see it here.", id="hearing-none")
        yield VirtualKeyedTable(_COLUMNS, id="heard")
        yield PlainText(id="hearing-keys")

    def on_mount(self) -> None:
        self.set_interval(1, self._tick)

    def _tick(self) -> None:
        if self.display and self._machines:
            self.query_one(VirtualKeyedTable).refresh()

    @property
    def macs(self) -> tuple[str, ...]:
        return tuple(self._machines)

    @property
    def chosen(self) -> DiscoveredMachine | None:
        """The machine with the cursor."""
        machine = self._machines.get(self.query_one(VirtualKeyedTable).current or "")
        return machine.heard if machine is not None else None

    def add_machines(self, machines: Iterable[DiscoveredMachine]) -> None:
        for heard in machines:
            old = self._machines.get(heard.mac)
            if old is not None:
                old.heard, old.at = heard.after(old.heard), self.clock()
            elif len(self._machines) < MOST_KEPT:
                self._machines[heard.mac] = _Machine(heard, self.clock())
        if not self.query_one(VirtualKeyedTable).has_focus:
            self.go_on()

    def show(self, nic: str, known: Mapping[str, str], vendors: Mapping[str, str], adopts: str) -> None:
        """`known` names machines of the plan by MAC; `adopts` says what the key for it does."""
        self.known, self.vendors = known, vendors
        count = len(self._machines)
        heard = f"{plural(count, 'machine')} found" if count else "no machine found yet"
        first = "the first " if count == MOST_KEPT else ""
        self.border_title = Text(f"Listening on {clean(nic, 20)}: {first}{heard}")
        self.border_subtitle = Text("One is missing? Restart it") if count else ""
        self.query_one("#hearing-none").display = not count
        table = self.query_one(VirtualKeyedTable)
        table.display = bool(count)
        table.show(tuple(self._machines), self._cells)
        self.query_one("#hearing-keys", PlainText).update(Text(adopts))
        if not table.has_focus:
            self.go_on()

    def go_on(self) -> None:
        """Move the cursor from a machine of the plan to the next new one, if any."""
        current = self.query_one(VirtualKeyedTable).current
        if current in self.known:
            macs = list(self._machines)
            place = macs.index(current) if current in macs else 0
            waiting = next((mac for mac in macs[place:] + macs[:place] if mac not in self.known), None)
            if waiting is not None:
                self.query_one(VirtualKeyedTable).point_at(waiting)

    def _cells(self, number: int) -> tuple[Text, ...]:
        mac, machine = list(self._machines.items())[number]
        ago = max(int(self.clock() - machine.at), 0)
        when = f"{ago} s ago" if ago < 100 else f"{ago // 60} min ago"
        name = self.known.get(mac)
        serial = f"S/N {machine.heard.serial}" if machine.heard.serial else ""
        return (
            Text(mac),
            Text(clean(machine.heard.product or self.vendors.get(mac, ""), 60)),
            Text(clean(machine.heard.host_name or serial or machine.heard.ip, 64) or "–"),
            Text(when),
            Text(clean(name, 63) if name is not None else "new", "" if name is not None else "bold"),
        )


def name_from(host_name: str, taken: Callable[[str], bool]) -> str:
    """A node's name from what a machine calls itself; "" where that is none, or is `taken`."""
    try:
        name = parse_node_name(host_name.partition(".")[0])
    except FieldError:
        return ""
    return "" if taken(name) else name
