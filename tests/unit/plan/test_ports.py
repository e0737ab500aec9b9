"""Servers on ports 53 and 67 that an apply may stop: which, what is said of the others, and of one agreed to."""

from __future__ import annotations

import pytest

from tests.unit.plan.plan_changes import ANY, Change, both, listens, machine
from wizard.plan.findings import Finding, Severity
from wizard.plan.machine import Facts, PortService
from wizard.plan.model import Plan
from wizard.plan.rules.check import check
from wizard.plan.rules.ports import why_not_stopped
from wizard.plan.welcome import port_conflict_lines

UNIT = "named.service"
AGREED = machine(to_stop=frozenset({UNIT}))


def served(port: int = 53, unit: str = UNIT, *, pid: int = 7, **about: object) -> Change:
    """A server on every NIC, and what systemd says of its service."""
    service = PortService(**{"unit": unit, "main_pid": 7, **about})  # type: ignore[arg-type]
    return both(listens("udp", ANY, port, "named", pid, unit=unit), machine(services=(service,)))


def finding(plan: Plan, facts: Facts, change: Change, code: str = "port-53-taken") -> Finding:
    (found,) = [each for each in check(*change(plan, facts)) if each.code == code]
    return found


@pytest.mark.parametrize("port", [53, 67])
def test_a_server_that_is_a_service_of_its_own_may_be_stopped(plan: Plan, facts: Facts, port: int) -> None:
    found = finding(plan, facts, served(port), f"port-{port}-taken")
    assert (found.severity, found.stops) == (Severity.ERROR, (UNIT,))
    assert found.remedy.startswith("Run `sudo ciao-wizard apply -c PLAN --stop named.service`: it stays stopped until")
    assert "By hand: run `sudo systemctl disable --now named.service`, or bind it to" in found.remedy
    assert found.as_json()["stops"] == [UNIT]


def test_one_with_a_socket_for_every_address_too(plan: Plan, facts: Facts) -> None:
    places = ("127.0.0.1", "10.77.0.98", "172.17.0.1")
    change = both(
        *(listens("udp", place, 53, "named", 7, unit=UNIT) for place in places),
        machine(services=(PortService(UNIT, 7),)),
    )
    assert finding(plan, facts, change, "dns-takes-every-address").stops == (UNIT,)


def test_what_would_start_it_again_is_stopped_with_it(plan: Plan, facts: Facts) -> None:
    assert finding(plan, facts, served(triggers=("named.socket",))).stops == (UNIT, "named.socket")


def test_one_agreed_to_is_no_error_and_the_finding_says_what_becomes_of_it(plan: Plan, facts: Facts) -> None:
    found = finding(plan, facts, both(served(), AGREED))
    assert (found.severity, found.stops) == (Severity.WARNING, (UNIT,))
    assert "an apply stops and disables named.service, and a reset gives it back." in found.message
    assert not [each for each in check(*both(served(), AGREED)(plan, facts)) if each.severity is Severity.ERROR]


OBJECTIONS = {
    "a part of another service": (served(unit="libvirtd.service", main_pid=6), '"named" may be only a part of it'),
    "one of several": (served(unit="dnsmasq@lan.service"), "it is one of several of its kind"),
    "the machine's network": (
        served(unit="systemd-networkd.service", for_network=True),
        "this machine's own network needs it",
    ),
    "a web server too": (both(served(), listens("tcp", ANY, 80, "named", 7, unit=UNIT)), "it serves TCP port 80 too"),
    "TFTP too": (both(served(), listens("udp", ANY, 69, "named", 7, unit=UNIT)), "it serves UDP port 69 too"),
    "others need it": (served(dependents=("mail.service",)), "mail.service needs it"),
    "not to be disabled": (served(cannot_disable=("named.socket",)), "named.socket cannot be disabled"),
}


@pytest.mark.parametrize("name", OBJECTIONS)
def test_others_are_not_and_the_remedy_says_why(plan: Plan, facts: Facts, name: str) -> None:
    change, why = OBJECTIONS[name]
    unit = change(plan, facts)[1].services[0].unit
    found = finding(plan, facts, both(change, machine(to_stop=frozenset({unit}))))
    assert (found.severity, found.stops) == (Severity.ERROR, ())
    bind, _, objection = found.remedy.partition(f"; {unit} is not to be stopped: ")
    assert bind.startswith("Bind it to its own addresses")
    assert objection == f"{why}."
    (line,) = [each for each in port_conflict_lines(change(plan, facts)[1]) if unit in each.remedy]
    assert line.remedy == f"Bind it to its own addresses; {unit} is not to be stopped: {why}."
    assert "stops" not in found.as_json()


@pytest.mark.parametrize(
    "beside",
    [
        listens("tcp", "127.0.0.1", 953, "named", 7, unit=UNIT),
        listens("tcp", ANY, 853, "named", 7, unit=UNIT),
        listens("udp", ANY, 40123, "named", 7, unit=UNIT),
        listens("tcp", ANY, 80, "nginx", 9, unit="nginx.service"),
    ],
    ids=["its control channel", "DNS over TLS", "its own questions", "somebody else's"],
)
def test_what_a_dns_server_has_besides_is_no_other_service(plan: Plan, facts: Facts, beside: Change) -> None:
    assert finding(plan, facts, both(served(), beside)).stops == (UNIT,)


ASKED = {
    "by every address": (served(), ("127.0.0.1",)),
    "by its own address": (both(served(), listens("udp", "127.0.0.1", 53, "named", 7, unit=UNIT)), ("127.0.0.1",)),
    "by the NIC's address": (served(), ("10.0.0.53", "10.77.0.98")),
    "over IPv6": (served(), ("::1",)),
}


@pytest.mark.parametrize("name", ASKED)
def test_the_server_that_this_machine_asks_is_never_stopped(plan: Plan, facts: Facts, name: str) -> None:
    change, resolvers = ASKED[name]
    found = finding(plan, facts, both(change, machine(resolvers=resolvers), AGREED))
    assert (found.severity, found.stops) == (Severity.ERROR, ())
    assert "Do not stop named.service: this machine itself asks it for names (/etc/resolv.conf)." in found.remedy
    assert "disable --now" not in found.remedy
    assert why_not_stopped(UNIT, both(change, machine(resolvers=resolvers))(plan, facts)[1]) != ""


@pytest.mark.parametrize("unit", ["", "unknown.service"])
def test_nor_is_anybody_told_to_stop_it_by_hand(plan: Plan, facts: Facts, unit: str) -> None:
    """Started by a person, or by a unit that systemd says nothing of."""
    change = both(listens("udp", ANY, 53, "dnsmasq", 9, unit=unit), machine(resolvers=("127.0.0.1",)))
    found = finding(plan, facts, change)
    assert f"Do not stop {unit or 'it'}: this machine itself asks it for names (/etc/resolv.conf)." in found.remedy
    assert "disable" not in found.remedy


@pytest.mark.parametrize("resolvers", [("10.0.0.53",), ("127.0.0.53",), ("rubbish",), ()])
def test_a_machine_that_asks_another_server_may_lose_it(plan: Plan, facts: Facts, resolvers: tuple[str, ...]) -> None:
    """127.0.0.53 is systemd-resolved's own address here."""
    assert finding(plan, facts, both(served(), machine(resolvers=resolvers))).stops == (UNIT,)


def test_a_service_that_has_neither_port_is_none_to_stop(plan: Plan, facts: Facts) -> None:
    assert why_not_stopped("ssh.service", facts) == "it serves neither DNS nor DHCP"


# Without root


def seen_by_a_user(places: tuple[str, ...], *, alone: bool) -> Change:
    """No program's name, and no process; the unit alone."""
    return both(
        *(listens("udp", place, 53, unit=UNIT) for place in places), machine(services=(PortService(UNIT, 7, alone),))
    )


@pytest.mark.parametrize(
    ("places", "code"),
    [((ANY,), "port-53-taken"), (("127.0.0.1", "10.77.0.98", "172.17.0.1"), "dns-takes-every-address")],
)
def test_without_root_a_server_is_known_by_its_unit(
    plan: Plan, facts: Facts, places: tuple[str, ...], code: str
) -> None:
    found = finding(plan, facts, seen_by_a_user(places, alone=True), code)
    assert found.message.startswith(f"{UNIT} ")
    assert found.stops == (UNIT,)
    other = finding(plan, facts, seen_by_a_user(places, alone=False), code)
    assert other.stops == ()
    assert f"; {UNIT} is not to be stopped: the server may be only a part of it." in other.remedy
    assert "disable" not in other.remedy


@pytest.mark.parametrize("places", [(ANY,), ("127.0.0.1", "10.77.0.98", "172.17.0.1")])
def test_our_own_server_is_known_by_its_unit_too(plan: Plan, facts: Facts, places: tuple[str, ...]) -> None:
    ours = both(*(listens("udp", place, 53, unit="ciao-gateway.service") for place in places))
    assert not {"port-53-taken", "dns-takes-every-address"} & {each.code for each in check(*ours(plan, facts))}
