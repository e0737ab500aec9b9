"""The gateway as a picture: the company's network, this machine, the cluster's switch and who is on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from wizard.host.net.traffic import Rate, rate_words
from wizard.monitor.alarms import ALARMS
from wizard.monitor.node_summary import HERE, LEASED, WRONG, NodeEntry, NodeSummary
from wizard.monitor.node_summary import UNSEEN as GONE
from wizard.plan.model import Protocol
from wizard.plan.text import clean
from wizard.widgets.page import plural
from wizard.widgets.plain_text import PlainText
from wizard.widgets.sparkline import sparkline

if TYPE_CHECKING:
    from wizard.monitor.overview import Overview
    from wizard.plan.checks import Check
    from wizard.plan.model import Forward, Plan

UP, PARTLY, UNSEEN = "●", "◐", "○"
SIGNS = {HERE: UP, LEASED: PARTLY, GONE: UNSEEN, WRONG: "!"}
# Bits a second that fill a sparkline at least: the noise of an idle wire must not look like traffic.
LEAST_PEAK = 100_000.0
_LINKS = 4
_RATE = 9
_MOST_NAME = 24
_LEAST_NODES = 4
_ROOMY = 48
# Where there is no room for more.
_BRIEF = {"wrong address": "wrong IP", "asked, ignored": "ignored", **{a.note: a.brief for a in ALARMS.values()}}
_ANSWERS = {"answers": UP, "waiting": UNSEEN}


class Topology(PlainText):
    """The picture, drawn to fit the given size."""

    DEFAULT_CSS = "Topology { height: auto; text-wrap: nowrap; }"

    def show(self, seen: Overview, rates: Mapping[str, tuple[Rate, ...]], host: str, size: tuple[int, int]) -> None:
        """`size` is the width and the most rows that the picture may take."""
        if seen.plan is not None:
            self.update(picture(seen, seen.plan, rates, host, size))


def picture(
    seen: Overview, plan: Plan, rates: Mapping[str, tuple[Rate, ...]], host: str, size: tuple[int, int]
) -> Text:
    width, height = size
    corporate, gateway = (19, 17) if width < 100 else (24, 28)
    left = corporate + 3 + gateway
    right = width - left - _LINKS
    rows = max(height - 3, _LEAST_NODES)
    cluster = _cluster_lines(seen.nodes, plan.network.cidr.prefixlen, rows, right - 4)
    sides = _left_lines(seen, plan, (corporate, gateway), rates, left, height - 1)
    box = _box(cluster, right)
    title = _beside([("company network", corporate + 3), (f"gateway {clean(host, 16)}".rstrip(), gateway)])
    title = Text.assemble(_fit(title, left), " switch ", (f"cluster {plan.network.cidr}", "bold"))
    if width >= 100 and seen.nodes.count:
        title.append(f" · {seen.nodes.here} of {plural(seen.nodes.count, 'node')} here")
    lines = [title]
    for number in range(max(len(sides), len(box))):
        line = sides[number] if number < len(sides) else Text()
        line = _fit(line, left)
        line.append(_link(number, len(cluster)), "dim")
        if number < len(box):
            line.append_text(_crossed(box[number], (0, "┤")) if 0 < number <= len(cluster) else box[number])
        lines.append(line)
    for line in lines:
        line.rstrip()
        line.truncate(width, overflow="ellipsis")
    return Text("\n").join(lines)


def _link(number: int, machines: int) -> str:
    """The wires of the switch, beside line `number` of the cluster's box."""
    if number == 0 or number > machines:
        return "    "
    if number == 2 and machines > 2:
        return "─┼──"
    if number == 2:
        return "─┴──"
    if number == 1:
        return " ┌──"
    return " └──" if number == machines else " ├──"


def _left_lines(
    seen: Overview,
    plan: Plan,
    widths: tuple[int, int],
    rates: Mapping[str, tuple[Rate, ...]],
    width: int,
    height: int,
) -> list[Text]:
    """The company network and the gateway, the NICs' traffic, and the forwards."""
    nics = plan.interfaces
    company = _box([_default_gateway(seen, widths[0]), Text(f"  {seen.router}")], widths[0])
    here = [Text(seen.address or "no address", "" if seen.address else "bold"), Text(str(plan.network.gateway))]
    machine = _box(here, widths[1])
    # The wires leave and enter the boxes.
    company[1] = _crossed(company[1], (widths[0] - 1, "├"))
    machine[1] = _crossed(machine[1], (0, "┤"))
    machine[2] = _crossed(machine[2], (widths[1] - 1, "├"))
    links = ("   ", "───", "   ", "   ")
    lines = [Text.assemble(one, (link, "dim"), other) for one, link, other in zip(company, links, machine, strict=True)]
    lines.append(Text())
    corporate = seen.corporate or ("no uplink" if nics.follows_default_route else nics.corporate)
    column = max(len(corporate), len(nics.cluster))
    for nic in (corporate, nics.cluster):
        lines += _traffic_lines(nic, rates.get(nic, ()), column, width)
    return lines + _forward_lines(seen, plan, height - len(lines), width)


def _crossed(line: Text, mark: tuple[int, str]) -> Text:
    """A line of a box with one character of its frame replaced: (place, sign)."""
    place, sign = mark
    place %= line.cell_len
    return Text("").join([line[:place], Text(sign, "dim"), line[place + 1 :]])


def _default_gateway(seen: Overview, width: int) -> Text:
    if any(check.name in ("corporate", "way-out", "path-out") and check.ok is False for check in seen.status.checks):
        return Text(f"{UNSEEN} no route", "bold")
    name = "default gateway" if width >= 24 else "default gw"
    return Text(f"{UP} {name}" if seen.router else f"{UNSEEN} no route")


def _traffic_lines(nic: str, rates: Sequence[Rate], column: int, width: int) -> list[Text]:
    name = clean(nic, 15).ljust(min(column, 15))
    room = width - min(column, 15) - len("  out ") - _RATE - 2
    lines = []
    for word, values in (("in ", [r.received for r in rates]), ("out", [r.sent for r in rates])):
        said = rate_words(values[-1]) if values else "–"
        bars = sparkline(values, max(room, 4), LEAST_PEAK)
        lines.append(Text.assemble((name, "bold" if word == "in " else ""), f" {word} ", bars, said.rjust(_RATE + 1)))
        name = " " * len(name)
    return lines


def _forward_lines(seen: Overview, plan: Plan, room: int, width: int) -> list[Text]:
    """One line per target: its ports on the gateway, and whether each answers."""
    if not plan.forwards or room < 1:
        return []
    by_target: dict[str, list[str]] = {}
    for forward, sign in _forward_signs(plan, seen.status.checks):
        by_target.setdefault(forward.to, []).append(f"{forward.port_text} {sign}")
    lines = []
    for target, ports in by_target.items():
        line = Text.assemble(("→ ", "bold"), clean(target, 24), "  ", "  ".join(ports))
        line.truncate(width, overflow="ellipsis")
        lines.append(line)
    if len(lines) > room:
        rest = len(lines) - room + 1
        lines = [*lines[: room - 1], Text(f"→ and forwards to {plural(rest, 'more machine')}")]
    return lines


def _forward_signs(plan: Plan, checks: Iterable[Check]) -> list[tuple[Forward, str]]:
    checks = tuple(checks)
    signs = {c.name: _ANSWERS.get(c.detail.rpartition(": ")[2], "") for c in checks if c.name.startswith("forward-")}
    # What does not even get to the node.
    shut = {check.name.removeprefix("path-in-") for check in checks if check.ok is False}
    signs |= {f"forward-{port}": SIGNS[WRONG] for port in shut}
    udp = {forward: "-udp" if forward.protocol is Protocol.UDP else "" for forward in plan.forwards}
    return [(forward, signs.get(f"forward-{forward.port}{udp[forward]}", "")) for forward in plan.forwards]


def _cluster_lines(crowd: NodeSummary, prefix: int, rows: int, width: int) -> list[Text]:
    """Every machine on the switch if there is room; else a line per role, then missing machines first."""
    others = _vm_lines(crowd, prefix)
    room = max(rows - len(others), 1)
    if crowd.count <= min(room, len(crowd.first)):
        return [*_machine_lines(crowd.first, prefix, width), *others]
    lines = [
        _fit(Text.assemble((_group_sign(here, count), "bold"), f" {here} of {count} {clean(role, 40)}"), width)
        for role, here, count in crowd.roles
    ]
    room = max(room - len(lines) - 1, 0)
    named, all_of_them = (crowd.trouble, crowd.troubled) if crowd.troubled else (crowd.first, crowd.count)
    lines += _machine_lines(named[:room], prefix, width)
    rest = all_of_them - min(room, len(named))
    if rest:
        lines.append(Text(f"  and {rest} more{' like these' if crowd.troubled and room else ''}", "dim"))
    return [*lines, *others]


def _group_sign(up: int, count: int) -> str:
    return UP if up == count else PARTLY if up else UNSEEN


def _machine_lines(found: Sequence[NodeEntry], prefix: int, width: int) -> list[Text]:
    addresses = [_short(machine.ip, prefix) for machine in found]
    column = max((len(address) for address in addresses), default=0)
    longest = max((len(machine.name) for machine in found), default=0)
    # What is the matter with a machine is not to be pushed out by its name.
    name = min(longest, _MOST_NAME, max(width - column - len(f"{UP}   {max(_BRIEF.values(), key=len)}"), 8))
    lines = []
    for machine, address in zip(found, addresses, strict=True):
        line = Text.assemble(
            (SIGNS[machine.state], "bold"), " ", _fit(Text(machine.name), name), " ", address.ljust(column)
        )
        if width >= _ROOMY:
            line.append("  ").append_text(_fit(Text(machine.role), 11))
            line.append("" if machine.note else f" {machine.vendor}", "dim")
        note = machine.note if width >= _ROOMY else _BRIEF.get(machine.note, machine.note)
        line.append(f" {note}", "" if machine.state == HERE else "bold")
        lines.append(_fit(line, width))
    return lines


def _vm_lines(crowd: NodeSummary, prefix: int) -> list[Text]:
    if not crowd.vms:
        return []
    where = " ".join(_short(row.ip, prefix) for row in crowd.vms[:3])
    more = " …" if len(crowd.vms) > 3 else ""
    sign = _group_sign(crowd.vms_here, len(crowd.vms))
    words = f" {plural(len(crowd.vms), 'VM')} {where}{more}  "
    return [Text.assemble((sign, "bold"), words, ("i instances", "dim"))]


def _short(ip: str, prefix: int) -> str:
    """What tells an address from others of a small subnet."""
    return f".{ip.rpartition('.')[2]}" if prefix >= 24 and ip else clean(ip, 15)


def _box(lines: Sequence[Text], width: int) -> list[Text]:
    inner = width - 4
    framed = [Text.assemble(("│ ", "dim"), _fit(line, inner), (" │", "dim")) for line in lines]
    return [Text(f"┌{'─' * (width - 2)}┐", "dim"), *framed, Text(f"└{'─' * (width - 2)}┘", "dim")]


def _beside(parts: Sequence[tuple[str, int]]) -> Text:
    return Text("").join(_fit(Text(f" {words}", "bold"), width) for words, width in parts)


def _fit(text: Text, width: int) -> Text:
    fitted = text.copy()
    fitted.truncate(max(width, 1), overflow="ellipsis", pad=True)
    return fitted
