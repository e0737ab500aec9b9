"""The two cables as they are chosen: which NIC leads where, and what its wire says."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from wizard.plan.machine import Nic
from wizard.widgets.page import plain

_BOX = 17
_NAME = 15
_WIRE, _BROKEN, _NONE = "─" * 7, "╌╌ ✗ ╌╌", " " * 7
_DOES = "NAT · DHCP"


def wiring(corporate: Nic | None, cluster: Nic | None, answers: Mapping[str, str]) -> Text:
    """Four rows of 104 columns. `answers` is what the wire of a NIC says, by its name."""
    middle = 2 * _NAME + len(_DOES) + 4
    left, right = _said(corporate, answers), _said(cluster, answers)
    sides = "─" * (_BOX + 2)
    rows = (
        Text(f"┌{sides}┐{_NONE}┌{'─' * (middle + 2)}┐{_NONE}┌{sides}┐"),
        Text(
            f"│ {'company network':<{_BOX}} │{_NONE}│ {'this machine':^{middle}} │{_NONE}│ {'cluster switch':<{_BOX}} │"
        ),
        Text.assemble(
            *("│ ", _fitted(left, _BOX), " ", _end(corporate, "├"), _wire(corporate), _end(corporate, "┤"), " "),
            *(
                _fitted(_name(corporate), _NAME, "bold"),
                f"  {_DOES}  ",
                _fitted(_name(cluster), _NAME, "bold", "right"),
            ),
            *(" ", _end(cluster, "├"), _wire(cluster), _end(cluster, "┤"), " ", _fitted(right, _BOX), " │"),
        ),
        Text(f"└{sides}┘{_NONE}└{'─' * (middle + 2)}┘{_NONE}└{sides}┘"),
    )
    return Text("\n").join(rows)


def _name(nic: Nic | None) -> str:
    return nic.name if nic is not None else "not chosen"


def _said(nic: Nic | None, answers: Mapping[str, str]) -> str:
    return answers.get(nic.name, "") if nic is not None else ""


def _wire(nic: Nic | None) -> str:
    if nic is None:
        return _NONE
    return _BROKEN if nic.carrier is False or not nic.up else _WIRE


def _end(nic: Nic | None, plugged: str) -> str:
    return "│" if nic is None else plugged


def _fitted(text: str, width: int, style: str = "", side: str = "left") -> Text:
    fitted = plain(text, style, limit=width)
    if fitted.cell_len > width:
        fitted.truncate(width, overflow="ellipsis")
    fitted.align("right" if side == "right" else "left", width)
    return fitted
