"""Somebody takes the gateway's address off the cluster NIC: it is given back once, and a fight is said and ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.fake_networkmanager import installed as networkmanager
from tests.lab.fake_networkmanager import wired
from tests.lab.guarded import GATEWAY
from tests.lab.guarded import served as served
from tests.lab.guarded import world as world
from tests.lab.guarding import armed, await_mode, kill, report, seconds_until, sh, told
from tests.lab.support import apply, await_nodes, ciao, ciao_json, reset
from wizard.lab.control import Laboratory
from wizard.plan.render import PROFILE_UUID

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("guard")]

TAKE = f"ip addr del {GATEWAY}/24 dev eth1"


@pytest.fixture
def calm(served: Laboratory) -> Laboratory:
    """Armed, and nobody has taken anything as far as the guard knows."""
    kill(served, told(served)["process"], "HUP")
    served.wait_for(lambda: told(served)["address"] is None, what="a guard that has forgotten")
    await_mode(served, "armed")
    return served


def check(lab: Laboratory, name: str) -> Any:
    (found,) = (each for each in ciao_json(lab, "status")["checks"] if each["name"] == name)
    return found


def given_back(lab: Laboratory) -> dict[str, Any]:
    def reached() -> Any:
        now = told(lab)
        return now if now["mode"] == "armed" and (now["address"] or {}).get("given_back") else None

    found: dict[str, Any] = lab.wait_for(reached, 20, "the address, given back")
    return found


def taken(lab: Laboratory) -> None:
    """Wait until the guard has seen it."""
    lab.wait_for(lambda: told(lab)["mode"] == "muted" and not armed(lab), 5, "muted")


def test_taken_away_by_hand_it_is_given_back_once_and_shown(calm: Laboratory) -> None:
    sh(calm, TAKE)
    began = time.monotonic()
    state = await_mode(calm, "muted", code="address")
    assert "by somebody; it is given back in a moment" in state["reason"]
    assert not ciao_json(calm, "status")["healthy"]
    given_back(calm)
    report(f"given back and armed {time.monotonic() - began:.1f} s after it was taken away")
    found = check(calm, "address")
    assert found["ok"] is True
    for words in (f"{GATEWAY}/24 on eth1; was taken away at ", " by somebody; given back at "):
        assert words in found["detail"]
    assert "broadcast" not in sh(calm, f"ip route get {GATEWAY}")
    calm.machine("reboot", "compute1")
    await_nodes(calm)
    calm.wait_for(lambda: ciao_json(calm, "status")["healthy"], 20, "healthy")


def test_twice_within_a_minute_is_told_and_an_apply_gives_it_back(calm: Laboratory) -> None:
    sh(calm, TAKE)
    given_back(calm)
    sh(calm, TAKE)
    state = await_mode(calm, "muted", code="address-contested")
    assert f"{GATEWAY} was given back to eth1, and taken away again at" in state["reason"]
    assert "the guard tries again at" in state["reason"]
    status = ciao_json(calm, "status")
    assert (status["state"], status["healthy"]) == ("applied", False)
    remedy = check(calm, "guard")["remedy"]
    assert remedy == check(calm, "address")["remedy"]
    assert "ip monitor address link dev eth1" in remedy
    assert "'sudo ciao-wizard apply'" in remedy
    assert ciao(calm, "apply", "--yes").returncode == 0
    await_mode(calm, "armed")
    calm.wait_for(lambda: ciao_json(calm, "status")["healthy"], 20, "healthy")


def test_a_link_that_somebody_sets_down_is_set_up_again(calm: Laboratory) -> None:
    sh(calm, "ip link set eth1 down")
    seconds_until(lambda: not armed(calm), time.monotonic(), 1, "muted")
    assert "eth1 is set down" in await_mode(calm, "muted", code="address")["reason"]
    found = check(calm, "address")
    assert "eth1 is set down" in found["detail"]
    given_back(calm)
    assert "was set down at" in check(calm, "address")["detail"]
    calm.machine("reboot", "compute2")
    await_nodes(calm)


def test_ifdown_by_a_person_is_named_and_undone_once(calm: Laboratory) -> None:
    sh(calm, "ifdown --force eth1")
    assert "by ifdown (ifupdown does not have eth1 configured)" in await_mode(calm, "muted", code="address")["reason"]
    given_back(calm)
    sh(calm, "ifdown --force eth1")
    await_mode(calm, "muted", code="address-contested")
    assert check(calm, "guard")["remedy"] == "Run 'sudo ciao-wizard apply'."
    assert ciao(calm, "apply", "--yes").returncode == 0
    await_mode(calm, "armed")


@contextmanager
def dhcp_client(lab: Laboratory) -> Iterator[None]:
    """One that flushes the NIC as it starts, as they do, and touches nothing else."""
    script = '#!/bin/sh\n[ "$1" != deconfig ] || ip -4 addr flush dev "$interface"\n'
    at = "/run/ciao-lab/dhcp-script"
    lab.run(["sh", "-c", f"cat >{at} && chmod 755 {at}"], input=script)
    client = lab.popen(["udhcpc", "-f", "-i", "eth1", "-s", at])
    try:
        yield
    finally:
        client.kill()
        client.wait()


def test_a_dhcp_client_is_named_and_once_it_is_stopped_the_address_is_back(calm: Laboratory) -> None:
    with dhcp_client(calm):
        state = await_mode(calm, "muted", code="address")
        assert "by udhcpc (a DHCP client on eth1, process" in state["reason"]
        given_back(calm)
    with dhcp_client(calm):
        await_mode(calm, "muted", code="address-contested")
        remedy = check(calm, "guard")["remedy"]
        command = remedy.split("'")[1]
        assert command.startswith("sudo kill ")
        sh(calm, command.removeprefix("sudo "))
        stopped = time.monotonic()
        given_back(calm)
        report(f"given back {time.monotonic() - stopped:.1f} s after the client was stopped")


def test_another_machine_that_uses_it_meanwhile_keeps_it(calm: Laboratory) -> None:
    sh(calm, TAKE)
    calm.machine("add", "rival", "--mac", "00:1b:21:00:00:77", "--address", f"{GATEWAY}/24")
    try:
        state = await_mode(calm, "muted", code="address-conflict", deadline=20)
        assert "00:1b:21:00:00:77" in state["reason"]
        assert GATEWAY not in sh(calm, "ip -4 addr show dev eth1")
    finally:
        calm.machine("remove", "rival")
    await_mode(calm, "armed", deadline=30)


def test_what_networkmanager_takes_is_told_with_the_remedy_that_works(lab: Laboratory) -> None:
    """First an apply that went through ifupdown, then another profile than ours."""
    apply(lab)
    await_mode(lab, "armed")
    with networkmanager(lab):
        by = "by NetworkManager (NetworkManager has eth1 connected, by its profile 'Wired connection 2')"
        assert by in await_mode(lab, "muted", code="address")["reason"]
        given_back(lab)
        wired(lab)
        await_mode(lab, "muted", code="address-contested")
        remedy = check(lab, "guard")["remedy"]
        assert followed(lab, remedy) == ["ciao-wizard apply"]
        await_mode(lab, "armed")
        assert sh(lab, "cat /run/ciao-lab/nm/active").strip() == PROFILE_UUID
        lab.wait_for(lambda: ciao_json(lab, "status")["healthy"], 20, "healthy")

        wired(lab)
        assert by in await_mode(lab, "muted", code="address")["reason"]
        given_back(lab)
        wired(lab)
        await_mode(lab, "muted", code="address-contested")
        assert len(followed(lab, check(lab, "guard")["remedy"])) == 2
        await_mode(lab, "armed")
        lab.wait_for(lambda: ciao_json(lab, "status")["healthy"], 20, "healthy")
        reset(lab)


def followed(lab: Laboratory, remedy: str) -> list[str]:
    """Run the commands of a remedy to the letter, but for sudo and the question whether to keep it."""
    commands = [command.removeprefix("sudo ") for command in remedy.split("'")[1::2]]
    for command in commands:
        words = command.split()
        done = ciao(lab, *words[1:], "--yes") if words[0] == "ciao-wizard" else lab.run(words, check=False)
        assert done.returncode == 0, done.stderr
    return commands
