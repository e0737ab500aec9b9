"""What runs inside the namespaces of the probe's tests: the probe, servers that nobody sells, nodes that shout.

    probe_actors.py ACTOR JSON-ARGUMENTS

A line "ready" on stdout says that the actor has begun; the probing ones end with one line of JSON.
"""

from __future__ import annotations

import heapq
import itertools
import json
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

ALL = 0x0003
SERVER_MAC = bytes.fromhex("02aabbccdd01")
MAGIC = b"\x63\x82\x53\x63"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def tap(nic: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
    sock.bind((nic, ALL))
    return sock


# The probe's side


def begin() -> Callable[[float], None]:
    """A progress that says "ready" once, when the first DISCOVER is out."""
    told: list[float] = []

    def progress(seconds: float) -> None:
        if seconds > 0.2 and not told:
            told.append(seconds)
            say("ready")

    return progress


def questions(plan: str) -> Any:
    from wizard.host.dhcp.probe_questions import questions_for
    from wizard.plan.file.read import load_plan

    return questions_for(load_plan(Path(plan).read_text(), plan))


def probe(nic: str, repeat: int = 0, plan: str = "", **options: Any) -> None:
    """Once; or `repeat` times, each time as a machine that the server has never seen. `plan` is asked for too."""
    from wizard.host.dhcp import probe
    from wizard.plan.findings import NeedsRoot

    if plan:
        options["questions"] = questions(plan)
    progress = begin()
    results = []
    for _ in range(repeat or 1):
        if repeat:
            mac = "02:00:00:" + secrets.token_bytes(3).hex(":")
            subprocess.run(["ip", "link", "set", nic, "address", mac], check=True)
        try:
            results.append(probe.probe(nic, progress=progress, **options).as_json())
        except NeedsRoot as error:
            results.append({"needs root": error.status, "remedy": error.remedy})
    say(json.dumps(results if repeat else results[0]))


def ear(nic: str, plan: str, wait: float) -> None:
    """What the guard's ear hears first, or that it hears nothing for so long; and whether a node was heard."""
    from netaddr import IPAddress

    from wizard.deploy.guard.link_listener import LinkListener, nodes_by_mac
    from wizard.host.net.link import read_link
    from wizard.plan.file.read import load_plan

    told = load_plan(Path(plan).read_text(), plan)
    link = read_link(nic)
    assert link is not None
    listening = LinkListener(link, [], [IPAddress("10.9.0.200"), told.network.gateway], nodes_by_mac(told))
    say("ready")
    until, heard = time.monotonic() + wait, ("", "")
    while time.monotonic() < until and not heard[0]:
        select.select(listening.sockets(), [], [], 0.2)
        heard = listening.poll()
    say(json.dumps({"heard": heard, "node": listening.node_heard}))


def one_wire(first: str, second: str, repeat: int = 1) -> None:
    from wizard.host.net import adjacency

    results, begun = [], time.monotonic()
    for _ in range(repeat):
        results.append(adjacency.are_bridged(first, second))
    say(json.dumps({"one_wire": results, "took_s": time.monotonic() - begun}))


def look(corporate: str, cluster: str, **options: Any) -> None:
    from wizard.host.dhcp import cabling

    told: list[float] = []
    seen = cabling.probe_cabling(corporate, cluster, progress=told.append, **options)
    say(json.dumps(asdict(seen) | {"may_serve": seen.may_serve, "told": len(told), "words": cabling.explain(seen)}))


# The wire's side


def ethernet(to: bytes, source: bytes, tags: list[int], payload: bytes) -> bytes:
    outer = b"".join(struct.pack("!HH", 0x88A8 if at < len(tags) - 1 else 0x8100, tag) for at, tag in enumerate(tags))
    return to + source + outer + b"\x08\x00" + payload


def summed(header: bytes) -> bytes:
    """An IPv4 header with its checksum filled in."""
    total = sum(struct.unpack("!10H", header[:10] + bytes(2) + header[12:]))
    total = (total & 0xFFFF) + (total >> 16)
    return header[:10] + struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + header[12:]


def udp(source_ip: str, to_ip: str, source_port: int, payload: bytes) -> bytes:
    header = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), 7, 0, 64, 17, 0)
    header = summed(header + socket.inet_aton(source_ip) + socket.inet_aton(to_ip))
    return header + struct.pack("!HHHH", source_port, 68, 8 + len(payload), 0) + payload


def fragments(packet: bytes, size: int) -> Iterator[bytes]:
    """The last one first, as a network may deliver them."""
    header, payload = packet[:20], packet[20:]
    for offset in reversed(range(0, len(payload), size)):
        part = payload[offset : offset + size]
        more = 0x2000 if offset + size < len(payload) else 0
        yield summed(header[:2] + struct.pack("!HHH", 20 + len(part), 7, more | offset // 8) + header[8:]) + part


def reply(xid: bytes, chaddr: bytes, offered: str, relay: str, options: bytes, sname: bytes = b"") -> bytes:
    fixed = struct.pack("!BBBB4sHH", 2, 1, 6, 0, xid, 0, 0x8000)
    addresses = bytes(4) + socket.inet_aton(offered) + bytes(4) + socket.inet_aton(relay)
    return fixed + addresses + chaddr.ljust(16, b"\0") + sname.ljust(64, b"\0") + bytes(128) + MAGIC + options


def discovers(frame: bytes) -> tuple[bytes, bytes, int] | None:
    """Transaction, MAC and `secs` of a DISCOVER."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 17 or frame[36:38] != b"\x00\x43" or b"\x35\x01\x01" not in frame:
        return None
    return frame[46:50], frame[70:76], int.from_bytes(frame[50:52], "big")


def serve(nic: str, delay: float, make: Callable[[bytes, bytes, int], Iterator[bytes]]) -> None:
    """Answers each DISCOVER with the frames of `make`, `delay` seconds later."""
    sock = tap(nic)
    due: list[tuple[float, int, bytes]] = []
    count = itertools.count()
    say("ready")
    while True:
        sock.settimeout(max(due[0][0] - time.monotonic(), 0.0001) if due else None)
        try:
            frame, address = sock.recvfrom(65535)
            asked = discovers(frame) if address[2] != socket.PACKET_OUTGOING else None
        except TimeoutError:
            asked = None
        if asked:
            for answer in make(*asked):
                heapq.heappush(due, (time.monotonic() + delay, next(count), answer))
        while due and due[0][0] <= time.monotonic():
            sock.send(heapq.heappop(due)[2])


def server(
    nic: str,
    delay: float = 0,
    unicast: bool = False,
    relay: str = "0.0.0.0",  # noqa: S104
    tags: list[int] | None = None,
    overload: bool = False,
    patience: int = 0,
    to_others: bool = False,
    ip: str = "10.9.0.1",
    pieces: int = 0,
    mirror: bool = False,
    informs: bool = False,
) -> None:
    """A server that answers as told. `patience`: only where `secs` has grown to it; `to_others`: never who asks;
    `pieces`: in fragments that carry so much; `mirror`: from the MAC of who asks; `informs`: without an address."""

    def make(xid: bytes, chaddr: bytes, secs: int) -> Iterator[bytes]:
        if secs < patience:
            return
        if to_others:
            xid, chaddr = bytes(4), bytes.fromhex("020000000077")
        named = (b"\x35\x01\x05" if informs else b"\x35\x01\x02") + b"\x36\x04" + socket.inet_aton(ip) + b"\xff"
        options, sname = (b"\x34\x01\x02\xff", named) if overload else (named, b"")
        bootp = reply(xid, chaddr, "0.0.0.0" if informs else "10.9.0.77", relay, options, sname)  # noqa: S104
        to_mac, to_ip = (chaddr, "10.9.0.77") if unicast else (b"\xff" * 6, "255.255.255.255")
        packet = udp(ip, to_ip, 67, bootp)
        for part in fragments(packet, pieces) if pieces else [packet]:
            yield ethernet(to_mac, chaddr if mirror else SERVER_MAC, tags or [], part)

    serve(nic, delay, make)


def broken_replies(xid: bytes, chaddr: bytes, _secs: int) -> Iterator[bytes]:
    """Everything about an answer that can be wrong, and noise."""
    everyone = b"\xff" * 6
    good = reply(xid, chaddr, "10.9.0.77", "0.0.0.0", b"\x35\x01\x02\x36\x04\x0a\x09\x00\x01\xff")  # noqa: S104
    frame = ethernet(everyone, SERVER_MAC, [], udp("10.9.0.1", "255.255.255.255", 67, good))
    # From 282 bytes on every field is there, only the padding of the options is not.
    yield from (frame[:cut] for cut in range(14, 282, 3))
    for at, value in (
        (14, 0x65),
        (14, 0x4F),
        (14, 0x41),
        (17, 1),
        (20, 0x20),
        (23, 6),
        (39, 9),
        (42, 1),
        (43, 6),
        (44, 16),
    ):
        yield frame[:at] + bytes((value,)) + frame[at + 1 :]
    for options in (
        b"\x35\xff\x02",
        b"\x35",
        b"\x35\x01\x01\xff",
        b"\x36\x03\x01\x01\x01\xff",
        b"\x34\x01\x07\xff",
        b"\xff",
    ):
        bad = reply(bytes(4), chaddr, "0.0.0.0", "0.0.0.0", options * 20)  # noqa: S104
        yield ethernet(everyone, SERVER_MAC, [], udp("10.9.0.1", "255.255.255.255", 67, bad))
    yield ethernet(everyone, SERVER_MAC, [1, 2, 3, 4, 5, 6], frame[14:])
    for size in range(1, 1400, 14):
        yield frame[:14] + secrets.token_bytes(size)
        yield ethernet(everyone, SERVER_MAC, [], udp("10.9.0.1", "255.255.255.255", 67, secrets.token_bytes(size)))


def hostile(nic: str, then_offer: float | None = None) -> None:
    """Answers with what is no answer at all; with a true one too, where `then_offer` says after how many seconds."""
    begun = time.monotonic()

    def make(xid: bytes, chaddr: bytes, secs: int) -> Iterator[bytes]:
        yield from broken_replies(xid, chaddr, secs)
        if then_offer is not None and time.monotonic() - begun >= then_offer:
            good = reply(xid, chaddr, "10.9.0.77", "0.0.0.0", b"\x35\x01\x02\x36\x04\x0a\x09\x00\x01\xff")  # noqa: S104
            yield ethernet(b"\xff" * 6, SERVER_MAC, [], udp("10.9.0.1", "255.255.255.255", 67, good))

    serve(nic, 0, make)


def shouting_nodes(nic: str, nodes: int = 20) -> None:
    """Nodes that boot and find no server: twenty DISCOVERs a second, from as many MACs as there are nodes."""
    from wizard.host.dhcp.packet import build_discover

    sock = tap(nic)
    say("ready")
    for turn in itertools.count():
        mac = b"\x02\x00\x00\x00\x01" + bytes((turn % nodes,))
        sock.send(build_discover(mac, 0xC1A0, turn // nodes, f"node{turn % nodes}"))
        time.sleep(0.05)


def say_often(nic: str, frames: list[str], times: int = 0) -> None:
    """Frames, in hexadecimal digits, four times a second; `times` at most, where that is told."""
    sock = tap(nic)
    say("ready")
    for turn in itertools.count(1):
        for frame in frames:
            sock.send(bytes.fromhex(frame))
        if turn == times:
            return
        time.sleep(0.25)


def loop(nic: str) -> None:
    """A cable from the switch back into the switch: every frame comes back."""
    sock = tap(nic)
    say("ready")
    while True:
        frame, address = sock.recvfrom(65535)
        if address[2] != socket.PACKET_OUTGOING:
            sock.send(frame)


def flood(nic: str) -> None:
    """As much UDP to port 68 as goes, none of it an answer."""
    sock = tap(nic)
    frame = ethernet(b"\xff" * 6, SERVER_MAC, [], udp("10.9.0.1", "255.255.255.255", 67, bytes(1400)))
    say("ready")
    while True:
        sock.send(frame)


def hold_port_68() -> None:
    """What a DHCP client does: the port is taken and not shared."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", 68))
    say("ready")
    signal.pause()


ACTORS: dict[str, Callable[..., None]] = {
    actor.__name__: actor
    for actor in (probe, ear, one_wire, look, server, hostile, shouting_nodes, say_often, loop, flood, hold_port_68)
}

if __name__ == "__main__":
    ACTORS[sys.argv[1]](**json.loads(sys.argv[2]))
