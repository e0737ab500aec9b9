"""The picture of a subnet: who sits where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from netaddr import IPAddress, IPNetwork
from rich.text import Text

CELLS_A_ROW = 64
MOST_ROWS = 4
# With room around, an address of a small network is a dot to point at, and a large one shows twice as much.
ROOMY_ROWS = 8
ROOMY_CELLS = 32
_GROUP = 8
_STYLES = {"G": "bold reverse", "N": "bold", "×": "bold red", "·": "dim"}


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet and who sits in it; `nodes` are addresses as numbers, `taken` others' networks that reach into it.

    `cells`: so many signs at most.
    """

    cidr: IPNetwork
    gateway: IPAddress
    pool: tuple[IPAddress, IPAddress]
    nodes: tuple[int, ...] = ()
    taken: tuple[IPNetwork, ...] = ()
    cells: int = CELLS_A_ROW * MOST_ROWS

    @property
    def each(self) -> int:
        """Addresses to a sign."""
        return max(self.cidr.size // self.cells, 1)

    def signs(self) -> str:
        """One sign for each few addresses: "G" the gateway, "N" a node, "×" somebody else's, "░" dynamic, "·" free.

        A sign stands for the rarest of what is there; what lies outside is left out.
        """
        begin, end, each = self.cidr.first, self.cidr.last, self.each
        signs = ["·"] * (self.cidr.size // each)

        def put(sign: str, first: int, last: int) -> None:
            for cell in range((max(first, begin) - begin) // each, (min(last, end) - begin) // each + 1):
                signs[cell] = sign

        put("░", int(self.pool[0]), int(self.pool[1]))
        for network in self.taken:
            put("×", network.first, network.last)
        for ip in self.inside():
            put("N", ip, ip)
        if self.gateway in self.cidr:
            put("G", int(self.gateway), int(self.gateway))
        return "".join(signs)

    def inside(self) -> tuple[int, ...]:
        begin, end = self.cidr.first, self.cidr.last
        return tuple(ip for ip in self.nodes if begin <= ip <= end)

    def dynamic(self) -> int:
        """How many addresses of the range lie in the subnet."""
        first, last = max(int(self.pool[0]), self.cidr.first), min(int(self.pool[1]), self.cidr.last)
        return max(last - first + 1, 0)


def short(address: IPAddress | int, cidr: IPNetwork) -> str:
    """The part of an address that tells it from others of its subnet: ".64" in a /24, ".1.64" in a /16."""
    octets = str(IPAddress(int(address), version=4)).split(".")
    return "." + ".".join(octets[cidr.prefixlen // 8 if cidr.prefixlen < 32 else 3 :])


def picture(subnet: Subnet, width: int = 78) -> Text:
    """Rows of signs, each with the address that it begins with, and below them what the signs mean.

    `width`: columns that there are, 73 at least.
    """
    text = Text()
    indent = 0
    for label, signs in _rows(subnet, CELLS_A_ROW):
        indent = len(label) + 1
        text.append(f"{label} ").append_text(_styled(signs)).append("\n")
    text.append(" " * indent)
    used = indent
    for sign, said in _legend(subnet, short_of_room=True):
        part = Text.assemble((sign, _STYLES.get(sign, "")), f" {said}") if sign else Text(said, "dim")
        # What does not fit goes below as a whole.
        if used > indent and used + part.cell_len > width:
            text.rstrip()
            text.append("\n" + " " * indent)
            used = indent
        text.append_text(part).append("   ")
        used += part.cell_len + 3
    text.rstrip()
    return text


def roomy_picture(subnet: Subnet) -> Text:
    """The same where there is room, 8 rows at most of 116 columns: what the signs mean stands beside them."""
    apart = subnet.cidr.size <= ROOMY_ROWS * ROOMY_CELLS
    cells = ROOMY_CELLS if apart else CELLS_A_ROW
    rows = _rows(replace(subnet, cells=cells * ROOMY_ROWS), cells)
    legend = _legend(replace(subnet, cells=cells * ROOMY_ROWS), short_of_room=False)
    lines = []
    for label, signs in rows:
        line = Text(f"{label} ", "dim")
        for start in range(0, len(signs), _GROUP):
            line.append_text(_styled(signs[start : start + _GROUP], " " if apart else ""))
            line.append("  " if apart else "")
        lines.append(line)
    wide = max(line.cell_len for line in lines)
    lines += [Text()] * (len(legend) - len(lines))
    for number, (sign, said) in enumerate(legend):
        line = lines[number] = lines[number].copy()
        line.append(" " * (wide - line.cell_len + 2))
        line.append(sign or " ", _STYLES.get(sign, "")).append(f"  {said}", "" if sign else "dim")
    return Text("\n").join(lines)


def _rows(subnet: Subnet, cells: int) -> list[tuple[str, str]]:
    """Each row's first address, all as wide, and its signs."""
    signs = subnet.signs()
    starts = range(0, len(signs), cells)
    labels = [short(subnet.cidr.first + start * subnet.each, subnet.cidr) for start in starts]
    width = max(map(len, labels))
    return [(f"{label:>{width}}", signs[start : start + cells]) for label, start in zip(labels, starts, strict=True)]


def _styled(signs: str, between: str = "") -> Text:
    text = Text()
    for sign in signs:
        text.append(sign, _STYLES.get(sign, "")).append(between)
    return text


def _legend(subnet: Subnet, short_of_room: bool) -> list[tuple[str, str]]:
    """Signs and what they stand for; "" for what is said of the picture itself."""
    cidr = subnet.cidr
    nodes = subnet.inside()
    # Larger networks leave no room for addresses.
    tell = not short_of_room or cidr.prefixlen >= 24
    at = short(subnet.gateway, cidr) if short_of_room else str(subnet.gateway)
    gateway = " outside" if subnet.gateway not in cidr else f" {at}" if tell else ""
    free = max(cidr.size - 2 - subnet.dynamic() - len(nodes) - (subnet.gateway in cidr), 0)
    first, last = subnet.pool
    dynamic = "" if short_of_room or not subnet.dynamic() else _span((int(first), int(last)), cidr)
    words = [
        ("G", f"gateway{gateway}"),
        ("N", f"{len(nodes)} {'node' if len(nodes) == 1 else 'nodes'}{_span(nodes, cidr) if tell else ''}"),
        ("░", f"{subnet.dynamic()} dynamic{dynamic}"),
        ("×", "others'") if subnet.taken else ("·", f"{free} free"),
    ]
    if subnet.each > 1:
        words.append(("", f"1 sign = {subnet.each}{'' if short_of_room else ' addresses'}"))
    return words


def _span(nodes: Sequence[int], cidr: IPNetwork) -> str:
    if not nodes:
        return ""
    low, high = short(min(nodes), cidr), short(max(nodes), cidr)
    return f" {low}" if low == high else f" {low}–{high}"


def reaching_into(cidr: IPNetwork, networks: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """Those of `networks` that share an address with `cidr`."""
    return tuple(n for n in networks if n.version == 4 and n.first <= cidr.last and cidr.first <= n.last)
