"""Who gives the nodes the time, by the plan and the machine; and what that is rendered to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from netaddr import IPAddress, IPNetwork

from wizard.plan.draft.model import Draft, dump_draft, load_draft, readdressed
from wizard.plan.fields import parse_ntp
from wizard.plan.file.read import load_plan
from wizard.plan.file.write import dump_plan
from wizard.plan.machine import Facts, Nic, Route
from wizard.plan.model import Plan
from wizard.plan.ntp import DROP_INS, NO_TIME, NtpMode, NtpSetting, TimeServer, TimeSource, ntp_text
from wizard.plan.render import File, render, render_identity
from wizard.plan.rules.ntp import against_machine
from wizard.plan.time_source import TIMESYNCD, choose_time

EXAMPLE = (Path(__file__).parents[3] / "examples" / "ciao.toml").read_text(encoding="utf-8")
PLAN = load_plan(EXAMPLE, "ciao.toml")
GATEWAY = "192.168.0.200"
CHRONY = TimeServer("chrony", "chrony.service", DROP_INS[0])
NTPSEC = TimeServer("ntpsec", "ntpsec.service", "/etc/ntpsec/ntp.d/ciao-cluster.conf")
CLOSED = TimeServer("chrony", "chronyd.service")
UNMANAGED = TimeServer("chrony", "", DROP_INS[0])
COMPANY = (("eth0", ("10.77.0.1", "10.77.0.2")), ("wlan0", ("10.8.0.1",)))


def asking(setting: NtpSetting) -> Plan:
    return replace(PLAN, network=replace(PLAN.network, ntp=setting))


@pytest.mark.parametrize(
    ("setting", "facts", "source"),
    [
        (NtpMode.AUTO, Facts(), NO_TIME),
        (NtpMode.AUTO, Facts(time_server=CHRONY, time_servers=COMPANY), TimeSource((GATEWAY,), CHRONY)),
        (NtpMode.AUTO, Facts(time_servers=COMPANY), TimeSource(("10.77.0.1", "10.77.0.2"))),
        (NtpMode.AUTO, Facts(time_server=CLOSED, time_servers=COMPANY), TimeSource(("10.77.0.1", "10.77.0.2"))),
        # Nobody could have it go by its own files again.
        (NtpMode.AUTO, Facts(time_server=UNMANAGED, time_servers=COMPANY), TimeSource(("10.77.0.1", "10.77.0.2"))),
        ((IPAddress(GATEWAY),), Facts(time_server=UNMANAGED), TimeSource((GATEWAY,))),
        (NtpMode.AUTO, Facts(time_servers=(("wlan0", ("10.8.0.1",)),)), NO_TIME),
        (NtpMode.AUTO, Facts(time_servers=(("", ("10.9.0.1",)),)), TimeSource(("10.9.0.1",))),
        # Nodes would look for it in the cluster.
        (NtpMode.AUTO, Facts(time_servers=(("eth0", ("192.168.0.7",)),)), NO_TIME),
        (NtpMode.OFF, Facts(time_server=CHRONY, time_servers=COMPANY), NO_TIME),
        ((IPAddress("10.1.1.1"),), Facts(time_server=CHRONY), TimeSource(("10.1.1.1",))),
        ((IPAddress(GATEWAY),), Facts(time_server=NTPSEC), TimeSource((GATEWAY,), NTPSEC)),
        ((IPAddress(GATEWAY),), Facts(), TimeSource((GATEWAY,))),
    ],
)
def test_who_gives_the_time(setting: NtpSetting, facts: Facts, source: TimeSource) -> None:
    assert choose_time(asking(setting), facts) == source


AUTO_NIC = replace(PLAN, interfaces=replace(PLAN.interfaces, corporate="auto"))
HERE = (Route(IPNetwork("0.0.0.0/0"), "eth0", "10.77.0.1"),)


@pytest.mark.parametrize(
    ("named", "source"),
    [
        (COMPANY, NO_TIME),
        ((("", ("10.9.0.1",)),), NO_TIME),
        (((TIMESYNCD, ("10.9.0.1",)),), TimeSource(("10.9.0.1",))),
    ],
)
def test_a_laptop_that_goes_about_hands_on_no_companys_servers(named: Any, source: TimeSource) -> None:
    nics = (Nic("eth0", 2, "ethernet"), Nic("eth1", 3, "ethernet"))
    facts = Facts(nics=nics, routes=HERE, outbound=("eth0",), time_servers=named, time_known=True)
    assert choose_time(AUTO_NIC, facts) == source
    assert choose_time(AUTO_NIC, replace(facts, time_server=CHRONY)) == TimeSource((GATEWAY,), CHRONY)
    if source == NO_TIME:
        (found,) = against_machine(AUTO_NIC, facts)
        assert found.code == "time-unknown"
        assert "differ by place" in found.message


@pytest.mark.parametrize(
    ("setting", "named", "who"),
    [
        (NtpMode.AUTO, COMPANY, "the company's DHCP"),
        (NtpMode.AUTO, (("", ("10.9.0.1",)), (TIMESYNCD, ("10.9.0.2",))), "the company's DHCP"),
        (NtpMode.AUTO, ((TIMESYNCD, ("10.9.0.2",)),), "/etc/systemd/timesyncd.conf"),
        ((IPAddress("10.1.1.1"),), COMPANY, "the plan"),
    ],
)
def test_who_names_others_servers_is_said(setting: NtpSetting, named: Any, who: str) -> None:
    (found,) = against_machine(asking(setting), Facts(time_servers=named, time_known=True))
    assert f", as {who} names them." in found.message


def rendered(time: TimeSource) -> dict[str, File]:
    return {Path(file.path).name: file for file in render(PLAN, EXAMPLE, time=time)}


def test_where_nobody_does_nothing_is_sent_and_nothing_is_opened() -> None:
    files = rendered(NO_TIME)
    assert "ntp-server" not in files["tenant_dns.cfg"].text
    assert "123" not in files["nat.sh"].text
    assert "ciao-cluster.conf" not in files


def test_the_companys_are_announced_and_nothing_is_opened() -> None:
    files = rendered(TimeSource(("10.77.0.1", "10.77.0.2")))
    assert "\ndhcp-option=tag:cluster,option:ntp-server,10.77.0.1,10.77.0.2\n" in files["tenant_dns.cfg"].text
    assert files["nat.sh"].text == rendered(NO_TIME)["nat.sh"].text


@pytest.mark.parametrize(
    ("server", "lines"),
    [
        (CHRONY, ["allow 192.168.0.0/24", "local stratum 10"]),
        (NTPSEC, ["restrict 192.168.0.0 mask 255.255.255.0 kod nomodify noquery", "tos orphan 10 orphanwait 10"]),
    ],
)
def test_a_server_here_is_opened_to_the_cluster_alone(server: TimeServer, lines: list[str]) -> None:
    files = rendered(TimeSource((GATEWAY,), server))
    assert f"option:ntp-server,{GATEWAY}\n" in files["tenant_dns.cfg"].text
    script = files["nat.sh"].text
    assert "        udp dport { 53, 67, 123 } accept\n" in script
    assert "-A CIAO-INPUT -i $CLUSTER -p udp -m multiport --dports 53,67,123 -j ACCEPT" in script
    assert script.count("123") == 2
    own = files["ciao-cluster.conf"]
    assert own.path == server.drop_in
    assert [line for line in own.text.splitlines() if not line.startswith("#")] == lines
    # The last one is the file of the NIC's address.
    assert list(files)[-2] == "ciao-cluster.conf"


def test_the_record_of_an_apply() -> None:
    assert "[time]" not in render_identity(asking(NtpMode.OFF), Facts()).text
    # Nobody: other than no record, which is what an earlier version wrote.
    assert render_identity(PLAN, Facts()).text.endswith("[time]\nservers = []\n")
    text = render_identity(PLAN, Facts(), time=TimeSource((GATEWAY,), CHRONY)).text
    assert f'[time]\nservers = ["{GATEWAY}"]\nkind = "chrony"\nunit = "chrony.service"\n' in text


SETTINGS = [NtpMode.AUTO, NtpMode.OFF, (IPAddress("10.1.1.1"),), (IPAddress("10.1.1.1"), IPAddress(GATEWAY))]


@pytest.mark.parametrize("setting", SETTINGS, ids=ntp_text)
def test_the_setting_survives_the_file_and_the_screens(setting: NtpSetting) -> None:
    plan = asking(setting)
    assert parse_ntp(ntp_text(setting)) == setting
    assert load_plan(dump_plan(plan), "x").network.ntp == setting
    assert load_plan(dump_plan(plan, EXAMPLE), "x").network.ntp == setting
    draft = Draft.from_plan(plan)
    assert load_draft(dump_draft(draft)) == draft
    edited = replace(draft, domain="lab.lan").to_plan()
    assert isinstance(edited, Plan)
    assert edited.network.ntp == setting


def test_a_plan_without_the_key_is_written_without_it() -> None:
    assert "ntp" not in dump_plan(PLAN)
    assert dump_plan(PLAN, EXAMPLE) == EXAMPLE


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("auto", "auto"),
        ("off", "off"),
        ("192.168.0.5, 10.1.1.1", "10.9.0.5, 10.1.1.1"),
        ("192.168.0.200", "10.9.0.200"),
    ],
)
def test_a_server_in_the_cluster_moves_with_it(before: str, after: str) -> None:
    draft = replace(Draft.from_plan(PLAN), ntp=before, cidr="10.9.0.0/24")
    assert readdressed(draft, "192.168.0.0/24").ntp == after


@pytest.mark.parametrize(
    ("server", "why", "remedy"),
    [
        (CLOSED, "reads no directory of further settings", "confdir /etc/chrony.d"),
        (UNMANAGED, "no service or init script restarts it", "Start it by its service"),
    ],
)
def test_why_a_server_here_stays_closed(server: TimeServer, why: str, remedy: str) -> None:
    facts = Facts(time_server=server, time_known=True)
    found = {each.code: each for each in against_machine(PLAN, facts)}
    assert why in found["time-server-closed"].message
    assert remedy in found["time-server-closed"].remedy
