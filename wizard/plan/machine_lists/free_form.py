"""A line in no known format, typed by hand: a MAC, a name, roles and an address in any order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from wizard.plan.fields import field_error, shown
from wizard.plan.machine_lists.program_lines import reservation
from wizard.plan.machine_lists.row import Row, more_than_one, set_macs, wrong
from wizard.plan.machine_lists.tables import SIGNS, cells_of
from wizard.plan.machine_lists.values import are_roles, ip_text, is_ipv6, mac_text, may_be_name, role_set
from wizard.plan.machine_lists.vocabulary import NAMELESS, field_of, is_state
from wizard.plan.model import Role

_BULLET = re.compile(r"(?:[-*+>•‣◦·–—]|\[[ xX]?\]|[0-9]{1,3}[.)])\s+")
# What programs put in front of a MAC, with a colon as people put one behind a name.
_PROPERTIES = frozenset({"serial", "bssid", "interface", "nic", "port", "vendor", "link", "station"})
_REMARK = re.compile(r"(?:^|\s)#.*")
_LONGEST = 4000
_OF_DNSMASQ = re.compile(
    r"(?:^|,)\s*(?:(?:id|set|tag|net):|[0-9]+[smhdw]?\s*(?:,|$)|infinite\s*(?:,|$)|\[[^\]]*:)", re.IGNORECASE
)


def by_words(line: str, number: int, text: str) -> Row:
    """Recognize each word by its form; the one left over is the name.

    A bullet in front is passed over, and so is a label such as "MAC:"; "Name:" makes the next word the name.
    """
    row = Row(number, text)
    if len(line) > _LONGEST:
        row.problem = "it is too long for a line about one machine"
        return row
    if "," in line and _OF_DNSMASQ.search(line) and any(mac_text(cell) for cell in line.split(",")):
        # A line of dnsmasq's dhcp-hostsfile.
        return reservation(line, number, text)
    macs: list[str] = []
    joined: list[str] = []
    ips: list[str] = []
    roles: list[Role] = []
    names: list[tuple[int, str]] = []
    bullet = _BULLET.match(line)
    words = _words(line[bullet.end() :] if bullet else line)
    if words is None:
        row.problem = "a field is too long, or its quotes do not match"
        return row
    for place, (label, word) in enumerate(_labelled(words)):
        # A node may be named after its role: the second "controller" of a line is the name.
        named = _roles(word)
        if label == "name" and may_be_name(word):
            names.append((0, word))
        elif label == "role" and (refused := field_error(role_set, word)) is not None:
            row.problem = row.problem or wrong("role", refused)
        elif named and not named & set(roles):
            roles.extend(role for role in Role if role in named)
        elif mac := mac_text(word):
            macs.append(mac)
        elif "+" in word and all(parts := [mac_text(part) for part in word.split("+")]):
            # As our own list has those of one machine. Two MACs apart from each other may be anybody's.
            macs.append(parts[0])
            joined += parts[1:]
        elif ip_text(word):
            ips.append(word)
        elif word.lower() in NAMELESS or (place and (is_ipv6(word) or is_state(word, behind=place > 1))):
            continue
        elif may_be_name(word):
            names.append((place, word))
        elif not row.problem:
            row.problem = f"{shown(word)} is neither a MAC nor an address, a role or a name (letters, digits and '-')"
    for what, found in (("MAC", macs), ("address", ips), ("name", [name for _, name in names])):
        if len(found) > 1:
            row.problem = row.problem or more_than_one(what, found)
    row.role = ",".join(role.value for role in roles)
    set_macs(row, [*macs[:1], *joined])
    row.ip = ips[0] if ips else ""
    if row.problem:
        return row
    if names:
        place, row.name = names[0]
        # Behind an address and a MAC people write the name, but programs write all sorts of things.
        row.trailing = place > 1 and bool(macs and ips)
    return row


def _roles(text: str) -> set[Role]:
    """The roles in `text`; none if it has any other word, or a role twice."""
    return role_set(text) if are_roles(text) and field_error(role_set, text) is None else set()


def _labelled(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(field, word) for each word that is no label; the field is that of the label in front, "" without one."""
    label = ""
    for place, (word, following) in enumerate(zip_longest(words, words[1:], fillvalue="")):
        if word.endswith(":") and field_of(word):
            label = field_of(word)
        elif field_of(word) in ("mac", "ip") and following.endswith(":") and field_of(following):
            # "MAC address:" is one label.
            continue
        else:
            is_name = place == 0 and word.endswith(":") and _value_in(following) and not _is_property(word[:-1])
            head, _, behind = word.partition(":")
            yield (
                label,
                _value_in(word) or (_value_in(behind) if field_of(head) else "") or (word[:-1] if is_name else word),
            )
            label = ""


def _is_property(word: str) -> bool:
    return is_state(word) or word.lower() in _PROPERTIES


def _value_in(word: str) -> str:
    """The MAC or address in a word, without punctuation around it; "" if there is none."""
    bare = word.strip("()<>.:;")
    return bare if mac_text(bare) or ip_text(bare) else ""


def _without_label(words: list[str]) -> list[str]:
    """At the start of a line or a cell, "MAC" or "IP" right before a value is a label without a colon too."""
    return words[1:] if len(words) > 1 and field_of(words[0]) in ("mac", "ip") and _value_in(words[1]) else words


def _words(line: str) -> list[str] | None:
    between = next((sign for sign in SIGNS if sign in line), "")
    if not between:
        return _without_label([bare for word in _REMARK.sub("", line).split() if (bare := word.strip("\"'"))])
    cells = cells_of(line, between)
    if cells is None:
        return None
    if cells and " #" in cells[-1]:
        cells[-1] = _REMARK.sub("", cells[-1])
    words: list[str] = []
    for cell in cells:
        parts = _without_label([part for part in re.split(r"[\s,;|]+", cell) if part])
        has_label = len(parts) == 2 and parts[0].endswith(":") and field_of(parts[0])
        if len(parts) < 2 or has_label or any(mac_text(part) or ip_text(part) for part in parts):
            words += parts
        elif _roles(cell):
            words.append("+".join(parts))
        # Else it is a comment: a name is one word.
    return words
