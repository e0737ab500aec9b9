"""The guard while it serves: what mutes it at once, what trips it, and what it comes back from by itself."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

import pytest

from tests.lab.guarded import GATEWAY
from tests.lab.guarded import served as served
from tests.lab.guarded import world as world
from tests.lab.guarding import (
    RUN,
    STRANGERS,
    VMS,
    actor,
    armed,
    asking,
    await_mode,
    exchange_names,
    is_running,
    kill,
    muted,
    muter,
    report,
    rests,
    seconds_until,
    sh,
    start_serve,
    steadily,
    told,
)
from tests.lab.support import LEASES, NODES, apply, await_nodes, ciao, ciao_json, whole
from tests.lab.support import differences as differ
from wizard.host.muter_process import GRANT_S
from wizard.host.net.nft_armed_set import LEASE_S
from wizard.lab.control import Laboratory
from wizard.lab.world import LAPTOP_MACS

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("guard")]

MILLISECONDS = 0.2
"""What counts as at once on a machine that has other things to do."""


# Cables


def test_a_pulled_cable_mutes_in_milliseconds_and_a_proven_wire_is_served_again(served: Laboratory) -> None:
    with actor(served, None, "watch", "eth1") as watch:
        served.machine("unplug", "eth1")
        await_mode(served, "muted", code="no-carrier")
        served.machine("plug", "eth1")
        await_mode(served, "armed")
        seen = watch.end()
    moments = {what: at for at, what in reversed(seen) if what != "armed"}
    back = next(at for at, what in seen if what == "armed" and at > moments["up"])
    mute = 1000 * (moments["muted"] - moments["down"])
    report(f"muted {mute:.1f} ms after the link went down, armed {back - moments['up']:.1f} s after it was up again")
    # The count of carrier changes tells of it before the kernel's news do, at times.
    assert moments["muted"] - moments["down"] < MILLISECONDS
    # One second of listening and half a one for the marks; a proven wire is served within five.
    assert back - moments["up"] < 1.5 + 5
    assert moments["up"] + 1 < back
    served.machine("reboot", "compute1")
    await_nodes(served)


def test_joined_switches_trip_before_any_stranger_is_answered(served: Laboratory) -> None:
    with asking(served, "guest", macs=[*STRANGERS, *VMS], every=0.2) as asked:
        plugged = time.monotonic()
        served.machine("join")
        joined = time.monotonic()
        stopped = seconds_until(lambda: not armed(served), plugged)
        state = await_mode(served, "tripped")
        tripped = time.monotonic()
        assert steadily(lambda: not armed(served), 1)
        found = asked.end()
    report(f"stopped {stopped:.2f} s after the switches were joined, which took {joined - plugged:.2f} s itself")
    assert stopped < 5
    ours = {mac: [o for o in seen["offers"] if o[0] == GATEWAY] for mac, seen in found.items()}
    assert all(seen["offers"] for seen in found.values()), "the corporate server did not answer either"
    assert not any(ours[mac] for mac in STRANGERS)
    assert not [offer for offers in ours.values() for offer in offers if offer[2] > tripped]
    assert "eth1" in state["reason"]
    assert state["dnsmasq"] is None


def test_a_foreign_server_that_answers_a_node_trips_at_once(served: Laboratory) -> None:
    with actor(served, "rogue", "serve", "eth0", "10.9.0.1"), asking(served, "compute1", macs=["02:00:00:00:77:01"]):
        state = await_mode(served, "tripped", code="foreign-dhcp")
    assert "10.9.0.1 (02:aa:bb:cc:dd:01)" in state["reason"]
    assert "eth1" in state["reason"]


def test_a_client_that_takes_a_foreign_servers_offer_trips_at_once(served: Laboratory) -> None:
    """The server's own answers went past us, from port to port of the switch."""
    taking = {"02:00:00:00:77:02": ["10.9.0.1", "10.9.0.77"]}
    with asking(served, "rogue", choosing=taking):
        state = await_mode(served, "tripped", code="foreign-dhcp")
    assert "10.9.0.1" in state["reason"]


def test_a_client_that_takes_our_own_offer_is_no_alarm(served: Laboratory) -> None:
    with asking(served, "rogue", choosing={"02:00:00:00:77:03": [GATEWAY, "192.168.0.77"]}):
        assert steadily(lambda: told(served)["mode"] == "armed", 1.5), told(served)


def test_tripped_is_shown_and_stays_until_a_fresh_proof(served: Laboratory) -> None:
    served.machine("join")
    # Nobody asks for an address: it is our own mark that tells.
    state = await_mode(served, "tripped", code="one-wire", deadline=5)
    shown = ciao(served, "status")
    assert shown.returncode == 1
    assert shown.stdout.startswith(f"tripped: {state['reason']}")
    assert ciao_json(served, "status")["state"] == "tripped"

    before = whole(served)
    refused = ciao(served, "apply", "--yes")
    assert refused.returncode == 1
    assert "both NICs are on one network" in refused.stderr
    assert not differ(told_apart(before), told_apart(whole(served)))

    served.machine("part")
    kill(served, state["process"], "TERM")
    served.wait_for(lambda: not is_running(served, state["process"]))
    start_serve(served)
    again = await_mode(served, "tripped")
    assert again["reason"] == state["reason"]
    assert steadily(lambda: told(served).get("mode") == "tripped" and not armed(served), 2)

    apply(served)
    await_mode(served, "armed")
    assert ciao(served, "status").returncode == 0


def told_apart(machine: dict[str, Any]) -> dict[str, Any]:
    """Without what an apply notes and says of itself."""
    own = ("/var/lib/ciao-wizard", *(f"{RUN}/{name}" for name in ("e", "l", "o", "before")))
    files = {path: what for path, what in machine["files"].items() if not path.startswith(own) or f"{RUN}/live" in path}
    return {**machine, "files": files}


# Its own death


def test_a_killed_guard_takes_dnsmasq_along_and_nobody_is_answered(served: Laboratory) -> None:
    state, offers = told(served), counted_offers(served)
    with asking(served, "rogue", macs=VMS, every=0.05) as asked:
        served.wait_for(lambda: counted_offers(served) > offers, 10, "our offers")
        died = time.monotonic()
        kill(served, state["process"], "KILL")
        gone = seconds_until(lambda: not is_running(served, state["dnsmasq"]), died)
        empty = seconds_until(lambda: not armed(served), died)
        found = asked.end()
    last = max(offer[2] for seen in found.values() for offer in seen["offers"])
    report(f"killed: last answer {last - died:+.3f} s, dnsmasq gone {gone:.2f} s, the set empty {empty:.2f} s after")
    assert last - died < LEASE_S
    assert gone < 1
    assert empty < LEASE_S + 0.5
    start_serve(served)
    await_mode(served, "armed")


def counted_offers(lab: Laboratory) -> int:
    log = lab.run(["grep", "-c", "DHCPOFFER(eth1)", f"{RUN}/dnsmasq.log"], check=False).stdout
    return int(log or 0)


def test_a_guard_that_hangs_is_mute_by_itself_and_goes_on_when_it_can(served: Laboratory) -> None:
    state, offers = told(served), counted_offers(served)
    with asking(served, "rogue", macs=VMS, every=0.05) as asked:
        served.wait_for(lambda: counted_offers(served) > offers, 10, "our offers")
        hung = time.monotonic()
        kill(served, state["process"], "STOP")
        empty = seconds_until(lambda: not armed(served), hung)
        served.wait_for(lambda: rests(served, state["dnsmasq"]), 5, "a dnsmasq that rests")
        found = asked.end()
    kill(served, state["process"], "CONT")
    served.wait_for(lambda: armed(served), 10, "armed again")
    last = max(offer[2] for seen in found.values() for offer in seen["offers"])
    report(f"stopped: last answer {last - hung:.2f} s, the set empty {empty:.2f} s after")
    assert 0 < last - hung < GRANT_S + 0.5
    assert is_running(served, state["dnsmasq"])


@pytest.mark.parametrize("signal", ["STOP", "KILL"])
def test_without_its_muter_nobody_is_answered_until_there_is_another(served: Laboratory, signal: str) -> None:
    state, before = told(served), muter(served)
    kill(served, {"pid": before}, signal)
    served.wait_for(lambda: muter(served) not in (None, before), 10, "another muter")
    assert not is_running(served, state["dnsmasq"])
    await_mode(served, "armed")
    with asking(served, "rogue", macs=VMS[:1], take=True, seconds=15) as asked:
        assert asked.wait()[VMS[0]]["leased"]


def test_without_guard_and_muter_the_kernel_mutes(served: Laboratory) -> None:
    """Both stopped in their tracks: there is nothing left but the time that the set has."""
    state, offers, hand = told(served), counted_offers(served), muter(served)
    with asking(served, "rogue", macs=VMS, every=0.05) as asked:
        served.wait_for(lambda: counted_offers(served) > offers, 10, "our offers")
        before = muted(served)
        sh(served, f"kill -STOP {state['process']['pid']} {hand}")
        hung = time.monotonic()
        served.wait_for(lambda: muted(served) > before, 10, "answers that were held back")
        found = asked.end()
    sh(served, f"kill -CONT {state['process']['pid']} {hand}")
    served.wait_for(lambda: armed(served), 15, "armed again")
    last = max(offer[2] for seen in found.values() for offer in seen["offers"])
    report(f"both stopped: last answer {last - hung:.2f} s after")
    assert last - hung < LEASE_S + 0.3


def test_foreign_elements_in_the_armed_set_mute_and_are_said_and_taken_out(served: Laboratory) -> None:
    """The other NIC, and our own for good. Ours goes first: an element that is there already is not changed."""
    name = "inet ciao_gateway armed"
    sh(served, f"printf 'flush set {name}\nadd element {name} {{ eth0 timeout 1m, eth1 }}\n' | nft -f -")
    reason = await_mode(served, "muted", code="foreign-armed")["reason"]
    assert "(eth0)" in reason
    assert "(eth1)" in reason
    served.wait_for(lambda: not armed(served), 5, "an empty set")
    await_mode(served, "armed", deadline=20)


def test_what_was_armed_before_a_start_is_not_taken_over(served: Laboratory) -> None:
    """A guard that starts has proven nothing yet, whatever the one before it had armed a moment ago."""
    state = told(served)
    served.run(["rm", f"{RUN}/live/proof.json"])
    kill(served, state["process"], "KILL")
    served.wait_for(lambda: not armed(served), 5, "an empty set")
    served.run(["nft", "add", "element", "inet", "ciao_gateway", "armed", "{ eth1 timeout 1m }"])
    start_serve(served)
    await_mode(served, "muted", code="unproven")
    assert not armed(served)
    await_mode(served, "armed")


def test_there_is_only_one_guard_and_one_dnsmasq(served: Laboratory) -> None:
    """A second dnsmasq would share the port in silence, and write the same lease file."""
    state = told(served)
    second = served.run([sys.executable, "-P", "-m", "wizard", "serve"], check=False)
    assert second.returncode == 1
    assert "another guard runs already" in second.stderr
    assert told(served) == state
    assert is_running(served, state["process"])
    assert served.run(["ss", "-H", "-lunp", "sport = :67"]).stdout.count("pid=") == 1


def test_dnsmasq_is_told_of_every_other_nic_and_has_no_more_rights_than_it_needs(served: Laboratory) -> None:
    pid = told(served)["dnsmasq"]["pid"]
    line = sh(served, f"tr '\\0' ' ' </proc/{pid}/cmdline")
    assert "--no-dhcp-interface=eth0" in line
    assert "--no-dhcp-interface=eth1" not in line
    status = dict(row.split(":\t", 1) for row in sh(served, f"cat /proc/{pid}/status").splitlines() if ":\t" in row)
    if served.run(["id", "-u"]).stdout == "0\n" and status["Uid"].split()[0] == "0":
        pytest.skip("there is one user only in here")
    assert len({*status["Uid"].split()}) == 1
    assert status["Groups"].strip() == ""
    net_bind_service, net_admin, net_raw = 1 << 10, 1 << 12, 1 << 13
    for held in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[held], 16) == net_bind_service | net_admin | net_raw, held


# Which NIC it is


def test_exchanged_names_mute_and_then_trip_with_the_mac_that_was_expected(served: Laboratory) -> None:
    exchange_names(served)
    try:
        served.wait_for(lambda: not armed(served), 2, "muted")
        state = await_mode(served, "tripped", code="other-nic")
        assert f"expected {LAPTOP_MACS['eth1']}" in state["reason"]
        assert f"found {LAPTOP_MACS['eth0']}" in state["reason"]
        assert state["dnsmasq"] is None
        assert state["dns"] is None
    finally:
        exchange_names(served)
        served.run(["sh", "-c", "ip address replace 192.168.0.200/24 dev eth1; ifdown --force eth0; ifup eth0"])


def test_a_nic_that_was_away_and_is_back_is_raised_and_served_again(served: Laboratory) -> None:
    """As a USB NIC that is unplugged and plugged in: the same MAC, another index, no address, down."""
    before = served.run(["cat", "/sys/class/net/eth1/ifindex"]).stdout
    served.run(["ip", "link", "delete", "eth1"])
    await_mode(served, "muted", code="nic-gone")
    assert not armed(served)
    come = ["ip", "link", "add", "eth1", "address", LAPTOP_MACS["eth1"], "type", "veth", "peer", "name"]
    served.run([*come, "laptop-eth1", "netns", "switch"])
    served.run(["ip", "-n", "switch", "link", "set", "laptop-eth1", "master", "cluster", "up"])
    await_mode(served, "armed", deadline=20)
    assert served.run(["cat", "/sys/class/net/eth1/ifindex"]).stdout != before
    served.machine("reboot", "compute1")
    await_nodes(served)
    assert ciao(served, "status").returncode == 0, ciao(served, "status").stdout


def test_another_nic_under_the_same_name_trips(served: Laboratory) -> None:
    served.run(["ip", "link", "set", "eth1", "address", "00:1b:21:00:00:99"])
    try:
        served.wait_for(lambda: not armed(served), 2, "muted")
        state = await_mode(served, "tripped", code="other-nic")
    finally:
        served.run(["ip", "link", "set", "eth1", "address", LAPTOP_MACS["eth1"]])
    assert f"expected {LAPTOP_MACS['eth1']}, found 00:1b:21:00:00:99" in state["reason"]


def test_somebody_with_our_mac_on_the_other_wire_is_no_loop(served: Laboratory) -> None:
    with (
        asking(served, "guest", macs=[LAPTOP_MACS["eth1"]], every=0.1),
        asking(served, "rogue", macs=[LAPTOP_MACS["eth0"]], every=0.1),
    ):
        assert steadily(lambda: told(served)["mode"] == "armed", 2), told(served)


# Its address and its routes


def test_without_its_address_it_is_mute_and_says_where_that_is(served: Laboratory) -> None:
    """It is not given back beside another NIC that has it."""
    sh(served, f"ip address del {GATEWAY}/24 dev eth1; ip address add {GATEWAY}/24 dev eth0")
    served.wait_for(lambda: "it is on eth0" in told(served)["reason"])
    assert not armed(served)
    (check,) = (each for each in ciao_json(served, "status")["checks"] if each["name"] == "address")
    assert check["remedy"] == f"Take it off eth0: 'sudo ip address del {GATEWAY}/24 dev eth0'."
    served.run(["ip", "address", "add", f"{GATEWAY}/24", "dev", "eth1"])
    served.wait_for(lambda: "it is on eth0, eth1" in told(served)["reason"])
    assert not armed(served)
    served.run(["ip", "address", "del", f"{GATEWAY}/24", "dev", "eth0"])
    await_mode(served, "armed")


def test_a_default_route_over_the_cluster_nic_trips(served: Laboratory) -> None:
    served.run(["ip", "route", "add", "default", "via", NODES["controller"], "metric", "500"])
    state = await_mode(served, "tripped", code="default-route")
    assert "default route" in state["reason"]
    served.run(["ip", "route", "del", "default", "via", NODES["controller"]])


@pytest.mark.parametrize("both", [False, True], ids=["alone", "with the corporate NIC"])
def test_a_cluster_nic_that_is_put_into_a_bridge_is_no_longer_served(served: Laboratory, both: bool) -> None:
    served.run(["ip", "link", "add", "br0", "type", "bridge"])
    try:
        for nic in ("eth0", "eth1") if both else ("eth1",):
            served.run(["ip", "link", "set", nic, "master", "br0"])
        served.wait_for(lambda: not armed(served), 2, "muted")
        state = await_mode(served, *(("tripped",) if both else ("muted",)))
        assert "br0" in state["reason"]
        if not both:
            (check,) = (each for each in ciao_json(served, "status")["checks"] if each["name"] == "guard")
            remedy = check["remedy"].split("'")[1]
            assert remedy == "sudo ip link set eth1 nomaster"
            sh(served, remedy.removeprefix("sudo "))
            await_mode(served, "armed")
    finally:
        served.run(["ip", "link", "delete", "br0"])


# Its rules and its dnsmasq


@pytest.mark.parametrize(
    "loss",
    ["nft flush ruleset", "nft delete table inet ciao_gateway", "nft flush chain inet ciao_gateway guard"],
)
def test_rules_that_somebody_takes_away_are_back_in_a_moment(served: Laboratory, loss: str) -> None:
    sh(served, loss)
    began = time.monotonic()
    chain = ["nft", "list", "chain", "inet", "ciao_gateway", "guard"]
    seconds_until(lambda: "oif != @armed" in served.run(chain, check=False).stdout, began, 5, "the guard's rules")
    await_mode(served, "armed")
    served.wait_for(lambda: armed(served), 5, "armed")
    shown = ciao(served, "status")
    assert shown.returncode == 0, shown.stdout


def test_without_rules_there_is_no_dnsmasq(served: Laboratory) -> None:
    """Where they cannot be loaded again, nothing may run that only they keep mute."""
    script = served.run(["cat", f"{RUN}/live/nat.sh"]).stdout
    served.run(["sh", "-c", f"echo exit 1 >{RUN}/live/nat.sh; nft delete table inet ciao_gateway"])
    try:
        await_mode(served, "muted")
        served.wait_for(lambda: told(served)["dnsmasq"] is None, 5, "dnsmasq stopped")
        assert not served.run(["ss", "-H", "-lun", "sport = :67"]).stdout
    finally:
        served.run(["sh", "-c", f"cat >{RUN}/live/nat.sh"], input=script)
    await_mode(served, "armed")


def test_a_dnsmasq_that_keeps_ending_is_started_again_and_trips_nobody(served: Laboratory) -> None:
    """It is mute meanwhile, says why, and goes on as soon as it may."""
    for _ in range(3):
        child = told(served)["dnsmasq"]
        kill(served, child, "KILL")
        served.wait_for(partial(lambda c: told(served)["dnsmasq"] not in (None, c), child), 10, "another dnsmasq")
        await_mode(served, "armed")
    # A lease file that cannot be its own, for a moment.
    served.run(["sh", "-c", f"mv {LEASES} {LEASES}.kept; mkdir {LEASES}"])
    kill(served, told(served)["dnsmasq"], "KILL")
    await_mode(served, "muted", code="dnsmasq-dies")
    served.wait_for(lambda: f"{LEASES} cannot be opened" in told(served)["reason"], 15, "the reason")
    served.run(["sh", "-c", f"rmdir {LEASES}; mv {LEASES}.kept {LEASES}"])
    await_mode(served, "armed", deadline=40)


def test_hostile_frames_move_nothing(served: Laboratory) -> None:
    before = told(served)
    with actor(served, "rogue", "noise", "eth0") as noise:
        assert steadily(lambda: told(served)["mode"] == "armed" and armed(served), 3), told(served)
        sent = noise.end()
    assert sent["sent"] > 1000
    assert told(served) == before
    served.machine("reboot", "compute2")
    await_nodes(served)
