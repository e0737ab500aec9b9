"""Machines that no plan has and that boot over the network, while a person looks for such (`boot discover`).

They get an address for two minutes, a boot loader, and a page that says who they are and what to do. What they say of
themselves is anybody's text: of it only `bounded` ones are kept, shown or sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from netaddr import IPAddress

from wizard.plan.images import BootUrls

PATH = "/raw"
"""The URL path of the first script; below it, each machine's page: /raw/MAC?serial=…"""
LONGEST_TARGET = 2048
LONGEST_TEXT = 64
MOST = 64
"""Machines that are kept, and that the packet filter lets ask in ten minutes."""
RESERVATION = "*:*:*:*:*:*"
SHORT_LEASE = "2m"
PAGE_S = 15
"""How long a machine shows its page before it goes on to its disk."""

_TARGET = re.compile(r"/raw/((?:[0-9a-f]{2}-){5}[0-9a-f]{2})(?:\?([!-~]*))?")
_TEXTS = ("serial", "product", "manufacturer", "uuid")
# Nothing that iPXE or a terminal makes something of, such as $, |, ;, & and quotes.
_OTHERS = re.compile(r"[^A-Za-z0-9 ._:()/+,-]")


@dataclass(frozen=True, slots=True)
class RawMachine:
    """What a machine said of itself. `mac`: lower case with colons; texts are `bounded`, "" where it said nothing.

    `at`: Unix time of the last time; `address`: the one that it had then.
    """

    mac: str
    serial: str = ""
    product: str = ""
    manufacturer: str = ""
    uuid: str = ""
    at: float = 0.0
    address: str = ""


def bounded(text: str) -> str:
    """What may be shown of a text by anybody, and sent in a script."""
    return " ".join(_OTHERS.sub("?", text[: 4 * LONGEST_TEXT]).split())[:LONGEST_TEXT]


def parse_target(target: str) -> RawMachine | None:
    """The machine that asks for its page, by a request's target as it came; None where it is no such one."""
    match = _TARGET.fullmatch(target) if len(target) <= LONGEST_TARGET else None
    if match is None or int(match[1][:2], 16) & 1:
        return None
    said: dict[str, str] = {}
    for word in (match[2] or "").split("&"):
        key, _, value = word.partition("=")
        if key in _TEXTS:
            said.setdefault(key, unquote_to_bytes(value).decode("utf-8", "replace"))
    return _machine(match[1].replace("-", ":"), said)


def _machine(mac: str, said: Mapping[str, str], at: float = 0.0, address: str = "") -> RawMachine:
    serial, product, manufacturer, uuid = (bounded(said.get(key, "")) for key in _TEXTS)
    return RawMachine(mac, serial, product, manufacturer, uuid, at, address)


def first_script(gateway: IPAddress) -> str:
    """Has iPXE ask for its page, with what SMBIOS says of the machine."""
    # A UUID is bytes, and its usual form has nothing to encode.
    forms = {key: "uuid" if key == "uuid" else f"{key}:uristring" for key in _TEXTS}
    words = "&".join(f"{key}=${{{form}}}" for key, form in forms.items())
    return f"#!ipxe\nchain {BootUrls(gateway).base}{PATH}/${{mac:hexhyp}}?{words} || exit\n"


def page(machine: RawMachine) -> str:
    """What a machine shows before it goes on to its disk: an iPXE script."""
    rows = (
        ("MAC", machine.mac),
        ("made by", machine.manufacturer),
        ("product", machine.product),
        ("serial", machine.serial),
        ("UUID", machine.uuid),
    )
    told = [
        "This machine is not in the plan of this cluster.",
        *(f"{name} {bounded(value) or '-'}" for name, value in rows),
        "To take it in, run ciao-wizard on the gateway, go to Nodes, and listen.",
        f"It boots from its disk in {PAGE_S} seconds.",
    ]
    return "\n".join(["#!ipxe", *(f"echo {line}" for line in told), f"sleep {PAGE_S}", "exit", ""])


def reservation(known_only: bool) -> str:
    """A line of dnsmasq's hosts file that has it answer those who have no other. Where all are answered anyway
    (`known_only` is False), they keep the leases that they have."""
    return RESERVATION + (f",{SHORT_LEASE}" if known_only else "") + "\n"


def added(machines: Iterable[RawMachine], new: RawMachine) -> tuple[RawMachine, ...]:
    """With another one, or with one seen again; of more than MOST those that were seen last, in that order."""
    others = [machine for machine in machines if machine.mac != new.mac]
    return tuple([*others, new][-MOST:])


def dump(machines: Iterable[RawMachine]) -> str:
    return json.dumps([asdict(machine) for machine in machines]) + "\n"


def load(text: str) -> tuple[RawMachine, ...]:
    """The machines of a record's text, () for one that is damaged."""
    try:
        return tuple(map(from_json, json.loads(text)))[:MOST]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()


def from_json(data: Any) -> RawMachine:
    """Raises ValueError, KeyError, TypeError where it is none."""
    mac = str(data["mac"])
    if re.fullmatch(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", mac) is None:
        raise ValueError
    said = {key: str(data[key]) for key in _TEXTS}
    return _machine(mac, said, float(data["at"]), bounded(str(data["address"])))
