"""A row of a list -> a machine with valid values, or the reason why not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from wizard.plan.fields import (
    FieldError,
    parse_address,
    parse_mac,
    shown,
)
from wizard.plan.machine_lists.values import ip_text, is_group, is_ipv6, label_tuple, mac_text, name_text, role_set
from wizard.plan.machine_lists.vocabulary import NO_KEYS, RANK, field_of, plain_key
from wizard.plan.model import Role

CALLED = {"role": "role", "name": "name", "mac": "MAC", "other mac": "MAC", "ip": "address"}
NO_MAC = "no MAC in it"


@dataclass(slots=True)
class Row:
    """A machine as written. `text` is its line or lines, for the user to correct.

    `listed`: the list itself says that this is a machine, so that a name alone will do. `observed`: somebody saw it
    on a wire. `latest`: of several with the same MAC the last one counts. `trailing`: the name is a word behind
    others that no format puts there. `no_mac_reason`: the problem if the MAC is missing. `kind` tells rows that
    complete each other.
    """

    line: int
    text: str
    name: str = ""
    role: str = ""
    mac: str = ""
    ip: str = ""
    other_macs: tuple[str, ...] = ()
    listed: bool = False
    observed: bool = False
    latest: bool = False
    trailing: bool = False
    no_mac_reason: str = NO_MAC
    kind: str = ""
    problem: str = ""


class Nobody(Enum):
    """What a line is that is understood and says that nobody is there: an address without an answer, a comment."""

    NOBODY = "nobody"


NOBODY: Final = Nobody.NOBODY


@dataclass(frozen=True, slots=True)
class ListedMachine:
    """A machine of a list. Values are valid, "" if the list has none. `problem` is for the user, "" without one."""

    line: int
    name: str = ""
    roles: tuple[Role, ...] = ()
    mac: str = ""
    ip: str = ""
    problem: str = ""
    text: str = field(default="", compare=False)
    no_mac_reason: str = field(default="", compare=False)
    roles_listed: bool = field(default=False, compare=False)
    """True if the list has the roles, False if they are from the name."""
    contradicts: bool = field(default=False, compare=False)
    """True if the problem is an earlier row with the same MAC, name or address and other values."""
    labels: tuple[str, ...] = field(default=(), compare=False)
    """The roles as the list has them, which need not be ciao's."""
    role_problem: bool = field(default=False, compare=False)
    """True if the problem is a role that is not ciao's, and nothing else."""
    other_macs: tuple[str, ...] = ()
    """Those of its further NICs."""

    @property
    def macs(self) -> tuple[str, ...]:
        return (self.mac, *self.other_macs) if self.mac else ()

    def as_json(self) -> dict[str, Any]:
        """`other_macs` is there only where the machine has several."""
        return {
            "line": self.line,
            "name": self.name or None,
            "roles": [role.value for role in self.roles] or None,
            "mac": self.mac or None,
            **({"other_macs": list(self.other_macs)} if self.other_macs else {}),
            "ip": self.ip or None,
            "problem": self.problem,
        }


def to_machine(row: Row) -> ListedMachine | None:
    """The machine, with the first problem of its values; None for a row that is no machine."""
    problem = row.problem
    values: dict[str, str] = {}

    def take(what: str, text: str, parse: Callable[[str], str]) -> None:
        nonlocal problem
        values[what] = ""
        if not text:
            return
        try:
            values[what] = parse(text)
        except FieldError as error:
            problem = problem or wrong(CALLED[what], error)

    take("mac", row.mac, _mac)
    if values["mac"] and is_group(values["mac"]):
        return None
    macs = {values["mac"]: None} if values["mac"] else {}
    for text in row.other_macs:
        take("other mac", text, _mac)
        macs |= {values["other mac"]: None} if values["other mac"] else {}
    for mac in macs:
        if int(mac[:2], 16) & 1:
            problem = problem or f"MAC: {mac} is a group's address: no NIC has it"
    if row.name and not row.ip and ip_text(row.name):
        # Inventories may use the address as the name.
        row.ip, row.name = row.name, ""
    elif row.name and ip_text(row.name):
        row.name = ""
    take("ip", "" if (row.observed or row.listed) and is_ipv6(row.ip) else row.ip, _ip)
    take("name", row.name, name_text)
    roles: set[Role] = set()
    role_problem = False
    try:
        roles = role_set(row.role, none=True)
    except FieldError as error:
        role_problem = not problem
        problem = problem or wrong("role", error)
    has_roles = bool(roles)
    if not roles and values["name"]:
        roles = {role for role in Role if values["name"].startswith(role.value)}
    if row.observed and row.mac == "" and not values["name"]:
        return None
    enough = values["mac"] or (values["name"] and (values["ip"] or row.listed)) or (row.listed and values["ip"])
    if not enough:
        problem = problem or row.no_mac_reason
    return ListedMachine(
        row.line,
        values["name"],
        tuple(role for role in Role if role in roles),
        values["mac"],
        values["ip"],
        problem,
        row.text,
        row.no_mac_reason,
        has_roles,
        labels=label_tuple(row.role),
        role_problem=role_problem,
        other_macs=tuple(macs)[1:],
    )


def _mac(text: str) -> str:
    mac = mac_text(text)
    if not mac:
        if "*" in text:
            raise FieldError(text, "is a pattern for many machines, not a MAC", "Write one MAC.")
        parse_mac(text)
        raise FieldError(text, "is not a MAC address", "Write six pairs of hex digits.")
    return mac


def _ip(text: str) -> str:
    ip = ip_text(text)
    if not ip:
        parse_address(text)
        raise FieldError(text, "is not an IPv4 address", "Write four numbers from 0 to 255.")
    return ip


def fields_of(items: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Values by field, as `field_of` calls them. Of several keys for one field the best known one counts."""
    best: dict[str, tuple[int, str]] = {}
    for key, value in items:
        field = field_of(key)
        text = _scalar(value)
        if not field or not text or plain_key(key) in NO_KEYS:
            continue
        if field == "ip" and mac_text(text) and not ip_text(text):
            field = "mac"
        rank = RANK.get(plain_key(key), 99)
        if field not in best or rank < best[field][0]:
            best[field] = rank, text
    return {field: text for field, (_, text) in best.items()}


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(text for text in map(_scalar, value) if text)
    return value.strip() if isinstance(value, str) else ""


def row_of(fields: dict[str, str], line: int, name: str = "", role: str = "") -> Row:
    """The row of a machine's fields. `name`, from its place in the text, precedes the one in `fields`."""
    name = name or fields.get("name", "")
    macs = several(fields.get("mac", "")) + several(fields.get("others", ""))
    ips = [word for word in re.split(r"[,\s]+", fields.get("ip", "")) if word]
    address = next((word for word in ips if ip_text(word)), ips[0] if ips else "")
    if name and address and not ip_text(address) and not re.fullmatch(r"[0-9./:]+", address):
        # Ansible's ansible_host may be a name.
        address = ""
    text = " ".join(
        word for word in (fields.get("mac", ""), fields.get("ip", ""), name, fields.get("role", "")) if word
    )
    row = Row(line, text, name, fields.get("role", "") or role, "", address, listed=True)
    set_macs(row, macs)
    return row


def several(text: str) -> list[str]:
    """The words of a place that may have several MACs."""
    return [word for word in re.split(r"[\s,;/+]+", text) if word]


def set_macs(row: Row, macs: list[str]) -> None:
    """The MACs of one machine, as its list says; the first may be "" for none."""
    row.mac, *others = macs or [""]
    row.other_macs = tuple(others)


def wrong(what: str, error: FieldError) -> str:
    """The problem of a value and what is allowed instead, for the user."""
    return f"{what}: {error.message} {error.remedy}"


def more_than_one(what: str, found: list[str]) -> str:
    return f"more than one {what}: {shown(found[0])} and {shown(found[1])}"
