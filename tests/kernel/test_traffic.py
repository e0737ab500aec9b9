"""Connections through the gateway under a release's own kernel."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial

import pytest

from tests.kernel import wires
from tests.kernel.wires import (
    COLLEAGUE,
    CONTROLLER,
    CORPORATE_ADDRESS,
    FAR_AWAY,
    GATEWAY,
    NODE,
    OFFICE,
    arp_answers,
    ask_who_has,
    at,
    client,
    frames_of,
    listening,
    mss_of_syns,
    plan_with,
    run,
    script_of,
    udp_from,
)
from wizard.host.net import gateway_rules
from wizard.host.net.node_traffic import read_node_traffic
from wizard.host.net.traffic import Counters

MORE = f"""
[[forwards]]
port = 8443
to = "controller"
to_port = 443
from = ["{COLLEAGUE}/32"]

[[forwards]]
port = 53000
to = "controller"
to_port = 5353
protocol = "udp"
"""
IP_TRANSPARENT = 19
SMALL_MTU = 1300
MSS = SMALL_MTU - 40


@pytest.fixture(scope="module", autouse=True)
def rules(kernel: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The path of the loaded nat.sh."""
    script = script_of(plan_with() + MORE, tmp_path_factory.mktemp("plan"))
    with wires.laid(), wires.loaded(script):
        yield script


def connect(end: str, to: tuple[str, int], at: str, port: int, source: str = "") -> str:
    """Connect to an address; whom the server at that end, on that port, sees asking."""
    with listening(at, port) as server, client(end, source) as asking:
        asking.connect(to)
        served, (seen, _) = server.accept()
        with served:
            served.sendall(b"hello")
            assert asking.recv(5) == b"hello"
        return str(seen)


@pytest.mark.parametrize("port", [8889, 35357, 5000])
def test_a_forward_lands_on_the_node_with_the_callers_address(port: int) -> None:
    assert connect(OFFICE, (CORPORATE_ADDRESS, port), NODE, port) == COLLEAGUE


def test_a_node_that_asks_for_a_forward_is_answered_by_the_gateway() -> None:
    for address in (CORPORATE_ADDRESS, GATEWAY):
        assert connect(NODE, (address, 8889), NODE, 8889) == GATEWAY


def test_a_node_goes_out_by_the_corporate_address() -> None:
    assert connect(NODE, (FAR_AWAY, 80), OFFICE, 80) == CORPORATE_ADDRESS


def test_a_udp_forward_lands_and_its_answer_comes_back() -> None:
    kind = socket.SOCK_DGRAM
    with listening(NODE, 5353, kind) as server, client(OFFICE, kind=kind) as asking:
        asking.connect((CORPORATE_ADDRESS, 53000))
        asking.send(b"question")
        question, asker = server.recvfrom(100)
        assert (question, asker[0]) == (b"question", COLLEAGUE)
        server.sendto(b"answer", asker)
        assert asking.recv(100) == b"answer"


def counted(address: str) -> Counters:
    """What an address has received and sent."""
    found = read_node_traffic().of(address)
    assert found is not None
    return found


def exchange(end: str, to: tuple[str, int], at: str) -> None:
    """A thousand bytes go there, and a hundred come back."""
    kind = socket.SOCK_DGRAM
    with listening(at, 7000, kind) as server, client(end, kind=kind) as asking:
        asking.connect(to)
        asking.send(bytes(1000))
        _, asker = server.recvfrom(2000)
        server.sendto(bytes(100), asker)
        assert len(asking.recv(200)) == 100


def test_what_a_node_sends_and_receives_is_counted_by_its_address(rules: str) -> None:
    # IP and UDP have headers of 28 bytes.
    before = counted(CONTROLLER)
    exchange(NODE, (COLLEAGUE, 7000), OFFICE)
    assert counted(CONTROLLER) == Counters(before.received + 128, before.sent + 1028)
    # What comes in by a forward is the node's too, and so is what is for the gateway itself; the office is nobody's.
    connect(OFFICE, (CORPORATE_ADDRESS, 8889), NODE, 8889)
    forwarded = counted(CONTROLLER)
    assert min(forwarded.received - before.received - 128, forwarded.sent - before.sent - 1028) > 100
    send(NODE, CONTROLLER, 5000, (GATEWAY, 53))
    assert counted(CONTROLLER).sent == forwarded.sent + 34
    assert set(read_node_traffic().bytes) == {CONTROLLER}


def test_what_was_counted_is_no_change_of_the_rules_and_outlives_their_reload(rules: str) -> None:
    exchange(NODE, (COLLEAGUE, 7000), OFFICE)
    before = counted(CONTROLLER)
    assert before.sent > 1000
    assert gateway_rules.changes(rules) == []
    gateway_rules.load(rules)
    assert counted(CONTROLLER) == before


def test_a_false_source_is_counted_for_nobody() -> None:
    before = read_node_traffic().bytes
    send(NODE, GATEWAY, 5000, (COLLEAGUE, 53))
    send(NODE, FAR_AWAY, 5000, (COLLEAGUE, 53))
    assert read_node_traffic().bytes == before


def test_a_forward_for_some_is_for_nobody_else() -> None:
    assert connect(OFFICE, (CORPORATE_ADDRESS, 8443), NODE, 443, COLLEAGUE) == COLLEAGUE
    # Nothing listens on the gateway itself.
    with listening(NODE, 443), client(OFFICE, FAR_AWAY) as asking, pytest.raises(ConnectionRefusedError):
        asking.connect((CORPORATE_ADDRESS, 8443))


def attempt(end: str, to: tuple[str, int]) -> None:
    """The first packet of a connection, and no wait for the answer."""
    with client(end) as asking:
        asking.setblocking(False)
        asking.connect_ex(to)


def test_nobody_passes_to_the_nodes_but_by_the_forwards() -> None:
    before = gateway_rules.counters()
    # The first needs the neighbour's address; what it waits for comes with it.
    connect(OFFICE, (CORPORATE_ADDRESS, 8889), NODE, 8889)
    assert mss_of_syns(frames_of(partial(attempt, OFFICE, (CONTROLLER, 8889)))[NODE]) == []
    assert gateway_rules.counters()["refused_forward"] == before["refused_forward"] + 1
    attempt(OFFICE, (GATEWAY, 22))
    assert gateway_rules.counters()["refused_in"] == before["refused_in"] + 1


@pytest.fixture
def small_office() -> Iterator[None]:
    for namespace in ([], ["-n", OFFICE]):
        run("ip", *namespace, "link", "set", "eth0", "mtu", str(SMALL_MTU))
    yield
    for namespace in ([], ["-n", OFFICE]):
        run("ip", *namespace, "link", "set", "eth0", "mtu", "1500")


def test_connections_fit_through_an_office_with_a_smaller_mtu(small_office: None) -> None:
    for end, to, server, port in (
        (NODE, (FAR_AWAY, 80), OFFICE, 80),
        (OFFICE, (CORPORATE_ADDRESS, 8889), NODE, 8889),
    ):
        heard = frames_of(partial(_connect, end, to, server, port))
        for frames in heard.values():
            assert mss_of_syns(frames) == [MSS]


def _connect(end: str, to: tuple[str, int], at: str, port: int) -> None:
    connect(end, to, at, port)


def test_the_office_hears_nothing_of_the_gateways_cluster_address() -> None:
    for end, address in ((NODE, GATEWAY), (OFFICE, CORPORATE_ADDRESS)):
        assert arp_answers(frames_of(partial(ask_who_has, end, address))[end]) == [address]
    assert arp_answers(frames_of(partial(ask_who_has, OFFICE, GATEWAY))[OFFICE]) == []


def send(end: str, source: str, port: int, to: tuple[str, int]) -> None:
    """One UDP packet, with whatever source."""
    with at(end):
        sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sending:
        sending.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
        sending.bind((source, port))
        sending.sendto(b"packet", to)


def test_what_bears_another_source_goes_nowhere() -> None:
    before = gateway_rules.counters()["refused_source"]
    for source in (FAR_AWAY, "10.77.0.50", GATEWAY):
        send(NODE, source, 5000, (GATEWAY, 53))
        send(NODE, source, 5000, (COLLEAGUE, 53))
    assert gateway_rules.counters()["refused_source"] == before + 6


@pytest.mark.parametrize(("source", "to"), [(67, 68), (68, 67), (547, 546)])
def test_dhcp_ends_at_its_wire(source: int, to: int) -> None:
    heard = frames_of(partial(send, NODE, CONTROLLER, source, (COLLEAGUE, to)))
    assert not udp_from(heard[OFFICE], source)
    heard = frames_of(partial(send, NODE, CONTROLLER, 5000, (COLLEAGUE, 5000)))
    assert len(udp_from(heard[OFFICE], 5000)) == 1
