"""A node's BMC in the plan: its address, with or without the protocol to ask it in."""

from __future__ import annotations

from pathlib import Path

import pytest
from netaddr import IPAddress

from wizard.plan.draft.model import Draft
from wizard.plan.fields import FieldError, format_bmc, parse_bmc
from wizard.plan.file.read import load_plan
from wizard.plan.file.write import dump_plan
from wizard.plan.model import Plan

EXAMPLE = (Path(__file__).parents[3] / "examples" / "ciao.toml").read_text()
ADDRESS = IPAddress("192.168.0.151")


@pytest.mark.parametrize(
    ("text", "protocol"),
    [("192.168.0.151", ""), ("ipmi://192.168.0.151", "ipmi"), ("redfish://192.168.0.151", "redfish")],
)
def test_what_is_written_is_what_is_read(text: str, protocol: str) -> None:
    assert parse_bmc(f" {text} ") == (ADDRESS, protocol)
    assert format_bmc(ADDRESS, protocol) == text
    plan = with_bmc(text)
    assert (plan.nodes[0].bmc, plan.nodes[0].bmc_protocol) == (ADDRESS, protocol)
    assert load_plan(dump_plan(plan), "written") == plan
    assert load_plan(dump_plan(plan, EXAMPLE), "edited") == plan
    assert Draft.from_plan(plan).to_plan() == plan


def with_bmc(text: str) -> Plan:
    return load_plan(EXAMPLE.replace('ip   = "192.168.0.101"', f'ip   = "192.168.0.101"\nbmc = "{text}"'), "ciao.toml")


@pytest.mark.parametrize(
    "text",
    [
        "https://192.168.0.151",
        "IPMI://192.168.0.151",
        "://192.168.0.151",
        "ipmi://",
        "ipmi://bmc.example",
        "ipmi://admin:x@192.168.0.151",
        "ipmi://192.168.0.151:623",
        "ipmi://192.168.0.151/24",
        "ipmi://ipmi://192.168.0.151",
        "ipmi:192.168.0.151",
        "ipmi://192.168.0.151\n",
        "ipmi://192.168.0.151;reboot",
    ],
)
def test_what_is_no_address_of_a_bmc_is_refused(text: str) -> None:
    with pytest.raises(FieldError) as refused:
        parse_bmc(text)
    assert "four numbers" in f"{refused.value.remedy}" or "the address alone" in refused.value.remedy
