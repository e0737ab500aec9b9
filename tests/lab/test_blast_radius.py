"""Nothing of ours on the corporate wire: not with a dnsmasq that is told to serve there, and not while a cable moves.

dnsmasq is started as the guard starts it, and the guard's word for the cluster NIC is given all the time: what
keeps the corporate wire clean is the packet filter alone. Each case then takes that away and sees the answers come.
"""

from __future__ import annotations

import time

import pytest

from tests.lab.blast_radius import CASES, SHORT_S, Case, corporate_stays_clean
from tests.lab.blast_radius import unguarded as unguarded
from tests.lab.guarding import (
    actor,
    armed,
    asking,
    await_mode,
    from_us,
    hearing,
    macs,
    muted,
    muter,
    report,
    seconds_until,
    sh,
    told,
)
from tests.lab.support import LEASES, apply, plan_with
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("blast")]

HELD_S = 5
"""Longer than the guard would arm: this must see our offers on a busy machine too."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_dnsmasq_forced_onto_the_corporate_nic_is_not_heard_there(unguarded: Laboratory, case: Case) -> None:
    corporate_stays_clean(unguarded, case, SHORT_S)


def test_a_cable_moved_to_the_office_while_400_clients_ask_shows_none_of_our_offers_there(lab: Laboratory) -> None:
    clients = macs(400, "02:00:00:07")
    # Those who have a lease are answered without the three seconds that dnsmasq looks whether an address is free.
    leased = "".join(f"2000000000 {mac} 192.168.0.{130 + n} * *\n" for n, mac in enumerate(clients[:60]))
    lab.run(["sh", "-c", f"cat >{LEASES}"], input=leased)
    apply(lab, plan_with(('"192.168.0.64/26"', '"192.168.0.128/26"')))
    lab.machine("add", "rogue", "--mac", "00:1b:21:00:00:66", "--no-dhcp")
    lab.machine("add", "guest", "--mac", "00:1b:21:00:00:67", "--no-dhcp", "--switch", "corporate")
    with asking(lab, "rogue", macs=clients, seconds=2, every=0.3) as asked:
        assert sum(bool(seen["offers"]) for seen in asked.wait().values()) >= 60

    with asking(lab, "guest", macs=clients, every=0.25):
        with hearing(lab, "corporate") as ears:
            with actor(lab, None, "watch", "eth1") as watch:
                lab.machine("move", "eth1", "corporate")
                await_mode(lab, "tripped", deadline=20)
                events = watch.end()
            heard = ears.end()
        # One that is quick at it is told of once, when the cable is in again; and the mute may come before that.
        moved = next(at for at, what in events if what in ("down", "up"))
        mute = next(at for at, what in events if what == "muted")
        others = sum(frame["kind"] == "offer" for frame in heard)
        report(f"{len(from_us(heard))} of our offers and {others} of the office's own seen on its switch")
        report(f"muted {1000 * (mute - moved):.1f} ms after the kernel told of the cable")
        assert from_us(heard) == []
        assert [frame for frame in heard if frame["kind"] == "offer"]

        # Guard and muter hang in that very moment: only the kernel's timeout is left, and it holds.
        lab.machine("move", "eth1", "cluster")
        apply(lab)
        lab.wait_for(lambda: armed(lab), 5, "armed")
        both = f"{told(lab)['process']['pid']} {muter(lab)}"
        with hearing(lab, "corporate") as ears:
            sh(lab, f"kill -STOP {both}")
            name = "inet ciao_gateway armed"
            sh(lab, f"printf 'flush set {name}\nadd element {name} {{ eth1 timeout {HELD_S}s }}\n' | nft -f -")
            hung = time.monotonic()
            lab.machine("move", "eth1", "corporate")
            empty = seconds_until(lambda: not armed(lab), hung)
            before = muted(lab)
            lab.wait_for(lambda: muted(lab) > before, 5, "answers that were held back")
            ours = from_us(ears.end())
        sh(lab, f"kill -CONT {both}", check=False)
        await_mode(lab, "tripped", deadline=20)
    last = max((frame["at"] - hung for frame in ours), default=0.0)
    seen = f"{len(ours)} of our answers seen, the last after {last:.2f} s"
    report(f"with a guard and a muter that hang: {seen}; mute after {empty:.2f} s")
    assert ours, "this test cannot see our offers at all"
    assert last < HELD_S + 0.2
