"""What the packet filter lets by and what not, as nat.sh loads it: nothing else of the gateway runs here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.lab import frames
from tests.lab.support import EXAMPLE, GATEWAY, HERE, OFFICE, Question, ask, page, peer, usable, wrong
from wizard.lab.control import Laboratory
from wizard.lab.world import COLLEAGUE_ADDRESS, LAPTOP_MACS
from wizard.plan import paths
from wizard.plan.file.read import load_plan
from wizard.plan.render import DHCP_UID, render

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("rules")]

NODE, NODE_MAC = "192.168.0.150", "00:1b:21:00:01:50"
SCRIPT = "/run/ciao-lab/nat.sh"
FORWARDS = f"""
[[forwards]]
port = 8080
to = "{NODE}"
to_port = 80

[[forwards]]
port = 6001
to = "{NODE}"
to_port = 6000
protocol = "udp"
"""


def load(lab: Laboratory, forwards: str, loading: str = SCRIPT) -> None:
    """The rules of the example with these forwards more, by hand."""
    text = EXAMPLE.read_text() + forwards
    script = next(file.text for file in render(load_plan(text, "plan"), text) if file.path == paths.NAT_SCRIPT)
    lab.run(["sh", "-c", f"cat >{SCRIPT} && chmod 755 {SCRIPT}"], input=script)
    lab.run([SCRIPT, "up"] if loading == SCRIPT else [sys.executable, "-c", loading])


@pytest.fixture(scope="module")
def laptop(lab_possible: None) -> Iterator[Laboratory]:
    """A laptop with the address and the rules of a gateway, and a node that needs no DHCP."""
    with Laboratory() as lab:
        lab.run(["ip", "address", "add", f"{GATEWAY}/24", "dev", "eth1"])
        lab.run(["ip", "link", "set", "eth1", "up"])
        lab.machine("add", "node", "--mac", NODE_MAC, "--address", f"{NODE}/24")
        lab.run(["ip", "-n", "node", "route", "add", "default", "via", GATEWAY])
        load(lab, FORWARDS)
        with peer(lab, "serve", "laptop", "3000"):
            yield lab


class Ear:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def heard(self) -> list[tuple[str, ...]]:
        """What it has heard so far; it hears nothing from here on."""
        out, _ = self.process.communicate(timeout=20)
        return [frames.read(bytes.fromhex(line)) for line in out.split()]


@contextmanager
def hearing(lab: Laboratory, netns: str | None, nic: str = "eth0") -> Iterator[Ear]:
    process = lab.popen(
        [sys.executable, str(HERE / "frames.py"), "hear", nic],
        netns=netns,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Ear(process)
    finally:
        process.kill()
        process.wait()


def send(lab: Laboratory, netns: str | None, *sent: str, nic: str = "eth0") -> None:
    lab.run([sys.executable, str(HERE / "frames.py"), "send", nic], netns=netns, input="\n".join(sent))


def from_node(source: tuple[str, int], target: tuple[str, int]) -> str:
    return frames.udp(NODE_MAC, LAPTOP_MACS["eth1"], source, target)


# Sources on the cluster's NIC


def test_the_clusters_nic_is_for_the_clusters_sources(laptop: Laboratory) -> None:
    """An answer to another source would leave by another NIC: into the office."""
    with peer(laptop, "echo", "laptop", "53"), hearing(laptop, "colleague") as office:
        send(
            laptop,
            "node",
            from_node((COLLEAGUE_ADDRESS, 5353), (GATEWAY, 53)),
            from_node((COLLEAGUE_ADDRESS, 5354), (OFFICE, 53)),
            from_node(("10.77.0.1", 5355), (COLLEAGUE_ADDRESS, 7)),
            from_node(("127.0.0.1", 5356), (COLLEAGUE_ADDRESS, 7)),
            from_node(("0.0.0.0", 5357), (COLLEAGUE_ADDRESS, 7)),  # noqa: S104
            from_node((NODE, 5358), (COLLEAGUE_ADDRESS, 9)),
        )
        answered = {"a node": Question("node", "udp", f"{GATEWAY}:53", f"laptop 53\nasked by {NODE}\n")}
        assert wrong(laptop, answered) == {}
        heard = [frame for frame in office.heard() if frame[:1] == ("udp",)]
    assert [frame for frame in heard if frame[4] == "9"] == [("udp", OFFICE, "5358", COLLEAGUE_ADDRESS, "9")]
    assert [frame for frame in heard if frame[4] != "9" and not frame[3].startswith(("224.", "255."))] == []


SINK = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
    here.bind(("", 67))
    print("ready", flush=True)
    while True:
        print(here.recvfrom(2048)[1][0], flush=True)
"""


def test_dhcp_reaches_us_from_those_without_an_address_and_is_forwarded_nowhere(laptop: Laboratory) -> None:
    everyone, nobody = "255.255.255.255", "0.0.0.0"  # noqa: S104
    sink = laptop.popen([sys.executable, "-c", SINK], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert sink.stdout is not None
        assert sink.stdout.readline() == "ready\n"
        with hearing(laptop, "colleague") as office:
            send(
                laptop,
                "node",
                from_node((NODE, 67), (COLLEAGUE_ADDRESS, 68)),
                from_node((NODE, 68), (COLLEAGUE_ADDRESS, 67)),
                from_node((NODE, 547), (COLLEAGUE_ADDRESS, 546)),
                from_node((COLLEAGUE_ADDRESS, 68), (GATEWAY, 67)),
                # Who has no address yet, and who comes from another network and asks whether his is still good.
                frames.udp(NODE_MAC, frames.EVERYONE, (nobody, 68), (everyone, 67)),
                frames.udp(NODE_MAC, frames.EVERYONE, (COLLEAGUE_ADDRESS, 68), (everyone, 67)),
                from_node((NODE, 68), (GATEWAY, 67)),
                from_node((NODE, 4000), (COLLEAGUE_ADDRESS, 9)),
            )
            came: list[str] = []
            while NODE not in came:
                came.append(sink.stdout.readline().strip())
            # The laboratory's own nodes, which have no address either, ask all the while.
            assert list(dict.fromkeys(came)) == [nobody, COLLEAGUE_ADDRESS, NODE]
            assert ask(laptop, {"it": Question("node", "ping", COLLEAGUE_ADDRESS, "answers")}) == {"it": "answers"}
            heard = office.heard()
    finally:
        sink.kill()
        sink.communicate()
    assert [frame[2:] for frame in heard if frame[:2] == ("udp", OFFICE)] == [("4000", COLLEAGUE_ADDRESS, "9")]


# The company's NIC


def test_the_laptop_stays_on_a_company_network_that_has_the_clusters_addresses(laptop: Laboratory) -> None:
    ours, theirs = "192.168.0.57", "192.168.0.58"
    mac = {"eth0": LAPTOP_MACS["eth0"], "colleague": "00:1b:21:5a:00:50"}
    laptop.run(["ip", "address", "add", f"{ours}/24", "dev", "eth0", "noprefixroute"])
    laptop.run(["ip", "route", "add", f"{theirs}/32", "dev", "eth0", "src", ours])
    laptop.run(["ip", "-n", "colleague", "address", "add", f"{theirs}/24", "dev", "eth0"])
    laptop.run(["ip", "-n", "colleague", "neigh", "add", GATEWAY, "lladdr", mac["eth0"], "dev", "eth0"])
    try:
        asked = {
            "the laptop": Question("colleague", "fetch", f"http://{ours}:3000/", page("laptop", 3000, ours, theirs)),
            "its forward": Question("colleague", "fetch", f"http://{ours}:8080/", page("node", 80, NODE, GATEWAY)),
            "the gateway's address": Question("colleague", "fetch", f"http://{GATEWAY}:3000/"),
            "a node's connection to the colleague": Question("node", "fetch", f"http://{theirs}/"),
        }
        with hearing(laptop, "colleague") as office:
            assert wrong(laptop, asked) == {}
            send(laptop, "node", from_node((NODE, 5000), (theirs, 9)))
            assert wrong(laptop, {"the laptop": asked["the laptop"]}) == {}
            assert [frame for frame in office.heard() if frame[:2] == ("udp", NODE)] == []
    finally:
        laptop.run(["ip", "-n", "colleague", "neigh", "del", GATEWAY, "dev", "eth0"])
        laptop.run(["ip", "-n", "colleague", "address", "del", f"{theirs}/24", "dev", "eth0"])
        laptop.run(["ip", "route", "del", f"{theirs}/32", "dev", "eth0"])
        laptop.run(["ip", "address", "del", f"{ours}/24", "dev", "eth0"])


UNTRACKED = (
    "table ip untracked { chain output { type filter hook output priority raw; ip daddr 10.77.0.199 notrack; }; }"
)


def test_the_office_hears_nothing_of_the_clusters_address(laptop: Laboratory) -> None:
    colleague = "00:1b:21:5a:00:50"
    with hearing(laptop, "colleague") as office:
        send(
            laptop,
            "colleague",
            frames.arp(colleague, COLLEAGUE_ADDRESS, GATEWAY),
            frames.arp(colleague, "0.0.0.0", GATEWAY),  # noqa: S104
            frames.arp(colleague, COLLEAGUE_ADDRESS, OFFICE),
        )
        # Linux asks in the name of whatever address a packet has, and not every packet is masqueraded.
        laptop.run(["nft", UNTRACKED])
        laptop.run(["ping", "-c", "1", "-W", "1", "-I", GATEWAY, "10.77.0.199"], check=False)
        laptop.run(["nft", "delete", "table", "ip", "untracked"])
        laptop.run(["ping", "-c", "1", "-W", "1", "10.77.0.198"], check=False)
        heard = office.heard()
    answers = [frame for frame in heard if frame[:2] == ("arp", "2")]
    assert ("arp", "2", OFFICE, COLLEAGUE_ADDRESS) in answers
    assert ("arp", "1", OFFICE, "10.77.0.198") in heard
    assert [frame for frame in heard if GATEWAY in frame[1:3] or frame[2:3] == (GATEWAY,)] == []


def test_no_forward_leads_to_the_office_while_the_clusters_nic_is_away(laptop: Laboratory) -> None:
    """The company may have a machine of that address."""
    forwarded = ("ip", "route", "add", "192.168.0.0/16", "via", COLLEAGUE_ADDRESS, "dev", "eth0")
    ask_for = frames.udp("00:1b:21:5a:00:50", LAPTOP_MACS["eth0"], ("10.77.0.60", 4000), (OFFICE, 6001))
    laptop.run(forwarded)
    try:
        with hearing(laptop, "colleague") as office:
            laptop.run(["ip", "link", "set", "eth1", "down"])
            send(laptop, "colleague", ask_for)
            laptop.run(["bash", "-c", f"echo hello >/dev/udp/{OFFICE}/6001"], check=False)
            # That the two would have been heard by now.
            laptop.run(["bash", "-c", f"echo last >/dev/udp/{COLLEAGUE_ADDRESS}/9"])
            heard = office.heard()
    finally:
        laptop.run(["ip", "link", "set", "eth1", "up"])
        laptop.run(["ip", "route", "del", *forwarded[3:]])
    assert any(frame[3:] == (COLLEAGUE_ADDRESS, "9") for frame in heard)
    assert [frame for frame in heard if frame[:1] == ("udp",) and frame[3] == NODE] == []


# Path MTU


SERVE = """
import socket, sys, threading
kind, port = sys.argv[1], int(sys.argv[2])
with socket.create_server(("", port)) as server:
    print("ready", flush=True)
    while True:
        peer, _ = server.accept()
        with peer:
            if kind == "gives":
                peer.sendall(bytes(200_000))
            else:
                size = 0
                while got := peer.recv(65536):
                    size += len(got)
                peer.sendall(str(size).encode())
"""
TAKE = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as there:
    if sys.argv[3] == "send":
        there.sendall(bytes(200_000))
        there.shutdown(socket.SHUT_WR)
    size = 0
    while got := there.recv(65536):
        size += len(got) if sys.argv[3] == "receive" else int(got)
    print(size)
"""


@contextmanager
def bulk(lab: Laboratory, netns: str, kind: str, port: int) -> Iterator[None]:
    process = lab.popen(
        [sys.executable, "-c", SERVE, kind, str(port)], netns=netns, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


def test_large_transfers_pass_a_narrow_company_network_that_says_nothing(laptop: Laboratory) -> None:
    """The laptop's NIC takes no frame above 1400 bytes, and who sends such a frame hears nothing of that."""
    laptop.run(["ip", "link", "set", "eth0", "mtu", "1400"])
    # Else both send what no real cable carries: a veth takes it whole.
    for netns in ("colleague", "node"):
        laptop.run(["ip", "-n", netns, "link", "set", "eth0", "gso_max_segs", "1"])
    try:
        with bulk(laptop, "colleague", "gives", 9000), bulk(laptop, "node", "takes", 81):
            load(laptop, f'[[forwards]]\nport = 8181\nto = "{NODE}"\nto_port = 81\n')
            moved = [
                laptop.run([sys.executable, "-c", TAKE, *argv], netns=netns, check=False).stdout.strip()
                for netns, argv in (
                    (None, [COLLEAGUE_ADDRESS, "9000", "receive"]),
                    ("node", [COLLEAGUE_ADDRESS, "9000", "receive"]),
                    ("colleague", [OFFICE, "8181", "send"]),
                )
            ]
    finally:
        laptop.run(["ip", "link", "set", "eth0", "mtu", "1500"])
        load(laptop, FORWARDS)
    assert moved == ["200000"] * 3


# Forwards that change


SENDER = """
import socket, sys, time
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
last = ""
def tell(now):
    global last
    if now != last:
        print(now, flush=True)
    last = now
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as there:
    there.settimeout(0.3)
    there.connect((address, port))
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            there.send(b"x")
            tell(there.recv(2048).decode().split()[0] if kind == "udp" else "connected")
        except TimeoutError:
            tell("silence" if kind == "udp" else "connected")
        except ConnectionError:
            tell("silence" if kind == "udp" else "ended")
        time.sleep(0.05)
"""
OTHER = "192.168.0.151"


@contextmanager
def sending(lab: Laboratory, kind: str, port: int) -> Iterator[Callable[[str], bool]]:
    """Somebody in the office who sends all the time from one port. What is given waits until this is the answer."""
    process = lab.popen(
        [sys.executable, "-c", SENDER, kind, OFFICE, str(port)],
        netns="colleague",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield lambda wanted: any(line.strip() == wanted for line in process.stdout or ())
    finally:
        process.kill()
        process.communicate()


def swap(lab: Laboratory, forwards: str) -> None:
    """What an apply does with the rules."""
    load(lab, forwards, f"from wizard.host.net import gateway_rules; gateway_rules.script({SCRIPT!r}, 'up')")


def test_a_sender_that_never_pauses_goes_by_the_forwards_as_they_are_now(laptop: Laboratory) -> None:
    only_others = FORWARDS.replace('protocol = "udp"', 'protocol = "udp"\nfrom = ["10.99.0.0/16"]')
    moved = FORWARDS.replace(f'to = "{NODE}"', f'to = "{OTHER}"')
    laptop.machine("add", "other", "--mac", "00:1b:21:00:01:51", "--address", f"{OTHER}/24")
    laptop.run(["ip", "-n", "other", "route", "add", "default", "via", GATEWAY])
    try:
        with (
            peer(laptop, "echo", "node", "6000", netns="node"),
            peer(laptop, "echo", "other", "6000", netns="other"),
            sending(laptop, "udp", 6001) as answer,
            sending(laptop, "tcp", 8080) as state,
        ):
            assert answer("node")
            assert state("connected")
            swap(laptop, moved)
            assert answer("other")
            assert state("ended")
            swap(laptop, FORWARDS)
            assert answer("node")
            swap(laptop, only_others)
            assert answer("silence")
            swap(laptop, FORWARDS)
            assert answer("node")
            with sending(laptop, "tcp", 8080) as kept:
                assert kept("connected")
                # Another forward goes: this one's connections are not touched.
                swap(laptop, FORWARDS[FORWARDS.index("[[") : FORWARDS.rindex("[[")])
                assert answer("silence")
                swap(laptop, "")
                assert kept("ended")
    finally:
        load(laptop, FORWARDS)


# Others' policies


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
def test_the_gateways_own_traffic_passes_where_others_drop_all_of_it(laptop: Laboratory, program: str) -> None:
    usable(laptop, program)
    asked = {
        **{
            f"its forward at {at}": Question(None, "fetch", f"http://{at}:8080/", page("node", 80, NODE, at))
            for at in (OFFICE, GATEWAY)
        },
        "its udp forward": Question(None, "udp", f"{OFFICE}:6001", f"node 6000\nasked by {OFFICE}\n"),
        "a node's forward": Question("node", "fetch", f"http://{OFFICE}:8080/", page("node", 80, NODE, GATEWAY)),
        "a colleague's": Question("colleague", "udp", f"{OFFICE}:6001", f"node 6000\nasked by {COLLEAGUE_ADDRESS}\n"),
        "a node pings the gateway": Question("node", "ping", GATEWAY, "answers"),
        "a node pings the office": Question("node", "ping", COLLEAGUE_ADDRESS, "answers"),
        # And nothing else of it is opened.
        "another's": Question(None, "ping", NODE),
        "the office": Question(None, "ping", COLLEAGUE_ADDRESS),
    }
    dnsmasq = ["setpriv", "--reuid", str(DHCP_UID), "--clear-groups", sys.executable, str(HERE / "peer.py"), "ask"]
    try:
        # What every firewall of one's own lets by, and no more: what comes back at the office's side.
        laptop.run(
            [program, "-A", "INPUT", "-i", "eth0", "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT"]
        )
        for chain in ("INPUT", "FORWARD", "OUTPUT"):
            laptop.run([program, "-P", chain, "DROP"])
        laptop.run([SCRIPT, "up"])
        with peer(laptop, "echo", "node", "6000", netns="node"), peer(laptop, "echo", "dns", "53", netns="colleague"):
            assert wrong(laptop, asked) == {}
            for port in (53, 54):
                query = json.dumps([["udp", f"{COLLEAGUE_ADDRESS}:{port}", 1]])
                said = json.loads(laptop.run(dnsmasq, input=query).stdout)
                assert said == [f"dns 53\nasked by {OFFICE}\n" if port == 53 else None]
    finally:
        laptop.run([SCRIPT, "down"])
        for chain in ("INPUT", "FORWARD", "OUTPUT"):
            laptop.run([program, "-P", chain, "ACCEPT"])
        laptop.run([program, "-F"])
        laptop.run([SCRIPT, "up"])
