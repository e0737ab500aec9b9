"""The picture of a subnet: who sits where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from netaddr import IPAddress, IPNetwork
from rich.text import Text

CELLS_A_ROW = 64
MOST_ROWS = 4
_STYLES = {"G": "bold reverse", "N": "bold", "×": "bold red", "·": "dim"}


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet and who sits in it; `nodes` are addresses as numbers, `taken` others' networks that reach into it."""

    cidr: IPNetwork
    gateway: IPAddress
    pool: tuple[IPAddress, IPAddress]
    nodes: tuple[int, ...] = ()
    taken: tuple[IPNetwork, ...] = ()

    @property
    def each(self) -> int:
        """Addresses to a sign."""
        return max(self.cidr.size // (CELLS_A_ROW * MOST_ROWS), 1)

    def signs(self) -> str:
        """One sign for each few addresses: "G" the gateway, "N" a node, "×" somebody else's, "░" dynamic, "·" free.

        A sign stands for the rarest of what is there; what lies outside is left out.
        """
        begin, end = self.cidr.first, self.cidr.last
        signs = ["·"] * (self.cidr.size // self.each)

        def put(sign: str, first: int, last: int) -> None:
            for cell in range((max(first, begin) - begin) // self.each, (min(last, end) - begin) // self.each + 1):
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


def picture(subnet: Subnet) -> Text:
    """Rows of signs, each with the address that it begins with, and below them what the signs mean."""
    signs = subnet.signs()
    starts = range(0, len(signs), CELLS_A_ROW)
    labels = [short(subnet.cidr.first + start * subnet.each, subnet.cidr) for start in starts]
    width = max(map(len, labels))
    text = Text()
    for label, start in zip(labels, starts, strict=True):
        text.append(f"{label:>{width}} ")
        for sign in signs[start : start + CELLS_A_ROW]:
            text.append(sign, _STYLES.get(sign, ""))
        text.append("\n")
    text.append(" " * (width + 1))
    return text.append_text(_legend(subnet))


def _legend(subnet: Subnet) -> Text:
    cidr = subnet.cidr
    nodes = subnet.inside()
    # Larger networks leave no room for whole addresses.
    small = cidr.prefixlen >= 24
    gateway = " outside" if subnet.gateway not in cidr else f" {short(subnet.gateway, cidr)}" if small else ""
    free = max(cidr.size - 2 - subnet.dynamic() - len(nodes) - (subnet.gateway in cidr), 0)
    words = [
        ("G", f"gateway{gateway}"),
        ("N", f"{len(nodes)} {'node' if len(nodes) == 1 else 'nodes'}{_span(nodes, cidr) if small else ''}"),
        ("░", f"{subnet.dynamic()} dynamic"),
        ("×", "others'") if subnet.taken else ("·", f"{free} free"),
    ]
    text = Text()
    for sign, said in words:
        text.append(sign, _STYLES.get(sign, "")).append(f" {said}   ")
    if subnet.each > 1:
        text.append(f"1 sign = {subnet.each}", "dim")
    text.rstrip()
    return text


def _span(nodes: Sequence[int], cidr: IPNetwork) -> str:
    if not nodes:
        return ""
    low, high = short(min(nodes), cidr), short(max(nodes), cidr)
    return f" {low}" if low == high else f" {low}–{high}"


def reaching_into(cidr: IPNetwork, networks: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """Those of `networks` that share an address with `cidr`."""
    return tuple(n for n in networks if n.version == 4 and n.first <= cidr.last and cidr.first <= n.last)
