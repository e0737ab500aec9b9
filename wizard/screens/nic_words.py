"""NICs in words: the cells of their table, and all that is known of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.text import Text

from wizard.plan.draft.model import CHOOSE_A_NIC
from wizard.plan.machine import Nic, Suggestion
from wizard.plan.rules.nics import CABLE_KINDS, SWAPPED
from wizard.plan.uplinks import can_lead_out
from wizard.widgets.page import plain
from wizard.widgets.sparkline import sparkline

if TYPE_CHECKING:
    from wizard.host.net.traffic import Rate
    from wizard.services.protocols import CablingReport

Columns = tuple[tuple[str, int], ...]

NARROW: Columns = (("NIC", 15), ("role", 9), ("link", 10), ("address", 18), ("notes", 17))
WIDE: Columns = (
    ("NIC", 15),
    ("role", 9),
    ("link", 10),
    ("address", 18),
    ("notes", 23),
    ("DHCP probe", 18),
    ("traffic", 12),
)
_LEADS_TO = {"corporate": "the company network", "cluster": "the cluster switch"}
ASKING = "Probing both networks for a DHCP server…"
_FRESH = "Probing both networks; a switch may take 30 s to open a new link…"
_WAITING = "Still probing both networks; press ctrl+n again to continue without the result."
_FEELING = "Pull a cable, then plug it in again: its NIC is marked. esc stops."
WIDE_FROM = sum(width + 2 for _, width in WIDE) + 1
"""Columns that all of them take, with a scroll bar."""
# A wait that one begins to wonder about, and one that needs a reason.
_LONG_S, _FRESH_S = 3, 15
_MOVED = "The probe shows that the two cables are swapped: exchange the cables."
_HERE = {
    CHOOSE_A_NIC: "Choose one above.",
    SWAPPED: "The two NICs look swapped: exchange them (f4).",
}
_BARS = 8
_SAID = 17
# Less than this is a keep-alive, and no bar to look at.
_LEAST_BPS = 50_000.0


@dataclass(frozen=True, slots=True)
class NicNotes:
    """What is known of the NICs besides the facts, by name."""

    roles: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)
    rates: Mapping[str, tuple[Rate, ...]] = field(default_factory=dict)
    auto: bool = False
    """Whether the corporate NIC follows the default route."""


def cells(nic: Nic, known: NicNotes, wide: bool) -> tuple[Text, ...]:
    """A row of the table, as NARROW or WIDE has it."""
    role = known.roles.get(nic.name, "")
    addresses = [str(address.network) for address in nic.addresses if address.network.version == 4]
    more = f" +{len(addresses) - 1}" if len(addresses) > 1 else ""
    mark = known.marks.get(nic.name, "")
    said = plain(mark, "bold", limit=_SAID) if mark else plain(_brief(known.answers.get(nic.name, "")), limit=_SAID)
    first = (
        plain(nic.name, limit=15),
        Text("CORP auto" if known.auto and role == "corporate" else role.upper() or "–", "bold" if role else ""),
        Text(link(nic)),
        Text(addresses[0] + more if addresses else "–"),
    )
    if not wide:
        return (*first, said if said.plain else Text(_most_telling(nic)))
    rates = known.rates.get(nic.name, ())
    return (*first, Text(", ".join(all_telling(nic))), said, Text(_total(rates)))


def _brief(answer: str) -> str:
    """An address alone still tells that somebody answered."""
    return answer if len(answer) <= _SAID else answer.removeprefix("DHCP ")


def link(nic: Nic) -> str:
    if not nic.up:
        return "○ off"
    if nic.carrier is False:
        return "○ no cable" if nic.kind in CABLE_KINDS else "○ no link"
    speed = nic.speed_mbps
    if not speed:
        return "● up"
    if speed < 1000:
        return f"● {speed} Mb/s"
    return f"● {speed / 1000:g} Gb/s"


def _most_telling(nic: Nic) -> str:
    return next(iter(all_telling(nic)), "")


def all_telling(nic: Nic) -> list[str]:
    """In few words each, the most telling first."""
    words = []
    if nic.carries_ssh:
        words.append("your SSH")
    if nic.default_route:
        words.append("default route")
    if nic.master:
        words.append("enslaved")
    if nic.kind not in ("ethernet", "veth"):
        words.append(nic.kind)
    if nic.dhcp_client and not nic.default_route:
        words.append("DHCP client")
    return words


def about(nic: Nic, suggestion: Suggestion | None, rates: Sequence[Rate]) -> Text:
    """All that is known of one NIC: two lines or three, and why it suits what."""
    parts = [plain(part, limit=60).plain for part in (nic.vendor, nic.driver, nic.permanent_mac or nic.mac, nic.kind)]
    # The driver of a virtual NIC is called as its kind is.
    text = Text(" · ".join(part for part in dict.fromkeys(parts) if part))
    others = [str(address.network) for address in nic.addresses][1:]
    if others:
        text.append("\nalso ").append_text(plain(", ".join(others), limit=200))
    if rates and nic.up:
        text.append("\n").append_text(_traffic(rates))
    if suggestion is not None:
        suits = f"Suits {_LEADS_TO[suggestion.role]}" if suggestion.role else "Suits neither"
        reasons = "; ".join(plain(reason, limit=160).plain for reason in suggestion.reasons)
        text.append(f"\n{suits}: {reasons}." if reasons else f"\n{suits}.")
    return text


def _traffic(rates: Sequence[Rate]) -> Text:
    from wizard.host.net.traffic import rate_words

    text = Text()
    for sign, values in (("in ", [r.received for r in rates]), ("   out ", [r.sent for r in rates])):
        text.append(sign).append(sparkline(values, _BARS, _LEAST_BPS)).append(f" {rate_words(values[-1]):<9}")
    text.rstrip()
    return text


def _total(rates: Sequence[Rate]) -> str:
    """In and out together, in twelve characters."""
    if not rates:
        return ""
    from wizard.host.net.traffic import rate_words

    values = [rate.received + rate.sent for rate in rates]
    return f"{sparkline(values, 3, _LEAST_BPS)} {rate_words(values[-1])}"


def follows(now: str) -> str:
    """What a corporate NIC is that follows the default route; `now`: the one that has it, "" for none."""
    has = f"now {now}" if now else "none now"
    return f"Company network: auto, follows the default route ({has}). f6: this NIC alone."


def roles_of(nic: Nic) -> list[str]:
    """The roles that a NIC can have at all."""
    if not can_lead_out(nic, nic.default_route):
        return []
    return ["corporate", "cluster"] if nic.kind in CABLE_KINDS else ["corporate"]


def turned(nic: Nic, corporate: str, cluster: str) -> tuple[str, str]:
    """Who is (corporate, cluster) once the role of `nic` is turned on: to the one that is free, else to the next."""
    held = {"cluster": cluster, "corporate": corporate}
    possible = roles_of(nic)
    turn = ["", *possible]
    old = next((role for role, name in held.items() if name == nic.name), "")
    free = [role for role in possible if not held[role]]
    role = turn[(turn.index(old) + 1) % len(turn)] if old in turn else ""
    if not old and free:
        # Nobody else has to give anything up.
        role = free[0]
    if old:
        # Where another NIC had the new role, the two change places.
        held[old] = held[role] if role else ""
    if role:
        held[role] = nic.name
    return held["corporate"], held["cluster"]


def table_order(nic: Nic) -> tuple[bool, bool, int]:
    """NICs that a cable can be in come first."""
    return nic.kind not in CABLE_KINDS, nic.kind == "loopback", nic.index


def said_here(remedy: str, fine: bool) -> str:
    """A remedy in the words of the page of the NICs. `fine`: the wires themselves are as they should be."""
    if fine and remedy == SWAPPED:
        return _MOVED
    return _HERE.get(remedy, remedy)


def titled(wires: CablingReport) -> Text:
    sign = "✓ " if wires.fine else "✗ " if wires.stop else "! "
    return Text(sign).append_text(plain(wires.title))


def patience(identifying: bool, waiting: bool, seconds: int) -> str:
    """What is being waited for, `seconds` after the wires were asked."""
    if identifying:
        return _FEELING
    if waiting:
        return _WAITING
    return f"{_FRESH if seconds >= _FRESH_S else ASKING} {seconds} s" if seconds >= _LONG_S else ASKING
