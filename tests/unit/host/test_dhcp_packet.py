"""The question and the answers, byte by byte."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.host.dhcp_frames import (
    MAC,
    NOWHERE,
    OFFER,
    OPTIONS,
    SERVER_ID,
    TYPE_OFFER,
    XID,
    answer,
    bootp,
    offer_to_us,
)
from wizard.host.dhcp.packet import build_discover, build_inform, parse_reply, parse_request


def ones_sum(data: bytes) -> int:
    """What a right Internet checksum, summed with its data, comes to: 0xffff."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    return (total & 0xFFFF) + (total >> 16)


def altered(frame: bytes, at: int, value: int) -> bytes:
    return frame[:at] + bytes((value,)) + frame[at + 1 :]


def test_the_question_is_a_discover_and_nothing_more() -> None:
    frame = build_discover(MAC, XID, 7)
    assert frame[:14] == b"\xff" * 6 + MAC + b"\x08\x00"
    ip, udp = frame[14:34], frame[34:]
    assert (ip[12:16], ip[16:20], ip[9]) == (bytes(4), b"\xff" * 4, 17)
    assert struct.unpack("!HHH", udp[:6]) == (68, 67, len(udp))
    assert struct.unpack("!H", ip[2:4]) == (20 + len(udp),)
    dhcp = udp[8:]
    assert struct.unpack("!BBBBIHH", dhcp[:12]) == (1, 1, 6, 0, XID, 7, 0x8000)
    assert dhcp[12:28] == bytes(16)
    assert dhcp[28:44] == MAC + bytes(10)
    assert dhcp[236:243] == b"\x63\x82\x53\x63\x35\x01\x01"
    assert len(dhcp) >= 300


def test_no_option_asks_for_an_address_or_for_less_than_an_offer() -> None:
    options = build_discover(MAC, XID, 0)[282:]
    codes, at = [], 0
    while options[at] != 0xFF:
        codes.append(options[at])
        at += 2 + options[at + 1]
    assert codes == [53, 55], "no requested address, no server, no rapid commit"


@given(st.binary(min_size=6, max_size=6), st.integers(0, 2**32 - 1), st.integers(0, 10**6))
def test_both_checksums_of_the_question_hold(mac: bytes, xid: int, secs: int) -> None:
    frame = build_discover(mac, xid, secs)
    ip, udp = frame[14:34], frame[34:]
    assert ones_sum(ip) == 0xFFFF
    pseudo = ip[12:20] + struct.pack("!BBH", 0, 17, len(udp))
    assert ones_sum(pseudo + udp + b"\0" * (len(udp) % 2)) == 0xFFFF
    assert struct.unpack("!H", frame[50:52]) == (min(secs, 0xFFFF),)


def test_a_host_name_goes_along_if_it_is_one() -> None:
    assert b"\x0c\x04gw01" in build_discover(MAC, XID, 0, "gw01")
    for bad in ("", "a.b", "x" * 64, "a\n", "ü"):
        with pytest.raises(ValueError, match="label"):
            build_discover(MAC, XID, 0, bad)
    with pytest.raises(ValueError, match="six"):
        build_discover(b"\x02", XID, 0)


def test_an_offer_is_read() -> None:
    assert offer_to_us(answer()) == OFFER


def test_the_relay_is_named() -> None:
    assert offer_to_us(answer(bootp(relay="10.77.9.1"))) == replace(OFFER, relay="10.77.9.1")


@pytest.mark.parametrize(
    ("tags", "vlan"),
    [
        (b"\x81\x00\x00\x2a", 42),
        (b"\x88\xa8\x00\x07\x81\x00\x00\x2a", 7),
        (b"\x81\x00\xe0\x00", None),
        (b"\x91\x00\x00\x07\x81\x00\x00\x2a\x81\x00\x00\x01", 7),
    ],
    ids=["one tag", "two tags", "priority only", "three tags"],
)
def test_an_offer_inside_vlan_tags_is_read(tags: bytes, vlan: int | None) -> None:
    assert offer_to_us(answer(tags=tags)) == replace(OFFER, vlan=vlan)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(answer(ip_options=b"\x01" * 8), id="IP options"),
        pytest.param(answer() + bytes(20), id="Ethernet padding"),
        pytest.param(answer(ports=(1067, 68)), id="another source port"),
        pytest.param(answer(bootp(b"\0\0" + OPTIONS)), id="pad options"),
        pytest.param(answer(bootp(OPTIONS[:-1])), id="no end option"),
        pytest.param(answer(bootp(b"\x34\x01\x01\xff", file=OPTIONS)), id="overload: file"),
        pytest.param(answer(bootp(b"\x34\x01\x02\xff", sname=OPTIONS)), id="overload: sname"),
        pytest.param(answer(bootp(b"\x34\x01\x03" + TYPE_OFFER, sname=SERVER_ID + b"\xff")), id="overload: both"),
        pytest.param(answer(bootp(SERVER_ID + b"\x35\x01\x05\xff")), id="rapid commit's ACK"),
        pytest.param(answer(bootp(OPTIONS, file=b"\x36\x04\x01\x02\x03\x04")), id="a boot file's name, no overload"),
    ],
)
def test_an_offer_may_look_like_this_too(frame: bytes) -> None:
    assert offer_to_us(frame) == OFFER


def test_a_bootp_server_without_a_name_is_a_server() -> None:
    assert offer_to_us(answer(bootp(b"\xff"))) == replace(OFFER, server_id="")


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"", id="empty"),
        pytest.param(answer()[:13], id="half a header"),
        pytest.param(altered(answer(), 12, 0x86), id="not IPv4"),
        pytest.param(answer(tags=b"\x81\x00\x00\x01" * 5), id="five tags"),
        pytest.param(answer(tags=b"\x81\x00\x00\x01")[:15], id="half a tag"),
        pytest.param(altered(answer(), 14, 0x65), id="IP version 6"),
        pytest.param(altered(answer(), 14, 0x44), id="IP header too short"),
        pytest.param(altered(answer(), 14, 0x4F), id="IP header too long"),
        pytest.param(altered(answer(), 16, 0x09), id="IP longer than the frame"),
        pytest.param(altered(answer(), 16, 0x00), id="IP shorter than its headers"),
        pytest.param(altered(answer(), 20, 0x20), id="first fragment"),
        pytest.param(altered(answer(), 21, 0x01), id="later fragment"),
        pytest.param(altered(answer(), 23, 6), id="TCP"),
        pytest.param(answer(ports=(68, 67)), id="a client's question"),
        pytest.param(altered(answer(), 38, 0x09), id="UDP longer than IP"),
        pytest.param(altered(answer(), 39, 0x07), id="UDP shorter than itself"),
        pytest.param(altered(answer(), 42, 1), id="a request"),
        pytest.param(altered(answer(), 43, 6), id="not Ethernet"),
        pytest.param(altered(answer(), 44, 16), id="MAC of sixteen bytes"),
        pytest.param(altered(answer(), 46, 0), id="another's transaction"),
        pytest.param(altered(answer(), 70, 0), id="another's MAC"),
        pytest.param(altered(answer(), 278, 0), id="no magic"),
        pytest.param(answer(bootp()[:239]), id="cut in the magic"),
        pytest.param(answer(bootp(b"\x35\x01\x01\xff")), id="a DISCOVER sent back"),
        pytest.param(answer(bootp(b"\x35\x00\xff")), id="empty type"),
        pytest.param(answer(bootp(b"\x35")), id="option without a length"),
        pytest.param(answer(bootp(b"\x35\x05\x02")), id="option beyond the end"),
        pytest.param(answer(bootp(TYPE_OFFER + b"\x36\x03\x01\x01\x01\xff")), id="server of three bytes"),
        pytest.param(answer(bootp(OPTIONS[:-1] + b"\x34\x01\x04\xff")), id="unheard-of overload"),
        pytest.param(answer(bootp(b"\x34\x01\x02\xff", sname=b"\x35\xff")), id="overload beyond the end"),
    ],
)  # fmt: skip
def test_this_is_no_answer_to_us(frame: bytes) -> None:
    assert offer_to_us(frame) is None


def test_an_overload_cannot_send_us_round_in_circles() -> None:
    frame = answer(bootp(b"\x34\x01\x03" + TYPE_OFFER, sname=b"\x34\x01\x03\xff", file=b"\x34\x01\x03\xff"))
    assert offer_to_us(frame) == replace(OFFER, server_id="")


def test_an_answer_to_somebody_else_is_seen_for_what_it_is() -> None:
    reply = parse_reply(answer())
    assert reply is not None
    assert (reply.offer, reply.xid, reply.mac, reply.decides) == (OFFER, XID, MAC, True)
    nak, pxe = (
        parse_reply(answer(bootp(b"\x35\x01\x06\xff", offered=NOWHERE))),
        parse_reply(answer(bootp(offered=NOWHERE))),
    )
    assert nak is not None
    assert nak.decides
    assert pxe is not None
    assert not pxe.decides, "a PXE server beside the DHCP server offers no address"
    informs = parse_reply(answer(bootp(SERVER_ID + b"\x35\x01\x05\xff", offered=NOWHERE)))
    boots = parse_reply(answer(bootp(b"\x3c\x09PXEClient" + SERVER_ID + b"\x35\x01\x05\xff", offered=NOWHERE)))
    assert informs is not None
    assert informs.decides, "who tells a machine about its network serves that network"
    assert boots is not None
    assert not boots.decides


def test_an_answer_to_a_relay_is_one_too() -> None:
    frame = answer(bootp(relay="10.77.9.1"), ports=(67, 67))
    assert parse_reply(frame) is None
    reply = parse_reply(frame, 67)
    assert reply is not None
    assert reply.offer.relay == "10.77.9.1"


def test_a_question_for_another_machine_comes_from_us() -> None:
    node = bytes.fromhex("b8aeed7b5150")
    asked = parse_request(build_discover(MAC, XID, 0, client=node))
    assert asked is not None
    assert (asked.mac, asked.kind) == ("b8:ae:ed:7b:51:50", "discover")
    assert build_discover(MAC, XID, 0, client=node)[6:12] == MAC


def test_an_inform_takes_nothing_and_has_checksums_that_hold() -> None:
    frame = build_inform(MAC, bytes((192, 168, 0, 9)), XID)
    assert ones_sum(frame[14:34]) == 0xFFFF
    assert b"\x35\x01\x08" in frame
    assert (frame[26:30], frame[54:58]) == (bytes((192, 168, 0, 9)),) * 2


@given(st.binary(max_size=700))
@example(answer())
def test_no_bytes_raise(frame: bytes) -> None:
    offer_to_us(frame)


@given(st.data())
def test_no_damage_to_an_offer_raises(data: st.DataObject) -> None:
    frame = bytearray(answer(bootp(b"\x34\x01\x03" + OPTIONS, sname=OPTIONS, file=OPTIONS), tags=b"\x81\x00\x00\x2a"))
    for at in data.draw(st.lists(st.integers(0, len(frame) - 1), max_size=8)):
        frame[at] = data.draw(st.integers(0, 255))
    offer_to_us(bytes(frame[: data.draw(st.integers(0, len(frame)))]))


@given(st.binary(max_size=400), st.binary(max_size=64), st.binary(max_size=128))
def test_no_options_raise(options: bytes, sname: bytes, file: bytes) -> None:
    offer = offer_to_us(answer(bootp(TYPE_OFFER + options, sname=sname, file=file)))
    assert offer is None or all(str(IPv4Address(ip)) == ip for ip in (offer.server_id or NOWHERE, offer.offered_ip))
