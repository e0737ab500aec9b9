"""The rendered rules under a release's own kernel: they load, load again, are seen to be whole, and go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import wires
from tests.kernel.machine import NFT, OTHER_NFT
from tests.kernel.wires import (
    ANSWER_S,
    CORPORATE_ADDRESS,
    FAR_AWAY,
    NODE,
    OFFICE,
    client,
    listening,
    loaded,
    plan_with,
    run,
    script_of,
)
from tests.needs import need
from wizard.host.net import gateway_rules, nft_armed_set

FORWARDS = "".join(f'[[forwards]]\nport = {port}\nto = "192.168.0.{port % 200 + 1}"\n' for port in range(10000, 10300))
UDP = '[[forwards]]\nport = 53000\nto = "controller"\nto_port = 53\nprotocol = "udp"\n'
SOURCES = '[[forwards]]\nport = 8443\nto = "network"\nto_port = 443\nfrom = ["10.77.0.0/24", "198.51.100.10/32"]\n'
AUTO = "the default route followed"
RANGES = (
    '[[forwards]]\nport = "30000-30100"\nto = "compute1"\n'
    '[[forwards]]\nport = "31000-32000"\nto = "compute2"\nfrom = ["10.77.0.0/24", "198.51.100.10/32"]\n'
)
PLANS = {
    "the example": "",
    "no forwards": None,
    "forwards of UDP, and from some networks only": UDP
    + SOURCES
    + SOURCES.replace("8443", "8444").replace("from", 'protocol = "udp"\nfrom'),
    "300 forwards": FORWARDS,
    AUTO: "",
    "ranges of ports, for all and from some networks only": RANGES,
}


@pytest.fixture(scope="module", autouse=True)
def both_nics(kernel: str) -> Iterator[None]:
    with wires.laid():
        yield


def plan(name: str) -> str:
    more = PLANS[name]
    if name == AUTO:
        return plan_with(('corporate = "eth0"', 'corporate = "auto"'))
    return plan_with() + "\n" + more if more is not None else plan_with().partition("[[forwards]]")[0]


def forwarding() -> list[str]:
    switches = ["ip_forward", *(f"conf/{nic}/forwarding" for nic in ("all", "default", "eth0", "eth1"))]
    return [Path("/proc/sys/net/ipv4", switch).read_text() for switch in switches]


@pytest.mark.parametrize("name", PLANS)
def test_the_rules_load_load_again_and_go(name: str, tmp_path: Path) -> None:
    script, before = script_of(plan(name), tmp_path), forwarding()
    for _ in range(2):
        run("sh", script, "up")
        assert gateway_rules.guarded(wires.DNSMASQ)
    assert gateway_rules.changes(script) == []
    run("sh", script, "down")
    assert run("nft", "list", "ruleset") == ""
    assert forwarding() == before
    assert not [*Path("/run/ciao-wizard").glob("forwarding.*")]


def leaves_as(within_s: float = ANSWER_S) -> str:
    """Who it is that a node's connection comes from, seen from far away; "" where none comes."""
    with listening(OFFICE, 80) as server, client(NODE) as asking:
        asking.settimeout(within_s)
        try:
            asking.connect((FAR_AWAY, 80))
        except TimeoutError:
            return ""
        served, (seen, _) = server.accept()
        served.close()
        return str(seen)


def uplinks() -> list[str] | None:
    return gateway_rules.loaded_uplinks()


def test_the_set_of_uplinks_is_filled_and_changed_and_survives_a_load(tmp_path: Path) -> None:
    script = script_of(plan(AUTO), tmp_path)
    with loaded(script):
        assert uplinks() == ["eth0"]
        assert leaves_as() == CORPORATE_ADDRESS
        gateway_rules.follow_uplinks(script, [])
        assert uplinks() == []
        assert leaves_as(within_s=1.0) == ""
        # Never the cluster's, whoever says so.
        gateway_rules.follow_uplinks(script, ["eth0", "eth1", "lo", "docker0"])
        assert uplinks() == ["eth0"]
        assert gateway_rules.changes(script) == []
        run("sh", script, "up")
        assert uplinks() == ["eth0"]
    with loaded(script_of(plan("the example"), tmp_path)):
        assert uplinks() is None


def test_loading_again_keeps_what_is_armed_and_what_was_counted(tmp_path: Path) -> None:
    script = script_of(plan_with(), tmp_path)
    with loaded(script):
        run("nft", "add element inet ciao_gateway armed { eth1 timeout 1h }")
        assert not wires.say("eth0", wires.dhcp_answer(2, wires.CONTROLLER_MAC))
        counted = gateway_rules.counters()
        assert counted["muted"] == counted["astray"] == 1
        run("sh", script, "up")
        assert gateway_rules.counters() == counted
        assert nft_armed_set.list_elements()


def test_the_rules_load_by_the_nft_of_this_machine_and_then_by_the_releases_own(tmp_path: Path) -> None:
    """Debian 12 offers the kernel of 13 in its backports; and whoever goes on to 13 finds the rules loaded by the nft
    of 12."""
    script = script_of(plan("forwards of UDP, and from some networks only"), tmp_path)
    by_this_machines = 'mount --bind "$1" "$2" && sh "$0" up && sh "$0" up && sh "$0" status'
    try:
        run("unshare", "--mount", "sh", "-c", by_this_machines, script, OTHER_NFT, NFT)
    finally:
        with loaded(script):
            assert gateway_rules.changes(script) == []


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
def test_accepts_stand_first_in_iptables_that_drop_and_go_without_a_trace(program: str, tmp_path: Path) -> None:
    need("iptables")
    script = script_of(plan_with(), tmp_path)
    chains = ("FORWARD", "INPUT", "OUTPUT")
    # Policies that drop are put back, as the table outlives this test.
    run(f"{program}-restore", stdin="*filter\n" + "".join(f":{chain} DROP [0:0]\n" for chain in chains) + "COMMIT\n")
    try:
        before = run(program, "-S")
        for _ in range(2):
            run("sh", script, "up")
        assert gateway_rules.changes(script) == []
        for chain in chains:
            assert f"-A {chain} -j CIAO-{chain}" in run(program, "-S", chain)
        run("sh", script, "down")
        assert run(program, "-S") == before
    finally:
        policies = "".join(f":{chain} ACCEPT [0:0]\n" for chain in chains)
        run(f"{program}-restore", stdin=f"*filter\n{policies}COMMIT\n")
        if program == "iptables-nft":
            run("nft", "delete table ip filter")
