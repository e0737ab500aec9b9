"""What no parser lets through, whatever it is given."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import EUI

from wizard.plan import fields
from wizard.plan.fields import FieldError, format_mac

PARSERS: dict[str, Callable[[str], Any]] = {
    name: getattr(fields, name) for name in dir(fields) if name.startswith("parse_")
}

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]*")
SAFE_PATTERN = re.compile(r"[a-f0-9:*]+")
SAFE_PATH = re.compile(r"(/[A-Za-z0-9._+@-]+)+")
SAFE_BMC = re.compile(r"[0-9.]+|redfish|ipmi|")
OTHERWISE = {"parse_vm_mac": SAFE_PATTERN, "parse_path": SAFE_PATH, "parse_textfile": SAFE_PATH, "parse_bmc": SAFE_BMC}


def as_texts(value: Any) -> list[str]:
    if isinstance(value, tuple):
        return [text for item in value for text in as_texts(item)]
    return [] if value is None else [str(value)]


# Mostly characters that such fields are made of, so that a good part of the texts gets far.
LIKELY = st.text(
    st.sampled_from("0123456789abcdefhmdw:.-/* ,;#'\"$`|&<>(){}[]\\\n\r\t\x00\x1b\x7f\u202e\u0663éK"), max_size=24
)


@pytest.mark.parametrize("name", sorted(PARSERS))
@given(text=st.one_of(st.text(max_size=40), LIKELY))
def test_no_parser_lets_anything_through_that_a_tool_could_take_for_more(name: str, text: str) -> None:
    refused = fields.field_error(PARSERS[name], text)
    if refused is not None:
        assert refused.message.isprintable()
        assert refused.remedy
        assert refused.remedy.isprintable()
        return
    allowed = OTHERWISE.get(name, SAFE)
    for out in as_texts(PARSERS[name](text)):
        assert allowed.fullmatch(out)


@pytest.mark.parametrize("name", sorted(PARSERS))
@given(text=LIKELY)
def test_what_a_parser_returns_it_takes_again(name: str, text: str) -> None:
    try:
        value = PARSERS[name](text)
    except FieldError:
        return
    if value is None:
        return
    again = ",".join(as_texts(value)) if isinstance(value, tuple) else str(value)
    again = fields.format_bmc(*value) if name == "parse_bmc" else again
    assert PARSERS[name](again) == value


@given(st.integers(0, (1 << 48) - 1))
def test_every_mac_survives_being_written(value: int) -> None:
    mac = EUI(value, version=48)
    assert fields.parse_mac(format_mac(mac)) == mac
    assert re.fullmatch("[0-9a-f]{2}(:[0-9a-f]{2}){5}", format_mac(mac))
