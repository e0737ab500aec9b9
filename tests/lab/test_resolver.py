"""The laptop's resolver changes under a gateway that serves: followed by SIGHUP, and no node's question is lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest

from tests.lab.guarding import is_running, sh, told
from tests.lab.name_streams import ACTORS, asked_all_along, dig, dig_status
from tests.lab.support import EXAMPLE, LEASES, NODES, apply, await_nodes
from tests.lab.unpacked import unpacked
from tests.needs import need
from wizard.lab.control import Laboratory
from wizard.lab.world import COLLEAGUE_ADDRESS, CORPORATE_ROUTER

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("resolver")]

VPN = COLLEAGUE_ADDRESS
"""A DNS server that knows more than the company's, as one behind a VPN does."""
ZONE = "/run/ciao-lab/vpn"
INNER = [f"inner{number}.vpn.example" for number in range(8)]
OWN = ("controller", "compute2.ciao.lan", "101.0.168.192.in-addr.arpa")


@pytest.fixture(scope="module")
def served(lab_possible: None) -> Iterator[Laboratory]:
    with Laboratory() as lab:
        lines = "".join(f"{name} 10.99.0.{number}\n" for number, name in enumerate(INNER))
        lab.run(["sh", "-c", f"mkdir -p {ZONE}; cat >{ZONE}/zone"], input=lines)
        argv = [sys.executable, ACTORS, "upstream", VPN, ZONE]
        vpn = lab.popen(argv, netns="colleague", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            assert vpn.stdout is not None
            assert vpn.stdout.readline() == "ready\n"
            apply(lab)
            await_nodes(lab)
            yield lab
        finally:
            vpn.kill()
            vpn.communicate()


def knows_the_vpn(lab: Laboratory) -> bool:
    return all(dig(lab, "compute1", name, "A") == [f"10.99.0.{number}"] for number, name in enumerate(INNER))


def knows_nothing_of_it(lab: Laboratory) -> bool:
    return all(dig_status(lab, "compute1", name, "A") == "NXDOMAIN" for name in INNER)


RACK = f"""
[[nodes]]
name = "spare"
role = "compute"
mac  = "00:1b:21:5b:01:01"
ip   = "192.168.0.120"

[[devices]]
name = "switch"
mac  = "00:0c:42:00:00:01"
ip   = "192.168.0.250"

[[records]]
name = "registry"
a = "192.168.0.150"

[[records]]
name = "registry"
aaaa = "fd00::150"

[[records]]
name = "api"
cname = "spare"

[[records]]
name = "_etcd-server._tcp"
srv = "0 10 2380 spare"

[[records]]
name = "note"
txt = "v=1; #5, 7"

[[dns]]
domain = "vpn.example"
servers = ["{CORPORATE_ROUTER}"]
"""
"""Machines that have never been there, and records."""
DUG = {
    "spare A": ["192.168.0.120"],
    "spare.ciao.lan A": ["192.168.0.120"],
    "SPARE.Ciao.Lan A": ["192.168.0.120"],
    "-x 192.168.0.120": ["spare.ciao.lan."],
    "switch A": ["192.168.0.250"],
    "switch.ciao.lan A": ["192.168.0.250"],
    "-x 192.168.0.250": ["switch.ciao.lan."],
    "gateway A": ["192.168.0.200"],
    "gateway.ciao.lan A": ["192.168.0.200"],
    "-x 192.168.0.200": ["gateway.ciao.lan."],
    "registry A": ["192.168.0.150"],
    "registry.ciao.lan A": ["192.168.0.150"],
    "registry.ciao.lan AAAA": ["fd00::150"],
    "-x 192.168.0.150": ["registry.ciao.lan."],
    "-x fd00::150": ["registry.ciao.lan."],
    "api.ciao.lan CNAME": ["spare.ciao.lan."],
    "api A": ["spare.ciao.lan.", "192.168.0.120"],
    "_etcd-server._tcp.ciao.lan SRV": ["0 10 2380 spare.ciao.lan."],
    "note.ciao.lan TXT": ['"v=1; #5, 7"'],
    "note TXT": ['"v=1; #5, 7"'],
    "+tcp spare.ciao.lan A": ["192.168.0.120"],
}
NOBODYS = {
    "spare.ciao.lan AAAA": "NOERROR",
    "spare.ciao.lan HTTPS": "NOERROR",
    "spare.ciao.lan ANY": "NOERROR",
    "nobody.ciao.lan A": "NXDOMAIN",
    "nobody.ciao.lan MX": "NXDOMAIN",
    "_ldap._tcp.dc._msdcs.ciao.lan SRV": "NXDOMAIN",
    "-x 192.168.0.77": "NXDOMAIN",
    "b._dns-sd._udp.0.168.192.in-addr.arpa PTR": "NXDOMAIN",
    "nobody A": "NXDOMAIN",
    "nobody AAAA": "NXDOMAIN",
}
"""What there is no record for, as a client with a search list and a curious one ask."""


def test_names_are_there_before_the_machine_and_nobody_else_is_asked(served: Laboratory) -> None:
    sh(served, resolver(VPN))
    served.wait_for(lambda: knows_the_vpn(served), 20, "the VPN's answers")
    apply(served, EXAMPLE.read_text() + RACK)
    served.wait_for(lambda: dig_status(served, "compute1", "api.ciao.lan", "A") == "NOERROR", 20, "the records")
    assert "00:1b:21:5b:01:01" not in served.run(["cat", LEASES]).stdout
    before = len(asked_of_the_vpn(served))
    for words, answer in DUG.items():
        assert dig(served, "compute1", *words.split()) == answer, words
    for words, status in NOBODYS.items():
        assert dig_status(served, "compute1", *words.split()) == status, words
    # Its own servers have this domain.
    assert dig_status(served, "compute1", INNER[0], "A") == "NXDOMAIN"
    assert asked_of_the_vpn(served)[before:] == []
    assert dig_status(served, "compute1", "nobody.corp.example", "A") == "NXDOMAIN"
    assert asked_of_the_vpn(served)[before:] == ["nobody.corp.example"]
    apply(served)


@contextmanager
def unbroken(lab: Laboratory) -> Iterator[None]:
    """Neither server is another one afterwards, and every question for the cluster's own names had its one answer."""
    before = [told(lab)[server] for server in ("dns", "dnsmasq")]
    with asked_all_along(lab, "compute1", *OWN) as stream:
        yield
    assert [told(lab)[server] for server in ("dns", "dnsmasq")] == before
    assert is_running(lab, before[0])
    assert all(stream.asked[name] > 50 for name in OWN), stream.asked
    assert stream.lost == dict.fromkeys(OWN, 0)
    assert stream.answers["controller"] == [[0, [NODES["controller"]]]]
    assert stream.answers["compute2.ciao.lan"] == [[0, [NODES["compute2"]]]]


def resolver(*servers: str) -> str:
    """Commands that put a file with these in the place of resolv.conf."""
    lines = "".join(f"nameserver {server}\\n" for server in servers)
    return f"printf '{lines}' >/etc/resolv.conf.new; mv -T /etc/resolv.conf.new /etc/resolv.conf"


def test_a_vpn_comes_and_goes(served: Laboratory) -> None:
    """It puts its server in the place of the company's and takes it away; no answer from before stays."""
    sh(served, resolver(CORPORATE_ROUTER))
    served.wait_for(lambda: knows_nothing_of_it(served), 20, "the company's answers")
    with unbroken(served):
        for _ in range(2):
            sh(served, resolver(VPN))
            served.wait_for(lambda: knows_the_vpn(served), 10, "the VPN's names")
            assert told(served)["resolver"]["servers"] == [VPN]
            sh(served, resolver(CORPORATE_ROUTER))
            served.wait_for(lambda: knows_nothing_of_it(served), 10, "their end")


def test_the_file_is_followed_wherever_its_link_leads(served: Laboratory) -> None:
    """As with resolvconf and NetworkManager: a link, another link in its place, a file behind it that is replaced."""
    place = "/run/ciao-lab/resolvers"
    sh(served, f"mkdir -p {place}; echo nameserver {CORPORATE_ROUTER} >{place}/a; echo nameserver {VPN} >{place}/b")
    with unbroken(served):
        sh(served, f"ln -s {place}/a {place}/link; mv -T {place}/link /etc/resolv.conf")
        served.wait_for(lambda: knows_nothing_of_it(served), 10, "those of the first file")
        sh(served, f"ln -s {place}/b {place}/link; mv -T {place}/link /etc/resolv.conf")
        served.wait_for(lambda: knows_the_vpn(served), 10, "those of the second file")
        sh(served, f"cp {place}/a {place}/new; mv {place}/new {place}/b")
        served.wait_for(lambda: knows_nothing_of_it(served), 10, "those of the file in its place")
    assert told(served)["resolver"] == {"servers": [CORPORATE_ROUTER], "reason": ""}


def test_a_domain_has_its_own_servers_whoever_else_is_asked(served: Laboratory) -> None:
    example = EXAMPLE.read_text()
    split = f'{example}\n[[dns]]\ndomain = "vpn.example"\nservers = ["{VPN}"]\n'
    sh(served, resolver(CORPORATE_ROUTER))
    served.wait_for(lambda: knows_nothing_of_it(served), 20, "the company's answers")
    asked_before = asked_of_the_vpn(served)
    with unbroken(served):
        apply(served, split)
        served.wait_for(lambda: knows_the_vpn(served), 10, "the VPN's names")
        # Beside it the resolver goes on changing: that the VPN's is among its servers too makes no difference.
        sh(served, resolver(CORPORATE_ROUTER, VPN))
        served.wait_for(lambda: told(served)["resolver"]["servers"] == [CORPORATE_ROUTER, VPN], 10, "both")
        assert all(knows_the_vpn(served) for _ in range(3))
        sh(served, resolver(CORPORATE_ROUTER))
        served.wait_for(lambda: told(served)["resolver"]["servers"] == [CORPORATE_ROUTER], 10, "one")
        assert dig(served, "compute1", "www.corp.example") == [CORPORATE_ROUTER]
        assert set(asked_of_the_vpn(served)[len(asked_before) :]) <= {*INNER, "www.corp.example"}
        apply(served)
        served.wait_for(lambda: knows_nothing_of_it(served), 10, "the end of the split")


def asked_of_the_vpn(lab: Laboratory) -> list[str]:
    return lab.run(["cat", f"{ZONE}/asked"]).stdout.split()


def there(lab: Laboratory, path: str) -> bool:
    return lab.run(["test", "-e", path], check=False).returncode == 0


@contextmanager
def resolved(lab: Laboratory) -> Iterator[Callable[..., Any]]:
    """systemd-resolved and the bus it is spoken to by; `resolvectl` with arguments."""
    need("dbus-daemon")
    files = unpacked("systemd-resolved")
    account = "systemd-resolve:x:60990:60990::/:/usr/sbin/nologin"
    sh(lab, f"grep -q ^systemd-resolve: /etc/passwd || echo {account} >>/etc/passwd")
    sh(lab, "grep -q ^systemd-resolve: /etc/group || echo systemd-resolve:x:60990: >>/etc/group")
    sh(
        lab,
        f"mkdir -p /run/dbus /etc/dbus-1/system.d; cp {files.place}/usr/share/dbus-1/system.d/* /etc/dbus-1/system.d",
    )
    sh(lab, "mkdir -p /run/systemd/resolve; chown systemd-resolve:systemd-resolve /run/systemd/resolve")
    with ExitStack() as stack:
        for argv, sign in (
            (["dbus-daemon", "--system", "--nofork", "--nopidfile"], "/run/dbus/system_bus_socket"),
            ([str(files.place / "lib/systemd/systemd-resolved")], "/run/systemd/resolve/stub-resolv.conf"),
        ):
            process = lab.popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
            lab.wait_for(partial(there, lab, sign), 15, sign)
        ctl = files.program("resolvectl")
        lab.wait_for(lambda: lab.run([ctl, "status"], check=False).returncode == 0, 15, "systemd-resolved")
        yield lambda *words: lab.run([ctl, *words])


def test_servers_of_a_link_behind_systemd_resolveds_stub_are_followed(served: Laboratory) -> None:
    """resolv.conf names 127.0.0.53 before and after: what is behind it changes, and old answers must die."""
    sh(served, resolver(CORPORATE_ROUTER))
    with resolved(served) as resolvectl:
        resolvectl("dns", "eth0", CORPORATE_ROUTER)
        resolvectl("domain", "eth0", "~.")
        with unbroken(served):
            sh(served, "ln -s /run/systemd/resolve/stub-resolv.conf /etc/link; mv -T /etc/link /etc/resolv.conf")
            served.wait_for(lambda: told(served)["resolver"]["servers"] == ["127.0.0.53"], 10, "the stub")
            served.wait_for(lambda: knows_nothing_of_it(served), 10, "the company's answers")
            assert dig(served, "compute1", "www.corp.example") == [CORPORATE_ROUTER]
            resolvectl("dns", "eth0", VPN)
            served.wait_for(lambda: knows_the_vpn(served), 10, "the VPN's names")
            resolvectl("dns", "eth0", CORPORATE_ROUTER)
            served.wait_for(lambda: knows_nothing_of_it(served), 10, "their end")
            assert told(served)["resolver"]["servers"] == ["127.0.0.53"]
        sh(served, resolver(CORPORATE_ROUTER))
        served.wait_for(lambda: told(served)["resolver"]["servers"] == [CORPORATE_ROUTER], 10, "no stub any more")


def test_ten_thousand_names_come_and_go_without_a_lost_question(served: Laboratory) -> None:
    """What reads them is the same process, and answers for what was there before all the time."""
    sh(served, resolver(CORPORATE_ROUTER))
    count = 10_000
    records = "".join(
        f'\n[[records]]\nname = "r{number}"\na = "10.33.{number >> 8}.{number & 255}"\n' for number in range(count)
    )
    last = (f"r{count - 1}.ciao.lan", f"10.33.{count - 1 >> 8}.{count - 1 & 255}")
    with unbroken(served):
        apply(served, EXAMPLE.read_text() + records)
        served.wait_for(lambda: dig(served, "compute1", last[0], "A") == [last[1]], 30, "the last of them")
        assert dig(served, "compute1", "-x", last[1]) == [f"{last[0]}."]
        apply(served)
        served.wait_for(lambda: dig_status(served, "compute1", last[0], "A") == "NXDOMAIN", 30, "their end")
