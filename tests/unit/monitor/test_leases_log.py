"""dnsmasq's log, in the words of dnsmasq 2.90."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from wizard.host.dhcp.dnsmasq_log import DnsmasqLog, IgnoredClient, ignored_in, reasons_in

NOW = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)

# dnsmasq -k --log-facility=-
PLAIN = """\
dnsmasq[44]: started, version 2.90 DNS disabled
dnsmasq-dhcp[44]: DHCP, IP range 192.168.0.65 -- 192.168.0.126, lease time 12h
dnsmasq-dhcp[44]: DHCP, sockets bound exclusively to interface eth1
dnsmasq-dhcp[44]: DHCPDISCOVER(eth1) c0:3f:d5:67:a2:01 ignored
dnsmasq-dhcp[44]: DHCPDISCOVER(eth1) c0:3f:d5:67:a2:01 ignored
dnsmasq-dhcp[44]: DHCPDISCOVER(eth1) b8:ae:ed:7b:51:50\x20
dnsmasq-dhcp[44]: DHCPOFFER(eth1) 192.168.0.101 b8:ae:ed:7b:51:50\x20
dnsmasq-dhcp[44]: DHCPREQUEST(eth1) 192.168.0.101 b8:ae:ed:7b:51:50\x20
dnsmasq-dhcp[44]: DHCPACK(eth1) 192.168.0.101 b8:ae:ed:7b:51:50 controller
"""

# dnsmasq --log-facility=FILE --log-dhcp
FILED = """\
Nov 22 12:35:04 dnsmasq-dhcp[43]: 3569453878 available DHCP range: 192.168.0.65 -- 192.168.0.126
Nov 22 12:35:04 dnsmasq-dhcp[43]: 3569453878 vendor class: udhcp 1.35.0
Nov 22 12:35:04 dnsmasq-dhcp[43]: 3569453878 client provides name: stranger
Nov 22 12:35:04 dnsmasq-dhcp[43]: 3569453878 DHCPDISCOVER(eth1) c0:3f:d5:67:a2:01 ignored
Nov 22 12:35:12 dnsmasq-dhcp[43]: 4660 BOOTP(eth1) aa:bb:cc:11:22:33 ignored
Nov 22 12:35:12 dnsmasq-dhcp[43]: 4660 DHCPINFORM(eth1) 192.168.0.9 aa:bb:cc:11:22:44 ignored
"""

TAKEN = """\
dnsmasq-dhcp[43]: not using configured address 192.168.0.80 because it is leased to 02:11:22:33:44:55
dnsmasq-dhcp[43]: 3215102844 DHCPDISCOVER(eth1) c0:3f:d5:63:ea:dd\x20
dnsmasq-dhcp[43]: 3215102844 DHCPOFFER(eth1) 192.168.0.79 c0:3f:d5:63:ea:dd\x20
dnsmasq-dhcp[43]: 3215102844 DHCPREQUEST(eth1) 192.168.0.79 c0:3f:d5:63:ea:dd\x20
dnsmasq-dhcp[43]: 3215102844 DHCPACK(eth1) 192.168.0.79 c0:3f:d5:63:ea:dd compute1
"""


def test_who_was_ignored_and_how_often() -> None:
    assert ignored_in(PLAIN) == {"c0:3f:d5:67:a2:01": IgnoredClient("c0:3f:d5:67:a2:01", 2)}


def test_times_and_names_where_the_log_has_them() -> None:
    found = ignored_in(FILED, now=NOW)

    assert found["c0:3f:d5:67:a2:01"] == IgnoredClient(
        "c0:3f:d5:67:a2:01", 1, datetime(2026, 11, 22, 12, 35, 4, tzinfo=UTC), "stranger"
    )
    assert set(found) == {"c0:3f:d5:67:a2:01", "aa:bb:cc:11:22:33", "aa:bb:cc:11:22:44"}
    assert found["aa:bb:cc:11:22:33"].hostname == ""


def test_a_name_that_may_be_another_machines_is_not_taken() -> None:
    other = "dnsmasq-dhcp[4]: 6 client provides name: other\n"
    nobodys = "dnsmasq-dhcp[4]: client provides name: nobodys\n"
    text = other + nobodys + "dnsmasq-dhcp[4]: 7 DHCPDISCOVER(eth1) c0:3f:d5:67:a2:01 ignored\n" + PLAIN

    assert ignored_in(text)["c0:3f:d5:67:a2:01"].hostname == ""


def test_a_line_of_last_december_read_in_january() -> None:
    line = "Dec 31 23:59:58 dnsmasq-dhcp[4]: DHCPDISCOVER(eth1) c0:3f:d5:67:a2:01 ignored\n"
    seen = ignored_in(line, now=datetime(2027, 1, 1, tzinfo=UTC))["c0:3f:d5:67:a2:01"]

    assert seen.last_seen == datetime(2026, 12, 31, 23, 59, 58, tzinfo=UTC)


def test_times_with_a_zone_and_a_host_before_the_name() -> None:
    text = (
        "2026-11-22T12:35:04+01:00 dnsmasq-dhcp[4]: DHCPDISCOVER(eth1) c0:3f:d5:67:a2:01 ignored\n"
        "Nov  2 12:35:04 laptop dnsmasq-dhcp[4]: DHCPDISCOVER(eth1) c0:3f:d5:67:a2:02 ignored\n"
    )
    found = ignored_in(text, now=NOW)

    assert found["c0:3f:d5:67:a2:01"].last_seen == datetime(2026, 11, 22, 11, 35, 4, tzinfo=UTC)
    assert found["c0:3f:d5:67:a2:02"].last_seen == datetime(2026, 11, 2, 12, 35, 4, tzinfo=UTC)


def test_a_machine_that_calls_itself_ignored_is_not() -> None:
    line = "Nov 30 12:00:00 dnsmasq-dhcp[1]: DHCPACK(eth1) 192.168.0.101 b8:ae:ed:7b:51:50 ignored\n"
    assert ignored_in(line) == {}


def test_who_got_an_address_since_is_no_longer_ignored() -> None:
    text = PLAIN + "dnsmasq-dhcp[44]: DHCPACK(eth1) 192.168.0.70 c0:3f:d5:67:a2:01 late\n"

    assert ignored_in(text) == {}


def test_a_reservation_that_was_not_kept_is_told_of_the_one_who_lost_it() -> None:
    assert reasons_in(TAKEN) == {
        "c0:3f:d5:63:ea:dd": "192.168.0.80 is reserved for it, but is leased to 02:11:22:33:44:55"
    }


def test_a_reservation_kept_in_the_end_is_forgotten() -> None:
    assert reasons_in(TAKEN + "dnsmasq-dhcp[43]: DHCPACK(eth1) 192.168.0.80 c0:3f:d5:63:ea:dd compute1\n") == {}


def test_declined_addresses_are_told() -> None:
    text = (
        "dnsmasq-dhcp[43]: not using configured address 192.168.0.101 because it was previously declined\n"
        "dnsmasq-dhcp[43]: 4660 DHCPDISCOVER(eth1) b8:ae:ed:7b:51:50 \n"
    )

    assert reasons_in(text) == {"b8:ae:ed:7b:51:50": "192.168.0.101 is reserved for it, but was previously declined"}


def test_refusals_in_words_until_the_next_lease() -> None:
    refused = "dnsmasq-dhcp[43]: DHCPNAK(eth1) 192.168.0.101 b8:ae:ed:7b:51:50 wrong server-ID\n"

    assert "another DHCP server" in reasons_in(refused)["b8:ae:ed:7b:51:50"]
    assert reasons_in(refused + "dnsmasq-dhcp[43]: DHCPACK(eth1) 192.168.0.101 b8:ae:ed:7b:51:50 x\n") == {}


def test_a_machine_named_like_a_refusal_is_none() -> None:
    assert reasons_in("dnsmasq-dhcp[43]: DHCPACK(eth1) 192.168.0.7 b8:ae:ed:7b:51:50 no leases left\n") == {}


def test_a_full_range() -> None:
    text = "dnsmasq-dhcp[43]: DHCPDISCOVER(eth1) b8:ae:ed:7b:51:50 no address available\n"

    assert reasons_in(text) == {"b8:ae:ed:7b:51:50": "no address is left for it in the range"}


@given(st.text() | st.text().map(lambda said: f"dnsmasq-dhcp[1]: {said}\n"))
@settings(max_examples=200, deadline=None)
def test_no_text_makes_it_stumble(text: str) -> None:
    ignored_in(text, now=NOW)
    reasons_in(text)


def test_names_are_made_fit_to_be_shown() -> None:
    text = (
        "dnsmasq-dhcp[4]: 7 client provides name: \x1b[31mevil\u202e" + "x" * 900 + "\n"
        "dnsmasq-dhcp[4]: 7 DHCPDISCOVER(eth1) c0:3f:d5:67:a2:01 ignored\n"
    )
    name = ignored_in(text)["c0:3f:d5:67:a2:01"].hostname

    assert name.isprintable()
    assert len(name) == 64


def test_what_the_gateway_asks_in_a_nodes_place_is_no_sign_of_that_node() -> None:
    walked = (
        "Nov 30 08:32:07 dnsmasq-dhcp[393]: DHCPDISCOVER(eth1) 127.0.67.68 b8:ae:ed:7b:51:50 \n"
        "Nov 30 08:32:07 dnsmasq-dhcp[393]: DHCPOFFER(eth1) 192.168.0.101 b8:ae:ed:7b:51:50 \n"
    )
    log = DnsmasqLog()
    log.feed(walked)
    assert log.request_times == {}
    log.feed(walked + walked.replace(" 127.0.67.68", "") + walked)
    assert list(log.request_times) == ["b8:ae:ed:7b:51:50"]
    ignored = "Nov 30 08:32:07 dnsmasq-dhcp[393]: DHCPDISCOVER(eth1) 127.0.67.68 b8:ae:ed:7b:51:50 ignored\n"
    log.feed(ignored)
    assert log.ignored == {}


def test_an_address_that_was_declined_is_a_reason_until_there_is_another() -> None:
    log = DnsmasqLog()
    log.feed("dnsmasq-dhcp[43]: DHCPDECLINE(eth1) 192.168.0.70 02:11:22:33:44:55\n")
    assert log.reasons == {"02:11:22:33:44:55": "it declined 192.168.0.70: another machine answers there"}
    log.feed("dnsmasq-dhcp[43]: DHCPACK(eth1) 192.168.0.71 02:11:22:33:44:55\n")
    assert log.reasons == {}


def test_an_address_that_is_not_to_be_had_is_named_also_where_no_other_is_left() -> None:
    declined = "dnsmasq-dhcp[9]: not using configured address 192.168.0.103 because it was previously declined\n"
    text = declined + "dnsmasq-dhcp[9]: DHCPDISCOVER(eth1) c0:3f:d5:67:a1:fb no address available\n"
    assert reasons_in(text) == {
        "c0:3f:d5:67:a1:fb": "192.168.0.103 is reserved for it, but was previously declined; "
        "no address is left for it in the range"
    }
    # The next one has another reason.
    other = "dnsmasq-dhcp[9]: DHCPDISCOVER(eth1) 02:31:00:00:00:01 no address available\n"
    assert reasons_in(text + other)["02:31:00:00:00:01"] == "no address is left for it in the range"
