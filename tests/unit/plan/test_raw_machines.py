"""Machines that no plan has: what they may fetch, and what is made of what they say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import IPAddress

from wizard.plan import paths
from wizard.plan.boot_options import boot_options
from wizard.plan.file.read import load_plan
from wizard.plan.netboot import decide_raw, dump_armed, load_armed, load_raw_paths, raw_paths
from wizard.plan.raw_machines import (
    LONGEST_TARGET,
    LONGEST_TEXT,
    MOST,
    RawMachine,
    added,
    bounded,
    dump,
    first_script,
    load,
    page,
    parse_target,
    reservation,
)
from wizard.plan.render import render

EXAMPLE = (Path(__file__).parents[3] / "examples" / "ciao.toml").read_text()
IMAGES = '[[images]]\nname = "d"\nkind = "debian"\n'
GATEWAY = IPAddress("192.168.0.200")
MAC, DASHED = "c0:3f:d5:67:a2:01", "c0-3f-d5-67-a2-01"


def test_it_says_who_it_is() -> None:
    target = f"/raw/{DASHED}?serial=S%2F1&product=NUC%207&manufacturer=&uuid=4c4c-1"
    assert parse_target(target) == RawMachine(MAC, "S/1", "NUC 7", "", "4c4c-1")
    assert parse_target(f"/raw/{DASHED}") == RawMachine(MAC)
    assert parse_target(f"/raw/{DASHED}?serial=1&serial=2&x=y&&=") == RawMachine(MAC, "1")


@pytest.mark.parametrize(
    "target",
    [
        "/raw",
        "/raw/",
        "/raw/x",
        f"/raw/{MAC}",
        f"/raw/{DASHED.upper()}",
        f"/raw/{DASHED}/",
        f"/raw/{DASHED}/../x",
        f"/raw/{DASHED}?serial=\x1b",
        f"/raw/{DASHED}?serial=a b",
        "/raw/01-00-00-00-00-00?serial=1",
        f"/raw/{DASHED}?serial=" + "x" * LONGEST_TARGET,
    ],
)
def test_what_is_no_such_request(target: str) -> None:
    assert parse_target(target) is None
    assert target == "/raw" or decide_raw(raw_paths(GATEWAY), "GET", target).status == 403


@given(st.text(max_size=400), st.text(max_size=100))
def test_nothing_of_it_is_a_script_or_moves_a_terminal(serial: str, product: str) -> None:
    text = page(RawMachine(MAC, bounded(serial), bounded(product)))
    assert not set(text.removeprefix("#!ipxe")) & set("${}&|;<>\\\"'`#")
    assert all(letter == "\n" or (letter.isprintable() and letter.isascii()) for letter in text)
    assert len(text.splitlines()) == len(page(RawMachine(MAC)).splitlines())
    assert max(map(len, text.splitlines())) < LONGEST_TEXT + 20


def test_it_may_fetch_its_loader_and_its_page(tmp_path: Path) -> None:
    table = raw_paths(GATEWAY)
    assert sorted(table) == ["/first/snponly-arm64.efi", "/first/snponly.efi", "/first/undionly.kpxe", "/raw"]
    assert table["/raw"].text == first_script(GATEWAY)
    reply = decide_raw(table, "GET", f"/raw/{DASHED}?serial=1")
    assert (reply.status, reply.stage, reply.raw) == (200, None, True)
    assert reply.machine == RawMachine(MAC, "1")
    assert decide_raw(table, "HEAD", f"/raw/{DASHED}").machine is None
    assert decide_raw(table, "POST", "/raw").status == 405
    text = dump_armed([], table)
    assert load_armed(text) == ()
    assert load_raw_paths(text) == table
    assert load_raw_paths(dump_armed([])) == {}


def test_the_list_is_bounded_and_the_last_are_kept() -> None:
    found: tuple[RawMachine, ...] = ()
    for number in range(MOST + 5):
        found = added(found, RawMachine(f"02:00:00:00:00:{number:02x}", at=number))
    assert len(found) == MOST
    assert found[0].at == 5
    again = added(found, RawMachine(found[0].mac, "new", at=99))
    assert (len(again), again[-1].serial) == (MOST, "new")
    assert load(dump(again)) == again
    for bad in ("", "{", "null", "3", '[{"mac": "x"}]', json.dumps([{**json.loads(dump(again))[0], "mac": "\x1b"}])):
        assert load(bad) == ()


def test_all_are_answered_only_for_so_long_as_the_guard_says_so() -> None:
    assert reservation(True) == "*:*:*:*:*:*,2m\n"
    # Where everybody is answered anyway, nobody's lease becomes shorter.
    assert reservation(False) == "*:*:*:*:*:*\n"
    files = {file.path: file.text for file in render(load_plan(EXAMPLE + IMAGES, "x"), EXAMPLE + IMAGES)}
    assert "*:*:*:*:*:*" not in files[paths.DNSMASQ_HOSTS]
    conf = files[paths.DNSMASQ_CONF].splitlines()
    assert "tag-if=set:raw,tag:known,tag:!planned,tag:!vm" in conf
    assert "dhcp-ignore=tag:raw,tag:!boots" in conf
    everyone = re.sub('answer += "known"', 'answer = "everyone"', EXAMPLE) + IMAGES
    files = {file.path: file.text for file in render(load_plan(everyone, "x"), everyone)}
    assert "dhcp-ignore=tag:raw,tag:!boots" not in files[paths.DNSMASQ_CONF].splitlines()


def test_firmware_of_strangers_is_told_only_while_somebody_looks() -> None:
    gateway = IPAddress("192.168.0.1")
    assert "raw" not in boot_options([], gateway)
    lines = boot_options([], gateway, for_strangers=True).splitlines()[1:]
    assert "tag:raw,tag:ipxe,option:bootfile-name,http://192.168.0.1:8069/raw" in lines
    assert "tag:raw,tag:!ipxe,tag:efi64,option:bootfile-name,snponly.efi" in lines
    assert "tag:raw,option:server-ip-address,192.168.0.1" in lines
    # A machine's own script, and a Raspberry Pi's ROM: there is nothing for them.
    assert not [line for line in lines if "/boot/" in line or "Raspberry" in line]
