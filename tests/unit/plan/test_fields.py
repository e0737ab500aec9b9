"""What each field's parser takes, refuses, and never lets through."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from netaddr import EUI, IPAddress, IPNetwork

from wizard.plan import fields
from wizard.plan.fields import FieldError, format_mac
from wizard.plan.model import AnswerPolicy, Protocol, Role


@pytest.mark.parametrize(
    "text",
    [
        "B8:AE:ED:7B:51:50",
        "b8-ae-ed-7b-51-50",
        "b8ae.ed7b.5150",
        "B8AEED7B5150",
        "  b8:ae:ed:7b:51:50 ",
    ],
)
def test_a_mac_in_any_common_notation_is_the_same_mac(text: str) -> None:
    mac = fields.parse_mac(text)
    assert mac == EUI("b8:ae:ed:7b:51:50")
    assert str(mac) == format_mac(mac) == "b8:ae:ed:7b:51:50"


@pytest.mark.parametrize("text", ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"])
def test_a_mac_that_no_machine_has_is_left_to_the_rules(text: str) -> None:
    assert format_mac(fields.parse_mac(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "10",
        "b8:ae:ed:7b:51",
        "b8:ae:ed:7b:51:50:00",
        "b8:ae:ed:7b:51:5",
        "b8:ae-ed:7b:51:50",
        "b8:ae:ed:7b:51:5g",
        "0xb8aeed7b5150",
        "b8ae:ed7b:5150",
        "b8:ae:ed:7b:51:50\n",
        "b8:ae:ed:7b:51:50\x00",
        "b8:ae:ed:7b:51:50,192.168.0.9",
        "b8:ae:ed:7b:51:٥0",
    ],
)
def test_what_is_no_mac_is_refused(text: str) -> None:
    with pytest.raises(FieldError) as refused:
        fields.parse_mac(text)
    assert "is not a MAC address" in refused.value.message
    assert "b8:ae:ed:7b:51:50" in refused.value.remedy


def test_an_address_is_ipv4() -> None:
    assert fields.parse_address(" 192.168.0.101 ") == IPAddress("192.168.0.101")
    assert fields.parse_address("192.168.0.101").version == 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "192.168.0",
        "192.168.0.256",
        "192.168.0.01",
        "0x7f.0.0.1",
        "192.168.0.101\n",
        "192.168.0.1 01",
        "192.168.0.١",
        "fe80::1",
        "::ffff:192.168.0.1",
        "192.168.0.101,12h",
        "192.168.0.101#",
        "-1.0.0.0",
        "controller",
    ],
)
def test_what_is_no_ipv4_address_is_refused(text: str) -> None:
    with pytest.raises(FieldError, match="is not an IPv4 address"):
        fields.parse_address(text)


def test_an_address_with_a_prefix_says_to_leave_it_out() -> None:
    with pytest.raises(FieldError) as refused:
        fields.parse_address("192.168.0.101/24")
    assert refused.value.remedy == "Write the address alone: 192.168.0.101."


def test_a_network_is_ipv4_with_its_prefix() -> None:
    assert fields.parse_network(" 10.1.0.0/16") == IPNetwork("10.1.0.0/16")


def test_a_network_with_host_bits_says_which_network_it_would_be() -> None:
    with pytest.raises(FieldError) as refused:
        fields.parse_network("192.168.0.200/24")
    assert "192.168.0.200/24" in refused.value.message
    assert "192.168.0.0/24" in refused.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.168.0.0",
        "192.168.0.0/",
        "192.168.0.0/33",
        "192.168.0.0/024",
        "192.168.0.0/٢٤",
        "192.168.0.0/0.0.0.255",
        "192.168.0.0/255.255.255.0",
        "192.168.0.0/24\n",
        "192.168.0.0/ 24",
        "10/8",
        "fd00::/8",
        "192.168.0.0/24/24",
    ],
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(FieldError) as refused:
        fields.parse_network(text)
    assert refused.value.remedy


@pytest.mark.parametrize("text", ["eth0", "enp0s31f6", "enx00e04c680001", "eth0.100", "wlan-0", "a_b", "0wire"])
def test_ordinary_nic_names_are_taken(text: str) -> None:
    assert fields.parse_nic_name(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "eth0;reboot",
        "$(id)",
        "`id`",
        "a|b",
        "-h",
        ".",
        "..",
        "e*",
        "eth+",
        "eth1,eth0",
        "[red]x",
        "eth\x1b[31m",
        "eth\u202e0",
        "eth0\n",
        "eth 0",
        "eth0:1",
        "eth/0",
        "eth#0",
        "sixteen-letters-",
        "all",
        "default",
        "éth0",
    ],
)
def test_nic_names_that_some_tool_takes_for_more_are_refused(text: str) -> None:
    with pytest.raises(FieldError) as refused:
        fields.parse_nic_name(text)
    assert refused.value.message.isprintable()
    assert refused.value.remedy


def test_a_node_name_is_a_dns_label_in_lower_case() -> None:
    assert fields.parse_node_name("Compute-1") == "compute-1"
    assert fields.parse_node_name("a" * 63) == "a" * 63


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-a",
        "a-",
        "a.b",
        "a_b",
        "a b",
        "a,b",
        "a#b",
        "a'b",
        'a"b',
        "a\n",
        "a\x7f",
        "a" * 64,
        "localhost",
        "ü",
        "\u212aey",
    ],
)
def test_what_is_no_dns_label_is_refused(text: str) -> None:
    with pytest.raises(FieldError):
        fields.parse_node_name(text)


@pytest.mark.parametrize("text", ["12h", "45", "3d", "10s", "2w", "45m", "infinite", "ignore", "Ignore"])
def test_words_that_dnsmasq_would_take_for_a_lease_time_or_an_order_are_no_node_names(text: str) -> None:
    with pytest.raises(FieldError, match="dnsmasq"):
        fields.parse_node_name(text)


@pytest.mark.parametrize(
    ("text", "domain"), [("ciao.lan", "ciao.lan"), ("Lab.Example.", "lab.example"), ("lan", "lan")]
)
def test_a_domain_is_labels_with_dots(text: str, domain: str) -> None:
    assert fields.parse_domain(text) == domain


@pytest.mark.parametrize("text", ["", ".", "a..b", ".a", "a b", "a/b", "a,b", "10.0.0.1", "a\n", "-a.lan", "a." * 101])
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(FieldError):
        fields.parse_domain(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("12h", "12h"),
        ("45M", "45m"),
        ("7d", "7d"),
        ("2w", "2w"),
        ("Infinite", "infinite"),
        ("3600", "3600"),
        ("012h", "12h"),
        ("2m", "2m"),
        ("120", "120"),
    ],
)
def test_lease_times_are_in_dnsmasqs_notation(text: str, canonical: str) -> None:
    assert fields.parse_lease_time(text) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "119",
        "1m",
        "12",
        "h",
        "12 h",
        "-12h",
        "1.5h",
        "12h30m",
        "366d",
        "9999999999w",
        "12h\n",
        "forever",
        "١٢h",
    ],
)
def test_lease_times_that_dnsmasq_would_change_or_refuse_are_refused(text: str) -> None:
    with pytest.raises(FieldError) as refused:
        fields.parse_lease_time(text)
    assert refused.value.remedy


@pytest.mark.parametrize(("value", "port"), [(1, 1), (65535, 65535), ("8889", 8889), (" 22 ", 22)])
def test_ports_are_numbers_or_digits(value: int | str, port: int) -> None:
    assert fields.parse_port(value) == port


@pytest.mark.parametrize(
    "value", [0, -1, 65536, True, False, "", "0", "65536", "+80", "080", "8889\n", "80-90", "٨٠", "http", 10**400]
)
def test_what_is_no_port_is_refused(value: int | str) -> None:
    with pytest.raises(FieldError, match="is not a port"):
        fields.parse_port(value)


def test_choices_are_words_in_any_case() -> None:
    assert fields.parse_role("Controller") is Role.CONTROLLER
    assert fields.parse_answer("everyone") is AnswerPolicy.EVERYONE
    assert fields.parse_protocol("UDP") is Protocol.UDP


@pytest.mark.parametrize("parse", [fields.parse_role, fields.parse_answer, fields.parse_protocol])
def test_an_unknown_choice_is_told_all_there_are(parse: Callable[[str], object]) -> None:
    with pytest.raises(FieldError) as refused:
        parse("sctp")
    assert " or " in refused.value.remedy


def test_roles_are_one_several_or_a_list() -> None:
    both = (Role.NETWORK, Role.COMPUTE)
    assert fields.parse_roles("network, compute") == fields.parse_roles(["network", "compute"]) == both


@pytest.mark.parametrize("value", ["", [], "network,network", ["compute", "boss"]])
def test_no_role_or_one_twice_is_refused(value: str | list[str]) -> None:
    with pytest.raises(FieldError):
        fields.parse_roles(value)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("02:*:*:*:*:*", "02:*:*:*:*:*"), ("02-AB-*-*-*-*", "02:ab:*:*:*:*"), ("B8AE.ED7B.5150", "b8:ae:ed:7b:51:50")],
)
def test_vm_macs_are_macs_with_stars(text: str, pattern: str) -> None:
    assert fields.parse_vm_mac(text) == pattern


@pytest.mark.parametrize(
    "text", ["", "02:*", "0*:*:*:*:*:*", "02:**:*:*:*:*", "02:*:*:*:*:*,id:*", "02:*:*:*:*:*\n", "?2:*:*:*:*:*"]
)
def test_what_is_no_pattern_of_macs_is_refused(text: str) -> None:
    with pytest.raises(FieldError):
        fields.parse_vm_mac(text)


def test_sources_are_the_company_or_networks() -> None:
    both = (IPNetwork("10.1.0.0/16"), IPNetwork("10.9.9.9/32"))
    assert fields.parse_sources("corporate") is None
    assert (
        fields.parse_sources("10.1.0.0/16, 10.9.9.9/32") == fields.parse_sources(["10.1.0.0/16", "10.9.9.9/32"]) == both
    )


def test_a_single_address_among_sources_is_told_its_prefix() -> None:
    with pytest.raises(FieldError) as refused:
        fields.parse_sources(["10.9.9.9"])
    assert "10.9.9.9/32" in refused.value.remedy


@pytest.mark.parametrize("value", ["", [], ["corporate"], "everyone", ["10.0.0.0/8\n"]])
def test_what_is_no_source_is_refused(value: str | list[str]) -> None:
    with pytest.raises(FieldError):
        fields.parse_sources(value)


def test_a_target_is_a_node_or_an_address() -> None:
    assert fields.parse_target("Controller") == "controller"
    assert fields.parse_target("192.168.0.101") == "192.168.0.101"


@pytest.mark.parametrize("text", ["", "192.168.0", "192.168.0.101:80", "a:80", "a;b", "1"])
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(FieldError):
        fields.parse_target(text)


def test_a_refusal_shows_a_hostile_value_escaped_and_cut() -> None:
    with pytest.raises(FieldError) as refused:
        fields.parse_nic_name("\x1b]0;owned\x07\u202e\n" + "x" * 5000)
    assert refused.value.message.isprintable()
    assert r"\x1b]0;owned\x07\u202e\n" in refused.value.value
    assert len(refused.value.message) < 200
