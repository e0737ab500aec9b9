"""A machine's line in no format: a MAC, and its name, roles and address as somebody has typed them."""

from __future__ import annotations

import re

from wizard.plan.fields import field_error, shown
from wizard.plan.machine_lists.program_lines import reservation
from wizard.plan.machine_lists.row import Row, more_than_one
from wizard.plan.machine_lists.tables import SIGNS, cells_of
from wizard.plan.machine_lists.values import are_roles, ip_text, is_ipv6, mac_text, may_be_name, role_set
from wizard.plan.machine_lists.vocabulary import NAMELESS, is_state
from wizard.plan.model import Role

_REMARK = re.compile(r"(?:^|\s)#.*")
_LONGEST = 4000
_OF_DNSMASQ = re.compile(
    r"(?:^|,)\s*(?:(?:id|set|tag|net):|[0-9]+[smhdw]?\s*(?:,|$)|infinite\s*(?:,|$)|\[[^\]]*:)", re.IGNORECASE
)


def by_words(line: str, number: int, text: str) -> Row:
    """Each word says by its look what it is; the one that is left is the name, where it stands in a name's place."""
    row = Row(number, text)
    if len(line) > _LONGEST:
        row.problem = "it is too long for a line about one machine"
        return row
    if "," in line and _OF_DNSMASQ.search(line) and any(mac_text(cell) for cell in line.split(",")):
        # A line of a file of reservations.
        return reservation(line, number, text)
    macs: list[str] = []
    ips: list[str] = []
    roles: list[Role] = []
    names: list[tuple[int, str]] = []
    words = _words(line)
    if words is None:
        row.problem = "a field of it is too long, or its quotes do not fit"
        return row
    for place, word in enumerate(words):
        # A machine may be called what it is: the second "controller" of a line is its name.
        named = _roles(word)
        if named and not named & set(roles):
            roles.extend(role for role in Role if role in named)
        elif mac := mac_text(word):
            macs.append(mac)
        elif ip_text(word):
            ips.append(word)
        elif word.lower() in NAMELESS or (place and (is_ipv6(word) or is_state(word, behind=place > 1))):
            continue
        elif may_be_name(word):
            names.append((place, word))
        elif not row.problem:
            row.problem = f"{shown(word)} is neither a MAC nor an address, a role or a name"
    for what, found in (("MAC", macs), ("address", ips), ("name", [name for _, name in names])):
        if len(found) > 1:
            row.problem = row.problem or more_than_one(what, found)
    row.role = ",".join(role.value for role in roles)
    row.mac, row.ip = macs[0] if macs else "", ips[0] if ips else ""
    if row.problem:
        return row
    if names:
        place, row.name = names[0]
        # Behind address and MAC, programs say all sorts of things; people say the name.
        row.trailing = place > 1 and bool(macs and ips)
    return row


def _roles(text: str) -> set[Role]:
    """The roles that `text` names, and nothing else; none where one is named twice."""
    return role_set(text) if are_roles(text) and field_error(role_set, text) is None else set()


def _words(line: str) -> list[str] | None:
    between = next((sign for sign in SIGNS if sign in line), "")
    if not between:
        return [word.strip("\"'") for word in _REMARK.sub("", line).split() if word.strip("\"'")]
    cells = cells_of(line, between)
    if cells is None:
        return None
    if cells and " #" in cells[-1]:
        cells[-1] = _REMARK.sub("", cells[-1])
    words: list[str] = []
    for cell in cells:
        parts = [part for part in re.split(r"[\s,;|]+", cell) if part]
        if len(parts) < 2 or any(mac_text(part) or ip_text(part) for part in parts):
            words += parts
        elif _roles(cell):
            words.append("+".join(parts))
        # Else it is a remark: text of several words names nobody.
    return words
