"""The guard from a boot to a reset: what it starts into, whom it then answers, and what is left of it."""

from __future__ import annotations

import pytest
from netaddr import IPNetwork

from tests.lab.guarding import (
    RUN,
    STRANGERS,
    VMS,
    armed,
    asking,
    await_mode,
    exchange_names,
    had_a_lease,
    is_running,
    kill,
    sh,
    start_serve,
    told,
)
from tests.lab.support import BRIEF, apply, await_nodes, ciao, ciao_json, differences, plan_with, reset, whole
from wizard.lab.control import Laboratory
from wizard.lab.world import LAPTOP_MACS

pytestmark = pytest.mark.lab


def test_after_a_reboot_it_is_all_there_again_unless_the_names_are_exchanged(lab: Laboratory) -> None:
    apply(lab)
    reboot(lab)
    await_mode(lab, "armed", deadline=20)
    lab.machine("reboot", "controller")
    await_nodes(lab)
    assert ciao(lab, "status").returncode == 0, ciao(lab, "status").stdout

    reboot(lab, exchange_names)
    state = await_mode(lab, "tripped", code="other-nic")
    assert f"eth1 is another NIC: expected {LAPTOP_MACS['eth1']}, found {LAPTOP_MACS['eth0']}" in state["reason"]
    assert "the one that was meant is now called eth0" in state["reason"]
    assert not lab.run(["ss", "-H", "-lun", "sport = :67"]).stdout
    assert not armed(lab)


def reboot(lab: Laboratory, meanwhile: object = None) -> None:
    """What a reboot of the laptop leaves: /etc and /var, and a service that starts."""
    state = told(lab)
    kill(lab, state["process"], "TERM")
    lab.wait_for(lambda: not is_running(lab, state["process"]))
    sh(lab, f"nft flush ruleset; ip address flush dev eth1; ip link set eth1 down; rm -rf {RUN}")
    sh(lab, "rm /run/network/ifstate.eth1; for n in eth0 eth1; do echo 0 >/proc/sys/net/ipv4/conf/$n/forwarding; done")
    if callable(meanwhile):
        meanwhile(lab)
    lab.run(["mkdir", RUN])
    start_serve(lab)


def test_a_reset_while_tripped_gives_everything_back(lab: Laboratory) -> None:
    before = whole(lab)
    # Also with a umask that would lock dnsmasq's user out of what is made for it.
    applying = ["sh", "-c", "umask 077; exec ciao-wizard apply -c - --yes"]
    done = lab.run(applying, input=plan_with(), check=False, env=BRIEF)
    assert done.returncode == 0, done.stderr
    await_nodes(lab)
    lab.machine("join")
    await_mode(lab, "tripped")
    reset(lab)
    lab.machine("part")
    assert not differences(before, whole(lab))


def test_strangers_are_answered_only_where_the_plan_says_everyone(lab: Laboratory) -> None:
    had_a_lease(lab, [*STRANGERS, *VMS])
    lab.machine("add", "rogue", "--mac", "00:1b:21:00:00:66", "--no-dhcp")
    for answer, answered in (("known", VMS), ("everyone", [*STRANGERS, *VMS])):
        apply(lab, plan_with(('answer     = "known"', f'answer     = "{answer}"')))
        lab.wait_for(lambda: armed(lab), 5, "armed")
        with asking(lab, "rogue", macs=[*STRANGERS, *VMS], every=0.3, seconds=2) as asked:
            offers = {mac for mac, seen in asked.wait().items() if seen["offers"]}
        assert offers == {*answered}
    found = ciao_json(lab, "check", "-c", "/etc/ciao-wizard/gateway.toml")
    assert any(f["severity"] == "warning" and f["field"] == "network.answer" for f in found)
    with asking(lab, "rogue", macs=["00:1b:21:00:00:31"], take=True, seconds=15) as asked:
        leased = asked.wait()["00:1b:21:00:00:31"]["leased"]
    assert leased in IPNetwork("192.168.0.64/26")
