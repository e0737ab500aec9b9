"""Names in the cluster: from the plan and the leases, from this machine's resolver, and whatever DHCP does."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.guarding import asking, await_mode, is_running, kill, macs, report, sh, start_serve, told
from tests.lab.port_holder import holding
from tests.lab.support import EXAMPLE, HERE, LEASES, NODES, apply, await_nodes, ciao
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("names")]

GATEWAY = "192.168.0.200"
UPSTREAM, OTHER = "127.0.0.7", "127.0.0.8"
DIR = "/run/ciao-lab/dns"
NOT_THERE, REFUSED = 3, 5
ACTORS = str(HERE / "name_actors.py")


@contextmanager
def upstream(lab: Laboratory, address: str) -> Iterator[None]:
    """The company's DNS server, as far as our name server can tell: on this laptop, with an open ear."""
    zone = f"{DIR}/{address}"
    lab.run(["sh", "-c", f"mkdir -p {zone}; echo www.corp.example {address} >{zone}/zone; : >{zone}/asked"])
    process = lab.popen(
        [sys.executable, ACTORS, "upstream", address, zone], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


def resolver(lab: Laboratory, *servers: str) -> None:
    """Have the laptop's resolver name these, its file replaced as dhclient does it."""
    lines = "".join(f"nameserver {server}\\n" for server in servers)
    sh(lab, f"printf '{lines}' >/etc/resolv.conf.new; mv /etc/resolv.conf.new /etc/resolv.conf")
    lab.wait_for(lambda: told(lab)["resolver"]["servers"] == list(servers), 10, f"resolver {servers}")


@pytest.fixture(scope="module")
def world(lab_possible: None) -> Iterator[Laboratory]:
    with Laboratory() as lab, upstream(lab, UPSTREAM), upstream(lab, OTHER):
        apply(lab)
        await_nodes(lab)
        yield lab


@pytest.fixture
def served(world: Laboratory) -> Laboratory:
    sh(world, "machine plug eth1; rm -rf /etc/resolv.conf", check=False)
    resolver(world, UPSTREAM)
    await_mode(world, "armed", deadline=30)
    await_names(world)
    return world


def ask(lab: Laboratory, *questions: str, netns: str | None = None) -> Any:
    """Answers of our name server: [rcode, records] each; to one question, that alone."""
    words = [word for question in questions for word in (question.split() if " " in question else (question, "A"))]
    found = json.loads(lab.run([sys.executable, ACTORS, "ask", GATEWAY, *words], netns=netns).stdout)
    return found if len(questions) > 1 else found[0]


def await_names(lab: Laboratory) -> None:
    lab.wait_for(lambda: ask(lab, "controller") == [0, [NODES["controller"]]], 20, f"names: {told(lab)}")


def asked(lab: Laboratory, address: str = UPSTREAM) -> list[str]:
    return lab.run(["cat", f"{DIR}/{address}/asked"]).stdout.split()


# Beside DHCP


def test_the_name_server_has_nothing_of_dhcp(served: Laboratory) -> None:
    dns, dhcp = told(served)["dns"]["pid"], told(served)["dnsmasq"]["pid"]
    sockets = sh(served, "ss -H -a -n -p -u; ss -H -l -n -p -t; ss -H -a -n -p -0").splitlines()
    assert not [line for line in sockets if f"pid={dns}," in line and (":67 " in line or "p_raw" in line)], sockets
    assert not [line for line in sockets if f"pid={dhcp}," in line and ":53 " in line], sockets
    assert [line for line in sockets if f"pid={dns}," in line and f"{GATEWAY}:53" in line], sockets
    status = sh(served, f"cat /proc/{dns}/status")
    assert "CapEff:\t0000000000000400" in status
    assert "CapBnd:\t0000000000000400" in status
    assert "Uid:\t60867" in status
    assert "dhcp" not in sh(served, "cat /run/ciao-wizard/live/dns.cfg").replace("no-dhcp", "")


def test_names_go_on_while_the_cable_is_out_and_dhcp_rests(served: Laboratory) -> None:
    before = told(served)["dns"]
    served.machine("unplug", "eth1")
    await_mode(served, "muted", code="no-carrier")
    dhcp = told(served)["dnsmasq"]["pid"]
    served.wait_for(lambda: sh(served, f"cat /proc/{dhcp}/stat").rpartition(")")[2].split()[0] == "T", 5, "at rest")
    assert ask(served, "compute1", "www.corp.example") == [[0, [NODES["compute1"]]], [0, [UPSTREAM]]]
    served.machine("plug", "eth1")
    served.wait_for(lambda: ask(served, "compute1", netns="controller"), 10, "names once the cable is in")
    assert told(served)["dns"] == before


def test_each_is_started_again_by_itself_and_both_die_with_the_guard(served: Laboratory) -> None:
    dns, dhcp = told(served)["dns"], told(served)["dnsmasq"]
    kill(served, dns, "KILL")
    served.wait_for(lambda: told(served)["dns"] not in (None, dns), 10, "another name server")
    await_names(served)
    dns = told(served)["dns"]
    assert told(served)["dnsmasq"] == dhcp
    kill(served, dhcp, "KILL")
    served.wait_for(lambda: told(served)["dnsmasq"] not in (None, dhcp), 10, "another DHCP server")
    state = await_mode(served, "armed")
    assert state["dns"] == dns
    kill(served, state["process"], "KILL")
    served.wait_for(lambda: not any(is_running(served, state[key]) for key in ("dns", "dnsmasq")), 5, "their end")
    start_serve(served)
    await_mode(served, "armed", deadline=30)
    await_names(served)


def test_dhcp_goes_on_while_somebody_has_port_53(served: Laboratory) -> None:
    """And who has it is said; names come by themselves once it is free."""
    before = told(served)
    kill(served, before["process"], "KILL")
    served.wait_for(lambda: not is_running(served, before["dns"]), 5, "a free port")
    with holding(served, "SOCK_STREAM", 53, GATEWAY):
        start_serve(served)
        state = await_mode(served, "armed", deadline=30)
        served.machine("reboot", "compute1")
        await_nodes(served)
        served.wait_for(lambda: "tcp port 53" in told(served)["dns_reason"], 15, "who has the port")
        assert "python3 (process " in told(served)["dns_reason"]
        assert told(served)["mode"] == "armed"
        assert told(served)["dnsmasq"] == state["dnsmasq"]
    await_names(served)
    assert told(served)["dns_reason"] == ""


def test_both_go_on_while_the_name_servers_files_cannot_be_written(served: Laboratory) -> None:
    file = "/run/ciao-wizard/live/dns.servers"
    before = told(served)
    sh(served, f"mv {file} {file}.kept; mkdir -p {file}/x; echo nameserver {OTHER} >/etc/resolv.conf")
    served.wait_for(lambda: "cannot be written" in told(served)["dns_reason"], 10, "the reason")
    kill(served, before["process"], "HUP")
    served.wait_for(lambda: told(served)["taken_up"] > before["taken_up"], 10, "its taking up")
    assert await_mode(served, "armed")["dnsmasq"] == before["dnsmasq"]
    assert ask(served, "compute1") == [0, [NODES["compute1"]]]
    sh(served, f"rm -r {file}; mv {file}.kept {file}")
    served.wait_for(lambda: told(served)["dns_reason"] == "", 10, "its end")
    await_answer_by(served, OTHER)


def test_a_dns_server_that_takes_our_address_later_is_not_asked(served: Laboratory) -> None:
    """As bind9 does, which then refuses every node."""
    dns = told(served)["dns"]
    shared = "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)"
    with holding(served, "SOCK_DGRAM", 53, GATEWAY, more=shared):
        served.wait_for(lambda: told(served)["dns"] not in (None, dns), 15, "another name server")
        await_names(served)
        dns = told(served)["dns"]
        assert ask(served, "compute1", netns="controller") == [0, [NODES["compute1"]]]
    await_names(served)
    assert told(served)["dns"] == dns


# Whom it asks


def answered_by(lab: Laboratory) -> Any:
    return ask(lab, "www.corp.example")[1][:1]


def await_answer_by(lab: Laboratory, address: str) -> None:
    lab.wait_for(lambda: answered_by(lab) == [address], 15, f"an answer of {address}; {told(lab)['resolver']}")


def test_the_resolver_is_followed_wherever_its_file_goes(served: Laboratory) -> None:
    await_answer_by(served, UPSTREAM)
    sh(served, f"echo nameserver {OTHER} >/etc/resolv.conf")
    await_answer_by(served, OTHER)
    # A link that is replaced, to a file that only root reads, behind a directory that comes later.
    sh(
        served,
        "mkdir -p /run/ciao-lab/r1; rm -rf /run/ciao-lab/r2; umask 077; ln -sf /run/ciao-lab/r2/x /etc/resolv.new",
    )
    sh(served, "mv -T /etc/resolv.new /etc/resolv.conf")
    served.wait_for(lambda: "does not exist" in told(served)["resolver"]["reason"], 10, "no resolver")
    assert ask(served, "www.corp.example", "compute1") == [[REFUSED, []], [0, [NODES["compute1"]]]]
    sh(served, f"umask 077; mkdir /run/ciao-lab/r2; echo nameserver {UPSTREAM} >/run/ciao-lab/r2/x")
    await_answer_by(served, UPSTREAM)
    # Our own address would go round in a circle; a zone is a NIC's name.
    sh(served, f"printf 'nameserver {GATEWAY}\\nnameserver fe80::53%%eth0\\nnameserver {OTHER}\\n' >/run/ciao-lab/r2/x")
    await_answer_by(served, OTHER)
    assert told(served)["resolver"] == {"servers": ["fe80::53%eth0", OTHER], "reason": ""}
    for bad in ("rm /etc/resolv.conf", "mkdir /etc/resolv.conf", "rmdir /etc/resolv.conf; mkfifo /etc/resolv.conf"):
        sh(served, bad)
        served.wait_for(lambda: told(served)["resolver"]["reason"], 10, "no resolver")
        assert told(served)["mode"] == "armed"
    sh(served, "rm /etc/resolv.conf")


def test_what_was_answered_before_the_resolver_changed_is_asked_anew(served: Laboratory) -> None:
    for name in ("hidden.corp.example", "www.corp.example"):
        ask(served, name)
    assert ask(served, "hidden.corp.example")[0] == NOT_THERE
    sh(served, f"echo hidden.corp.example 10.1.1.1 >>{DIR}/{UPSTREAM}/zone")
    assert ask(served, "hidden.corp.example")[0] == NOT_THERE, "it is not cached at all"
    # The same servers: a VPN that puts a search list before them.
    sh(served, f"printf 'search corp.example\\nnameserver {UPSTREAM}\\n' >/etc/resolv.conf")
    served.wait_for(lambda: ask(served, "hidden.corp.example") == [0, ["10.1.1.1"]], 10, "the new answer")


# The cluster's own


def backwards(address: str) -> str:
    return ".".join([*reversed(address.split(".")), "in-addr.arpa"]) + " PTR"


def test_what_is_the_clusters_is_asked_of_nobody_else(served: Laboratory) -> None:
    node, nobody = backwards(NODES["controller"]), backwards("192.168.0.7")
    own = ["controller.ciao.lan", "controller.ciao.lan AAAA", "controller.ciao.lan TXT", "controller AAAA", "nobody"]
    own += ["ciao.lan", "ciao.lan NS", "nobody.ciao.lan", "_ldap._tcp.ciao.lan TXT", "nobody AAAA", node, nobody]
    before = len(asked(served))
    found = dict(zip(own, ask(served, *own), strict=True))
    assert asked(served)[before:] == []
    assert found["controller.ciao.lan"] == [0, [NODES["controller"]]]
    assert found["controller AAAA"] == found["controller.ciao.lan TXT"] == [0, []]
    assert found["nobody.ciao.lan"][0] == found["nobody"][0] == found[nobody][0] == NOT_THERE
    assert found[node] == [0, ["controller.ciao.lan"]]
    # The neighbour subnet is not the cluster's.
    ask(served, backwards("192.168.1.7"))
    assert asked(served)[before:] == ["7.1.168.192.in-addr.arpa"]


def test_nodes_have_their_names_before_they_have_a_lease(served: Laboratory) -> None:
    done = ciao(served, "reset", "--only", "leases", "--yes")
    assert done.returncode == 0, done.stderr
    questions = [word for name, address in NODES.items() for word in (name, backwards(address))]
    answers = [[0, [word]] for name, address in NODES.items() for word in (address, f"{name}.ciao.lan")]
    await_names(served)
    assert not [name for name in NODES if name in served.run(["cat", LEASES]).stdout]
    assert ask(served, *questions) == answers


def test_a_machine_has_the_name_it_gives_itself_unless_that_is_anothers(served: Laboratory) -> None:
    served.machine("add", "host", "--mac", "00:1b:21:00:00:66", "--no-dhcp")
    names = ["vm-7", "compute1", "gateway", "_gateway", "localhost", "isatap", "wpad", "ntp"]
    leased = {}
    for number, name in enumerate(names):
        mac = f"02:00:00:00:0f:{number:02x}"
        with asking(served, "host", macs=[mac], hostname=name, take=True, every=0.2, seconds=20) as asking_it:
            leased[name] = asking_it.wait()[mac]["leased"]
    assert None not in leased.values(), leased
    served.wait_for(lambda: ask(served, "vm-7") == [0, [leased["vm-7"]]], 10, "its name")
    assert ask(served, backwards(leased["vm-7"])) == [0, ["vm-7.ciao.lan"]]
    found = dict(zip(names, ask(served, *names), strict=True))
    assert found["compute1"] == [0, [NODES["compute1"]]]
    assert found["gateway"] == [0, [GATEWAY]]
    assert not [name for name in names[3:] if leased[name] in found[name][1]], found
    dns = told(served)["dns"]
    served.machine("reboot", "compute1")
    await_nodes(served, {"compute1": NODES["compute1"]})
    assert told(served)["dns"] == dns


ADDRESSES = """
[[dns]]
domain = "split.example"
servers = ["127.0.0.8"]

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
name = "git.other.example"
a = "192.168.0.151"
"""
OTHERS = r"""
[[records]]
name = "api"
cname = "registry"

[[records]]
name = "_etcd._tcp"
srv = "0 10 2380 controller"

[[records]]
name = "note"
txt = 'v=1; "quoted", back\slash, #5'
"""


@contextmanager
def questions_all_along(lab: Laboratory, name: str) -> Iterator[list[Any]]:
    """One question after the other while the body runs; their answers."""
    answers: list[Any] = []
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            answers.append(ask(lab, name, netns="compute1"))

    asking_it = threading.Thread(target=go_on)
    asking_it.start()
    try:
        yield answers
    finally:
        over.set()
        asking_it.join()


def test_the_plans_own_names_come_without_a_restart_and_a_missed_question(served: Laboratory) -> None:
    """The resolver here is on this machine itself, as with systemd-resolved: it is no target of the way out."""
    sh(served, f"echo git.split.example 10.9.9.9 >>{DIR}/{OTHER}/zone")
    example = EXAMPLE.read_text()
    before = [told(served)[server] for server in ("dns", "dnsmasq")]
    company = len(asked(served))
    with questions_all_along(served, "controller") as answers:
        apply(served, example + ADDRESSES)
        served.wait_for(lambda: ask(served, "registry")[1] == ["192.168.0.150"], 20, "the record")
    assert len(answers) > 3
    assert all(answer == [0, [NODES["controller"]]] for answer in answers), answers
    assert [told(served)[server] for server in ("dns", "dnsmasq")] == before
    found = ask(
        served,
        "registry.ciao.lan AAAA",
        "registry AAAA",
        backwards("192.168.0.150"),
        "git.other.example",
        "switch.ciao.lan",
        backwards("192.168.0.250"),
        "git.split.example",
    )
    assert [records for _, records in found] == [
        ["fd00::150"],
        ["fd00::150"],
        ["registry.ciao.lan"],
        ["192.168.0.151"],
        ["192.168.0.250"],
        ["switch.ciao.lan"],
        ["10.9.9.9"],
    ]
    # Other servers were asked for the domain that is theirs, and the company for nothing.
    assert asked(served)[company:] == []
    assert asked(served, OTHER)[-1] == "git.split.example"


def test_records_of_other_kinds_restart_the_name_server_alone(served: Laboratory) -> None:
    dhcp = told(served)["dnsmasq"]
    apply(served, EXAMPLE.read_text() + ADDRESSES + OTHERS)
    served.wait_for(lambda: (ask(served, "api") or [0, []])[1][-1:] == ["192.168.0.150"], 20, "the alias")
    assert told(served)["dnsmasq"] == dhcp
    found = ask(served, "api.ciao.lan CNAME", "_etcd._tcp.ciao.lan SRV", "note TXT", "note.ciao.lan TXT", "api TXT")
    text = r'v=1; "quoted", back\slash, #5'
    assert [records for _, records in found[:4]] == [
        ["registry.ciao.lan"],
        ["0 10 2380 controller.ciao.lan"],
        [text],
        [text],
    ]
    apply(served)
    served.wait_for(lambda: ask(served, "api")[0] == NOT_THERE, 20, "the alias gone")
    assert told(served)["dnsmasq"] == dhcp


def acknowledged(lab: Laboratory) -> int:
    return lab.run(["cat", "/run/ciao-wizard/dnsmasq.log"]).stdout.count(f"DHCPACK(eth1) {NODES['compute2']}")


def test_a_crowd_of_virtual_machines_keeps_no_node_waiting(served: Laboratory) -> None:
    """Looking whether each new address is free, dnsmasq hears nobody for 18 of the first 30 seconds."""
    before = acknowledged(served)
    with asking(served, "host", macs=macs(400, "02:00:00:0c"), take=True, every=1.0, seconds=120) as crowd:
        served.wait_for(lambda: "02:00:00:0c" in served.run(["cat", LEASES]).stdout, 30, "the crowd at work")
        since = time.monotonic()
        served.machine("reboot", "compute2")
        served.wait_for(lambda: acknowledged(served) > before, 12, "an answer to the node")
        report(f"a node among 400 machines is answered after {time.monotonic() - since:.1f} s")
        crowd.end()
    await_nodes(served)
    assert ask(served, "compute1", netns="compute2") == [0, [NODES["compute1"]]]


def test_nothing_of_it_outlives_a_reset(served: Laboratory) -> None:
    """Also where it was stopped, and hears no SIGTERM."""
    state = told(served)
    kill(served, state["dns"], "STOP")
    done = ciao(served, "reset", "--yes", "--forget-leases")
    assert done.returncode == 0, done.stderr
    assert not is_running(served, state["dns"])
    assert f"{GATEWAY}:53" not in sh(served, "ss -H -lnt; ss -H -lnu")
    assert not sh(served, "ls -d /run/ciao-wizard/live/dns.* /run/ciao-wizard/dns.log 2>/dev/null", check=False)
