"""What there is to say of a machine before anything is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from netaddr import IPAddress, IPNetwork

from wizard.plan.machine import Facts, Listener, Nic, PortService, Route
from wizard.plan.model import Interfaces, Network, Plan
from wizard.plan.welcome import (
    INSTALLERS,
    WelcomeLine,
    earlier_run_lines,
    machine_lines,
    missing_tool_lines,
    plan_line,
    port_conflict_lines,
)

PLAIN = Facts(
    nics=(
        Nic("eth0", 2, "ethernet", up=True, carrier=True, default_route=True, carries_ssh=True),
        Nic("eth1", 3, "ethernet", up=True, carrier=False),
    ),
    network_managers=("ifupdown",),
    system="Debian GNU/Linux 12",
)


def said(lines: tuple[WelcomeLine, ...], label: str) -> str:
    return next(line.text for line in lines if line.label == label)


def test_a_machine_in_a_few_lines() -> None:
    lines = machine_lines(PLAIN, root=True)
    assert said(lines, "NICs") == "2 wired (1 with a link), default route over eth0"
    assert said(lines, "Network") == "ifupdown"
    assert said(lines, "You are") == "root; here over SSH, through eth0"
    assert all(line.label != "VPN" for line in lines)


def test_a_machine_of_which_little_is_known() -> None:
    lines = machine_lines(Facts(), root=False)
    assert said(lines, "System") == "not known"
    assert said(lines, "Network") == "no known network manager"
    assert said(lines, "NICs") == "none wired, no default route"
    assert "only root sees" in said(lines, "Firewalls")


def test_managers_firewalls_and_vpns_are_named() -> None:
    tunnel = Nic("wg0", 9, "tunnel", up=True, carrier=True)
    down = Nic("tun7", 10, "tunnel")
    facts = replace(
        PLAIN,
        nics=(*PLAIN.nics, tunnel, down),
        network_managers=("ifupdown", "NetworkManager", "networkd"),
        firewalls=("docker", "nftables"),
        routes=tuple(Route(IPNetwork(f"10.{n}.0.0/16"), "wg0") for n in range(4)),
    )
    lines = machine_lines(facts, root=True)
    assert said(lines, "Network") == "ifupdown, beside NetworkManager and systemd-networkd"
    assert said(lines, "Firewalls") == "Docker, nftables rules: their rules are not changed"
    assert said(lines, "VPN") == "wg0 to 10.0.0.0/16, 10.1.0.0/16 and 2 more"
    over = replace(facts, routes=(Route(IPNetwork("0.0.0.0/1"), "wg0"), Route(IPNetwork("128.0.0.0/1"), "wg0")))
    assert said(machine_lines(over, root=True), "VPN") == "wg0, with the default route"


@pytest.mark.parametrize(
    ("manager", "root", "command"),
    [
        ("apt-get", False, "sudo apt install dnsmasq-base iproute2 nftables util-linux"),
        ("apt-get", True, "apt install dnsmasq-base iproute2 nftables util-linux"),
        ("dnf", False, "sudo dnf install dnsmasq iproute nftables util-linux"),
        ("pacman", False, "sudo pacman -S dnsmasq iproute2 nftables util-linux"),
    ],
)
def test_each_system_is_told_its_own_command(manager: str, root: bool, command: str) -> None:
    (line,) = missing_tool_lines(["nft", "dnsmasq", "setpriv", "unshare", "ss", "ip"], INSTALLERS[manager], root)
    assert (line.sign, line.remedy) == ("✗", command)


def test_nothing_missing_is_said_as_well() -> None:
    (line,) = missing_tool_lines((), None, root=True)
    assert line.sign == "✓"
    (line,) = missing_tool_lines(("nft",), None, root=True)
    assert line.remedy == "Install them with the package manager of this system."


def test_only_who_serves_on_every_nic_is_in_the_way() -> None:
    facts = replace(
        PLAIN,
        listeners=(
            Listener("udp", "*", 67, "dhcpd", 5, unit="isc-dhcp-server.service"),
            Listener("udp", "192.168.122.1", 53, "dnsmasq", 9),
            Listener("udp", "0.0.0.0", 67, "dnsmasq", 9, "virbr0"),  # noqa: S104 - as the kernel shows it
            Listener("tcp", "::", 67, "a web server", 11),
            Listener("tcp", "::", 8080, "another", 12),
        ),
    )
    blocked, beside = port_conflict_lines(facts)
    assert (blocked.sign, blocked.remedy) == ("✗", "sudo systemctl disable --now isc-dhcp-server.service")
    assert blocked.text == "dhcpd (pid 5) serves DHCP on every NIC (port 67)"
    assert (beside.sign, "no conflict" in beside.text) == ("·", True)
    assert beside.text.startswith("dnsmasq (pid 9) serves only 192.168.122.1, ")


def test_no_unit_is_guessed_for_a_program_that_a_person_started() -> None:
    (line,) = port_conflict_lines(replace(PLAIN, listeners=(Listener("udp", "*", 53, "dnsmasq", 4462),)))
    assert line.remedy == "Stop it for good (process 4462), or bind it to the NICs it serves."


def test_one_that_an_apply_may_stop_is_left_to_the_review() -> None:
    named = Listener("udp", "0.0.0.0", 53, "named", 7, unit="named.service")  # noqa: S104
    facts = replace(PLAIN, listeners=(named,), services=(PortService("named.service", 7),), resolvers=("10.77.0.1",))
    (line,) = port_conflict_lines(facts)
    assert line.remedy == "Review asks whether the apply may stop named.service."
    (line,) = port_conflict_lines(replace(facts, services=(PortService("named.service", 6),)))
    assert line.remedy.startswith("Bind it to its own addresses; named.service is not to be stopped: ")
    (line,) = port_conflict_lines(replace(facts, listeners=(replace(named, process="", pid=None),)))
    assert line.text == "named.service serves DNS on every NIC (port 53)"


def test_one_that_this_machine_asks_is_never_to_be_stopped() -> None:
    named = Listener("udp", "0.0.0.0", 53, "named", 7, unit="named.service")  # noqa: S104
    (line,) = port_conflict_lines(replace(PLAIN, listeners=(named,), resolvers=("127.0.0.1",)))
    assert line.remedy == "Do not stop it: this machine itself asks it for names. Bind it to its own addresses."


def test_our_own_gateway_is_in_nobodys_way() -> None:
    listeners = (Listener("udp", "::", 67, "dnsmasq", 812), Listener("udp", "192.168.0.200", 53, "", None))
    facts = replace(PLAIN, listeners=listeners, our_pids=frozenset({812}), applied_cluster="eth1")
    (line,) = port_conflict_lines(facts)
    assert line.sign == "✓"
    # As somebody other than root sees it.
    ours = Listener("udp", "0.0.0.0", 53, unit="ciao-gateway.service")  # noqa: S104
    (line,) = port_conflict_lines(replace(PLAIN, listeners=(ours,)))
    assert line.sign == "✓"


def test_one_program_is_told_of_once() -> None:
    listeners = tuple(Listener(p, a, 53, "named", 7) for p in ("udp", "tcp") for a in ("::", "*"))
    assert len(port_conflict_lines(replace(PLAIN, listeners=listeners))) == 1


@pytest.mark.parametrize(
    ("state", "healthy", "sign", "words"),
    [
        ("absent", False, "✓", "nothing is applied"),
        ("applied", True, "✓", "running and healthy"),
        ("applied", False, "✗", "something is wrong"),
        ("tripped", False, "✗", "a foreign server"),
        ("interrupted", False, "✗", "must be undone"),
        ("pending", False, "!", "a foreign server"),
    ],
)
def test_what_an_earlier_run_left(state: str, healthy: bool, sign: str, words: str) -> None:
    first, *more = earlier_run_lines(state, healthy, (), "a foreign server")
    assert (first.sign, more) == (sign, [])
    assert words in first.text


def test_drift_is_counted() -> None:
    assert (
        earlier_run_lines("applied", False, ("one was changed", "two", "three"), "")[1].text
        == "one was changed (and 2 more)"
    )


def test_a_plan_from_nowhere_has_a_name() -> None:
    plan = Plan(Interfaces("eth0", "eth1"), Network(IPNetwork("10.9.0.0/24"), IPAddress("10.9.0.1")))
    assert plan_line(plan, "-", False).text == "standard input: 0 nodes, subnet 10.9.0.0/24"
