"""Typed access to TOML tables. Each problem is recorded with its key; reading goes on."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from wizard.plan.fields import FieldError, printable, shown

_EXAMPLES = {
    "interfaces": '[interfaces] with corporate = "eth0" and cluster = "eth1"',
    "interfaces.corporate": 'corporate = "eth0", the NIC that leads to the company, or "auto"',
    "interfaces.cluster": 'cluster = "eth1", the NIC that leads to the nodes',
    "network": '[network] with cidr = "192.168.0.0/24"',
    "network.cidr": 'cidr = "192.168.0.0/24"',
    "nodes.name": 'name = "compute1"',
    "nodes.role": 'role = "compute" (or controller, or network)',
    "nodes.mac": 'mac = "b8:ae:ed:7b:51:50"',
    "cluster": '[cluster] with kind = "k3s"',
    "devices.name": 'name = "switch"',
    "devices.mac": 'mac = "b8:ae:ed:7b:51:50"',
    "dns.domain": 'domain = "corp.example"',
    "dns.servers": 'servers = ["10.1.1.53"]',
    "options.option": 'option = "tftp-server"',
    "options.value": 'value = "192.168.0.5"',
    "records.name": 'name = "registry"',
    "bmc": '[bmc] with credentials = "/etc/ciao-wizard/bmc.toml"',
    "bmc.credentials": 'credentials = "/etc/ciao-wizard/bmc.toml"',
    "seeds": '[seeds] with ssh_key = "~/.ssh/id_ed25519.pub"',
    "metrics": '[metrics] with textfile = "/var/lib/prometheus/node-exporter/ciao.prom"',
    "metrics.textfile": 'textfile = "/var/lib/prometheus/node-exporter/ciao.prom"',
    "images.name": 'name = "debian12"',
    "images.kind": 'kind = "debian"',
    "forwards.port": "port = 8889",
    "forwards.to": 'to = "controller"',
}
_KINDS: tuple[tuple[type, str], ...] = (
    (str, "text"),
    (bool, "true or false"),
    (int, "a number"),
    (float, "a number"),
    (list, "a list"),
    (dict, "a table"),
)

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at one key; `value` is "" if it is missing, `line` counts from 1. All texts are safe to show."""

    key: str
    value: str
    line: int | None
    message: str
    remedy: str

    def __str__(self) -> str:
        where = f"line {self.line}, " if self.line is not None else ""
        return f"{where}{self.key}: {self.message} {self.remedy}".rstrip()


class TomlTable:
    """One table and its key path. All tables of a file share the list of problems."""

    def __init__(self, data: dict[str, object], path: str, problems: list[Problem]) -> None:
        self.data = data
        self.path = path
        self.problems = problems

    def refuse(self, key: str, value: object, message: str, remedy: str) -> None:
        shown_value = "" if value is None else shown(value)
        self.problems.append(Problem(self.key_path(key), shown_value, None, message, remedy))

    def key_path(self, key: str) -> str:
        return f"{self.path}.{printable(key)}" if self.path else printable(key)

    def only(self, *known: str) -> None:
        """Refuse every key but these."""
        for key in self.data:
            if key in known:
                continue
            near = difflib.get_close_matches(key[:80].lower(), known, 1)
            remedy = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(known)}."
            self.refuse(key, key, f"{shown(key)} is not a key of {self._name()}.", remedy)

    def required(self, key: str, parse: Callable[[object], Value]) -> Value | None:
        """The value; None, with a problem recorded, if it is missing or invalid."""
        if key in self.data:
            return self.optional(key, parse, None)
        self.missing(key)
        return None

    def missing(self, key: str) -> None:
        generic = self.key_path(key)
        if "[" in generic:
            generic = f"{generic.partition('[')[0]}.{key}"
        self.refuse(key, None, f"{self._name()} lacks {key}.", f"Add {_EXAMPLES[generic]}.")

    def optional(self, key: str, parse: Callable[[object], Value], default: Value) -> Value:
        """The value; `default` if it is missing or, with a problem recorded, invalid."""
        if key not in self.data:
            return default
        value = self.data[key]
        try:
            return parse(value)
        except FieldError as error:
            self.refuse(key, value, error.message, error.remedy)
            return default

    def table(self, key: str) -> TomlTable | None:
        value = self.data.get(key)
        if isinstance(value, dict):
            return TomlTable(value, self.key_path(key), self.problems)
        if value is None:
            self.missing(key)
        else:
            self.refuse(key, value, f"{key} is {kind(value)}, not one table.", f"Write {_EXAMPLES[key]}.")
        return None

    def tables(self, key: str) -> list[TomlTable]:
        value = self.data.get(key, [])
        path = self.key_path(key)
        if not isinstance(value, list):
            message = f"{key} is {kind(value)}, not an array of tables."
            self.refuse(key, value, message, f"Write a [[{key}]] section for each of them.")
            return []
        found = []
        for number, item in enumerate(value):
            if isinstance(item, dict):
                found.append(TomlTable(item, f"{path}[{number}]", self.problems))
            else:
                message = f"{shown(item)} is {kind(item)}, not a table."
                self.refuse(f"{key}[{number}]", item, message, f"Write a [[{key}]] section for each of them.")
        return found

    def _name(self) -> str:
        if not self.path:
            return "a plan"
        return f"[[{self.path.partition('[')[0]}]]" if "[" in self.path else f"[{self.path}]"


def kind(value: object) -> str:
    """The type of a TOML value, in words."""
    return next((words for cls, words in _KINDS if isinstance(value, cls)), "a date or a time")


def as_text(parse: Callable[[str], Value]) -> Callable[[object], Value]:
    """`parse` for a key whose value must be text."""

    def checked(value: object) -> Value:
        if not isinstance(value, str):
            remedy = "Write it in quotes." if isinstance(value, (int, float)) else "Write text in quotes."
            raise FieldError(value, f"is {kind(value)}, not text", remedy)
        return parse(value)

    return checked


def as_texts(value: object) -> list[str]:
    """The items of a list of texts."""
    if not isinstance(value, list):
        raise FieldError(value, f"is {kind(value)}, not a list", 'Write it in brackets, such as ["…"].')
    for item in value:
        if not isinstance(item, str):
            raise FieldError(item, f"is {kind(item)}, not text", "Write every item of the list in quotes.")
    return list(value)


def as_number(parse: Callable[[int], Value]) -> Callable[[object], Value]:
    """`parse` for a key whose value must be a whole number."""

    def checked(value: object) -> Value:
        if isinstance(value, bool) or not isinstance(value, int):
            raise FieldError(value, f"is {kind(value)}, not a whole number", "Write digits alone, without quotes.")
        return parse(value)

    return checked
