"""What a rack with options, records and devices costs: by its machines, and not by their pairs. Calls are counted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from wizard.plan.file.read import load_plan
from wizard.plan.findings import Severity
from wizard.plan.model import Plan
from wizard.plan.names import hosts, record_options
from wizard.plan.render import render
from wizard.plan.rules.check import check_plan

SMALL, LARGE = 200, 2_000


def rack(nodes: int) -> str:
    """Of four nodes one has an option of its own, one an alias, one an SRV record, one a device beside it."""
    parts = [
        'version = 1\n[cluster]\nkind = "k3s"\n[interfaces]\ncorporate = "eth0"\ncluster = "eth1"\n'
        '[network]\ncidr = "10.32.0.0/16"\ngateway = "10.32.255.254"\ndhcp_slice = "10.32.192.0/19"\n',
        '[[options]]\noption = "tftp-server"\nvalue = "10.32.0.5"',
        '[[options]]\noption = 224\nvalue = "00:01"\nto = ["agent"]',
    ]
    for number in range(nodes):
        low = f"{number >> 8:02x}:{number & 255:02x}"
        role = "server" if number == 0 else "agent"
        parts.append(
            f'[[nodes]]\nname = "n{number}"\nrole = "{role}"\nmac = ["52:54:00:00:{low}", "52:54:00:01:{low}"]'
        )
        kind = number % 4
        if kind == 0:
            parts.append(f'[[options]]\noption = "bootfile-name"\nvalue = "/n{number}"\nto = ["n{number}"]')
        elif kind == 1:
            parts.append(f'[[records]]\nname = "c{number}"\ncname = "n{number}"')
        elif kind == 2:
            parts.append(f'[[records]]\nname = "_x._tcp.s{number}"\nsrv = "0 0 1 n{number}"')
        else:
            parts.append(f'[[records]]\nname = "r{number}"\na = "10.33.{number >> 8}.{number & 255}"')
            parts.append(f'[[devices]]\nname = "d{number}"\nmac = "52:55:00:00:{low}"')
    return "\n\n".join(parts) + "\n"


def calls(act: Callable[[], Any]) -> int:
    """How many functions are called, Python's and built-in ones."""
    found = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal found
        found += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(before)
    return found


TEXTS = {count: rack(count) for count in (SMALL, LARGE)}
PLANS = {count: load_plan(text, "large") for count, text in TEXTS.items()}
STEPS: dict[str, Callable[[Plan, str], Any]] = {
    "read": lambda _plan, text: load_plan(text, "large"),
    "check": lambda plan, _text: check_plan(plan),
    "render": render,
    "names": lambda plan, _text: (hosts(plan, "", 0), record_options(plan)),
}


def test_the_rack_is_a_plan_without_errors() -> None:
    assert not [found for found in check_plan(PLANS[LARGE]) if found.severity is Severity.ERROR]


@pytest.mark.parametrize("step", STEPS)
def test_ten_times_the_machines_cost_ten_times_the_calls(step: str) -> None:
    # The first time loads templates.
    STEPS[step](PLANS[SMALL], TEXTS[SMALL])
    small, large = (calls(partial(STEPS[step], PLANS[count], TEXTS[count])) for count in (SMALL, LARGE))
    assert small > SMALL
    # Sorting takes a little more.
    assert large < 12 * small
