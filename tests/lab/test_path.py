"""A node's path, broken in every way that we know of: never healthy meanwhile, the cause named, and healthy again
by itself once it is mended.

One gateway for all of it, and no node is asked anything: what is broken is found by the gateway itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab.guarding import RUN, sh
from tests.lab.support import apply, await_nodes, ciao_json
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("path")]

WITHIN_S = 15.0
"""How soon it must be said. Waited for longer, as others may share this machine."""
PATIENCE_S = 45.0


@pytest.fixture(scope="module")
def gateway(lab_possible: None) -> Iterator[Laboratory]:
    with Laboratory() as lab:
        apply(lab)
        await_nodes(lab)
        yield lab


def checks(lab: Laboratory) -> dict[str, Any]:
    return {check["name"]: check for check in ciao_json(lab, "status")["checks"]}


def failed(lab: Laboratory) -> dict[str, str]:
    """What `status` says is wrong, by name; {} exactly where it says healthy."""
    seen = ciao_json(lab, "status")
    found = {check["name"]: check["detail"] for check in seen["checks"] if check["ok"] is False}
    assert seen["healthy"] == (not found) or seen["state"] != "applied"
    return found


@dataclass(frozen=True)
class Break:
    """How a path is broken, what must be said then, and how it is mended. `names`: of the checks that must fail."""

    name: str
    harm: str
    mend: str
    names: Sequence[str] = ()
    words: Sequence[str] = ()


def chain(hook: str, body: str, policy: str = "accept") -> str:
    """A table of somebody else's with one chain, loaded; UNCHAIN takes it away."""
    judge = f"type filter hook {hook} priority 0; policy {policy}; {body};"
    return f"nft 'table inet theirs {{ chain judge {{ {judge} }}; }}'"


OUR_DNSMASQ = f"$(grep -oE '\"(dnsmasq|resolver)\": .\"pid\": [0-9]+' {RUN}/serve.json | grep -oE '[0-9]+$')"
UNCHAIN = "nft delete table inet theirs"
BREAKS = [
    Break(
        "DHCP in",
        chain("input", 'iifname "eth1" udp dport 67 drop'),
        UNCHAIN,
        ["path-dhcp"],
    ),
    Break("DNS in", chain("input", "udp dport 53 reject"), UNCHAIN, ["path-dns"]),
    Break(
        "forward",
        chain("forward", "ct state established accept; reject with icmpx admin-prohibited"),
        UNCHAIN,
        ["path-out", "path-in-8889"],
    ),
    Break("return path", chain("forward", 'iifname "eth0" drop'), UNCHAIN, ["path-out", "path-in-8889"]),
    Break(
        "NAT",
        "nft add table ip theirs; nft 'add chain ip theirs early { type nat hook postrouting priority 90; }';"
        " nft add rule ip theirs early ip saddr 192.168.0.0/24 snat to ip saddr",
        "nft delete table ip theirs",
        ["path-out"],
    ),
    Break(
        "ARP",
        "nft 'table arp theirs { chain judge { type filter hook input priority 0; iifname \"eth1\" drop; }; }'",
        "nft delete table arp theirs",
        ["path-arp"],
    ),
    Break("resolver", chain("output", "meta skuid != 0 udp dport 53 drop"), UNCHAIN, ["path-resolver"]),
    Break(
        "dnsmasq stopped",
        f"kill -STOP {OUR_DNSMASQ}",
        f"kill -CONT {OUR_DNSMASQ}",
        ["path-dhcp", "path-dns"],
    ),
]


@pytest.mark.parametrize("harm", BREAKS, ids=lambda harm: harm.name)
def test_a_broken_path_is_never_healthy_and_its_cause_is_named(gateway: Laboratory, harm: Break) -> None:
    lab = gateway
    lab.wait_for(lambda: failed(lab) == {}, PATIENCE_S, "a healthy gateway")
    sh(lab, harm.harm)
    try:
        lab.wait_for(lambda: set(harm.names) <= set(failed(lab)), PATIENCE_S, f"{harm.names} in {failed(lab)}")
        said = " ".join(failed(lab).values())
        assert not [word for word in harm.words if word not in said], said
    finally:
        sh(lab, harm.mend)
    lab.wait_for(lambda: failed(lab) == {}, PATIENCE_S, "healthy again")
