"""The picture of a subnet: who sits where."""

from __future__ import annotations

from collections.abc import Iterable

from netaddr import IPAddress, IPNetwork
from rich.text import Text

CELLS = 128
CELLS_A_ROW = 32


def picture(cidr: IPNetwork, gateway: IPAddress, pool: tuple[IPAddress, IPAddress], nodes: Iterable[IPAddress]) -> Text:
    """Rows of cells, each a few addresses: "G" the gateway, "N" a node, "░" dynamic, "·" free.

    A cell shows the rarest of what is in it. Addresses outside `cidr` are left out.
    """
    cells = min(CELLS, cidr.size)
    each = cidr.size // cells
    signs = ["·"] * cells
    first, last = int(pool[0]), int(pool[1])
    for cell in range(cells):
        begin = cidr.first + cell * each
        if first <= begin + each - 1 and begin <= last:
            signs[cell] = "░"
    inside = [ip for ip in nodes if ip in cidr]
    for ip in inside:
        signs[(int(ip) - cidr.first) // each] = "N"
    if gateway in cidr:
        signs[(int(gateway) - cidr.first) // each] = "G"
    dynamic = max(min(last, cidr.last) - max(first, cidr.first) + 1, 0)
    free = max(cidr.size - 2 - dynamic - len(inside) - (gateway in cidr), 0)
    legend = [
        f"G  gateway  {'1' if gateway in cidr else 'outside'}",
        f"N  nodes    {len(inside)}",
        f"░  dynamic  {dynamic}",
        f"·  free     {free}",
    ]
    return _drawn(cidr, signs, each, legend)


def _drawn(cidr: IPNetwork, signs: list[str], each: int, legend: list[str]) -> Text:
    rows = [signs[i : i + CELLS_A_ROW] for i in range(0, len(signs), CELLS_A_ROW)]
    text = Text()
    for number in range(max(len(rows), len(legend))):
        row = rows[number] if number < len(rows) else []
        offset = cidr.first + number * CELLS_A_ROW * each
        label = f"{IPAddress(offset)}" if row else ""
        text.append(f"  {label:<16}")
        text.append("".join(row).ljust(CELLS_A_ROW), "bold" if row else "")
        text.append(f"    {legend[number]}\n" if number < len(legend) else "\n")
    text.rstrip()
    return text
