"""A program for any wire of the laboratory: hears what servers say, asks for addresses as many machines, sends noise.
Standard library only, so it starts fast. Each ends when its input does, and says on stdout, as JSON, what it saw.

wire_actors.py hear                 what DHCP servers and routers say on every NIC of this namespace
wire_actors.py served NIC MACS      what these MACs (a JSON list) send there as DHCP, TFTP or netboot server; NIC "": on
                                    all: {"frames": [[at, kind, bytes]], "missed": frames that it had no time for}
wire_actors.py ask NIC OPTIONS      asks from one NIC as many machines; OPTIONS is JSON, see `ask`
wire_actors.py noise NIC            frames that are malformed in every way a BOOTP frame can be
wire_actors.py flood NIC            as many answers to nobody as go
wire_actors.py serve NIC ADDRESS    a DHCP server that offers one address to everybody
wire_actors.py watch NIC            when the NIC's carrier came and went, and when our DHCP was armed and muted

A line "ready" on stdout says that it has begun. Times are of the machine's monotonic clock.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypedDict

ALL = socket.htons(0x0003)
MAGIC = b"\x63\x82\x53\x63"
EVERYONE = b"\xff" * 6
SO_TIMESTAMPNS = 35
KINDS = {1: "discover", 2: "offer", 3: "request", 5: "ack", 6: "nak"}


class Answers(TypedDict):
    """What one client was told."""

    offers: list[tuple[str, str, float]]
    naks: list[str]
    leased: str | None


def begun() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def ended() -> bool:
    """Whether our input is at its end."""
    return bool(select.select([sys.stdin], [], [], 0)[0]) and not os.read(sys.stdin.fileno(), 100)


def say(found: object) -> None:
    sys.stdout.write(json.dumps(found) + "\n")


def with_room(sock: socket.socket) -> None:
    """Have it keep much, as far as we may."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)


def tap(nic: str = "") -> socket.socket:
    """Every frame of one NIC; of all of them where none is named."""
    here = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, ALL)
    with_room(here)
    here.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    if nic:
        here.bind((nic, 0x0003))
    here.settimeout(0.05)
    return here


def dotted(raw: bytes) -> str:
    return socket.inet_ntoa(raw)


def options(field: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + 1 < len(field) and field[at] != 255:
        if field[at] == 0:
            at += 1
            continue
        found[field[at]] = field[at + 2 : at + 2 + field[at + 1]]
        at += 2 + field[at + 1]
    return found


def udp_of(frame: bytes) -> tuple[int, int, bytes] | None:
    """(source port, destination port, payload) of an unfragmented IPv4 UDP frame, or None."""
    if frame[12:14] != b"\x08\x00" or len(frame) < 42 or frame[23] != 17:
        return None
    start = 14 + (frame[14] & 15) * 4
    source, to = struct.unpack("!HH", frame[start : start + 4])
    return source, to, frame[start + 8 :]


def server_says(frame: bytes) -> dict[str, str] | None:
    """What a DHCP server or router says in this frame; None for every other frame."""
    source = frame[6:12].hex(":")
    if frame[12:14] == b"\x86\xdd" and len(frame) > 54:
        if frame[20] == 58 and frame[54] == 134:
            return {"source": source, "kind": "ra"}
        if frame[20] == 17 and struct.unpack("!H", frame[54:56])[0] == 547:
            return {"source": source, "kind": "dhcp6"}
        return None
    seen = udp_of(frame)
    if seen is None or seen[0] != 67:
        return None
    bootp = seen[2]
    said = options(bootp[240:])
    return {
        "source": source,
        "kind": KINDS.get(said.get(53, b"\0")[0], "other"),
        "address": dotted(bootp[16:20]),
        "client": bootp[28:34].hex(":"),
        "server": dotted(said[54]) if len(said.get(54, b"")) == 4 else "",
    }


def received(here: socket.socket, most: int) -> tuple[bytes, tuple[Any, ...], float]:
    """A frame, its address, and when the kernel had it (CLOCK_MONOTONIC): on a busy machine it is read later.

    Raises TimeoutError.
    """
    frame, control, _, address = here.recvmsg(most, 64)
    late = 0.0
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("=qq", data[:16])
            late = max(time.time() - seconds - nanoseconds / 1e9, 0.0)
    return frame, address, time.monotonic() - late


def hear() -> None:
    here = tap()
    found: list[dict[str, object]] = []
    begun()
    while not ended():
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            try:
                frame, address, at = received(here, 65535)
            except TimeoutError:
                continue
            said = server_says(frame)
            if said is not None:
                found.append({**said, "at": at, "nic": address[0], "leaving": address[2] == 4})
    say(found)


def service(frame: bytes) -> tuple[str, int] | None:
    """The kind of a server's IPv4 frame and its payload's bytes; of TCP only what has a payload, or opens."""
    if frame[12:14] != b"\x08\0" or len(frame) < 42:
        return None
    total, protocol, at = struct.unpack_from("!H", frame, 16)[0], frame[23], 14 + 4 * (frame[14] & 15)
    port = struct.unpack_from("!H", frame, at)[0]
    if protocol == 17 and port in (67, 69):
        return ("dhcp" if port == 67 else "tftp"), total - (at - 14) - 8
    if protocol == 6 and port == 8069:
        size = total - (at - 14) - 4 * (frame[at + 12] >> 4)
        return ("http", size) if size or frame[at + 13] & 0x12 == 0x12 else None
    return None


def served(nic: str, macs: str) -> None:
    wanted = {bytes.fromhex(mac.replace(":", "")) for mac in json.loads(macs)}
    found: list[tuple[float, str, int]] = []
    with tap(nic) as here:
        begun()
        while not ended():
            until = time.monotonic() + 0.2
            while time.monotonic() < until:
                try:
                    frame, _, at = received(here, 128)
                except TimeoutError:
                    continue
                if frame[6:12] in wanted and (kind := service(frame)) is not None:
                    found.append((at, *kind))
        # PACKET_STATISTICS of SOL_PACKET.
        _, missed = struct.unpack("=II", here.getsockopt(263, 6, 8))
    say({"frames": found, "missed": missed})


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def datagram(
    source_mac: bytes, to_mac: bytes, source: bytes, to: bytes, ports: tuple[int, int], payload: bytes
) -> bytes:
    """An Ethernet frame with payload in UDP in IPv4; no UDP checksum."""
    header = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), 7, 0, 64, 17, 0) + source + to
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    udp = struct.pack("!HHHH", *ports, 8 + len(payload), 0)
    return to_mac + source_mac + b"\x08\x00" + header + udp + payload


def asks(
    mac: bytes, xid: int, fields: Sequence[tuple[int, bytes]], ciaddr: bytes = b"\0\0\0\0", seconds: int = 1
) -> bytes:
    """A client's broadcast, with these options; answers are to be broadcast too."""
    bootp = struct.pack("!BBBBIHH", 1, 1, 6, 0, xid, min(seconds, 65535), 0x8000) + ciaddr + bytes(12)
    bootp += mac.ljust(16, b"\0") + bytes(192) + MAGIC
    for code, value in fields:
        bootp += bytes((code, len(value))) + value
    none, all_of_them = bytes(4), b"\xff" * 4
    return datagram(mac, EVERYONE, ciaddr or none, all_of_them, (68, 67), (bootp + b"\xff").ljust(300, b"\0"))


def raw(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def ipv6(mac: bytes, source: str, to: str, next_header: int, payload: bytes, checksum_at: int) -> bytes:
    """A multicast frame with its checksum filled in."""
    addresses = [socket.inet_pton(socket.AF_INET6, address) for address in (source, to)]
    pseudo = b"".join(addresses) + struct.pack("!II", len(payload), next_header)
    total = checksum(pseudo + payload + b"\0" * (len(payload) % 2))
    payload = payload[:checksum_at] + struct.pack("!H", total) + payload[checksum_at + 2 :]
    header = struct.pack("!IHBB", 6 << 28, len(payload), next_header, 255) + b"".join(addresses)
    return b"\x33\x33" + addresses[1][12:] + mac + b"\x86\xdd" + header + payload


def router_solicitation(mac: bytes) -> bytes:
    return ipv6(mac, "::", "ff02::2", 58, struct.pack("!BBHI", 133, 0, 0, 0), 2)


def dhcp6_solicit(mac: bytes) -> bytes:
    client = struct.pack("!HHHH", 1, 10, 3, 1) + mac
    wanted = struct.pack("!HHIII", 3, 12, 1, 0, 0)
    message = struct.pack("!I", 1 << 24 | 0xABCDE) + client + wanted + struct.pack("!HHH", 8, 2, 0)
    # From the address that the kernel has made of this MAC: it answers when it is looked for.
    own = bytes((mac[0] ^ 2,)) + mac[1:3] + b"\xff\xfe" + mac[3:]
    source = socket.inet_ntop(socket.AF_INET6, b"\xfe\x80" + bytes(6) + own)
    return ipv6(mac, source, "ff02::1:2", 17, struct.pack("!HHHH", 546, 547, 8 + len(message), 0) + message, 6)


class Asking:
    """Clients behind one NIC: what they ask, and what they were told."""

    def __init__(self, nic: str, told: dict[str, Any]) -> None:
        self.here = tap(nic)
        self.told = told
        self.take: bool = told.get("take", False)
        self.said = [(55, b"\x01\x03\x06")]
        self.said += [(61, bytes.fromhex(told["client_id"]))] if told.get("client_id") else []
        self.said += [(12, told["hostname"].encode())] if told.get("hostname") else []
        self.macs: list[str] = told.get("macs", [])
        self.renewing: dict[str, str] = told.get("renewing", {})
        self.choosing: dict[str, tuple[str, str]] = told.get("choosing", {})
        names = [*self.macs, *self.renewing, *self.choosing]
        self.found: dict[str, Answers] = {mac: {"offers": [], "naks": [], "leased": None} for mac in names}
        self.xids = dict(enumerate(self.found, int.from_bytes(os.urandom(3), "big") << 8))
        self.xid_of = {mac: xid for xid, mac in self.xids.items()}
        self.started = time.monotonic()

    def send(self, frame: bytes) -> None:
        try:
            self.here.send(frame)
        except OSError:
            pass  # the cable is out for a moment

    def discover(self, mac: str) -> None:
        seconds = int(time.monotonic() - self.started)
        self.send(asks(raw(mac), self.xid_of[mac], [(53, b"\x01"), *self.said], seconds=seconds))

    def request(
        self, mac: str, fields: Sequence[tuple[int, bytes]], ciaddr: bytes = b"\0\0\0\0", seconds: int = 1
    ) -> None:
        self.send(asks(raw(mac), self.xid_of[mac], [(53, b"\x03"), *fields, *self.said], ciaddr, seconds))

    def once(self) -> None:
        seconds = int(time.monotonic() - self.started)
        for mac in self.macs:
            if self.found[mac]["leased"] is None:
                self.discover(mac)
        if self.told.get("ipv6"):
            mine: bytes = self.here.getsockname()[4]
            self.send(router_solicitation(mine))
            self.send(dhcp6_solicit(mine))
        for mac, address in self.renewing.items():
            self.request(mac, [], socket.inet_aton(address), seconds)
        for mac, chosen in self.choosing.items():
            server, offered = map(socket.inet_aton, chosen)
            self.request(mac, [(50, offered), (54, server)])

    def take_in(self, frame: bytes) -> None:
        seen = udp_of(frame)
        if seen is None or seen[:2] != (67, 68):
            return
        answer = server_says(frame)
        mac = self.xids.get(struct.unpack("!I", seen[2][4:8])[0])
        if mac is None or answer is None or answer["client"] != mac:
            return
        found = self.found[mac]
        if answer["kind"] == "offer":
            found["offers"].append((answer["server"], answer["address"], time.monotonic()))
            if self.take and found["leased"] is None:
                taken = (50, answer["address"]), (54, answer["server"])
                self.request(mac, [(code, socket.inet_aton(address)) for code, address in taken])
        elif answer["kind"] == "ack":
            found["leased"] = answer["address"]
        elif answer["kind"] == "nak":
            found["naks"].append(answer["server"])
            if self.take:
                self.discover(mac)


def ask(nic: str, told: dict[str, Any]) -> None:
    """Ask by broadcast, without an address. `told`, all of it optional:

    macs: who ask · every: seconds between two questions of one · take: also take what is offered ·
    renewing: {mac: address}, who renew · choosing: {mac: [server, address]}, who take
    that server's offer · client_id, hostname: said by all of them · ipv6: ask for a
    router and by DHCPv6 too · seconds: then end.

    Found: {mac: {offers: [[server, address, at]], naks: [server], leased: address or null}}.
    """
    asking = Asking(nic, told)
    deadline = asking.started + told.get("seconds", 3600)
    begun()
    while time.monotonic() < deadline and not ended():
        asking.once()
        if asking.take and all(asking.found[mac]["leased"] for mac in asking.macs):
            break
        again = time.monotonic() + told.get("every", 0.5)
        while time.monotonic() < again:
            try:
                asking.take_in(asking.here.recv(65535))
            except (TimeoutError, OSError):
                continue
    say(asking.found)


def noise(nic: str) -> None:
    """To servers and to clients: cut short, lengths that lie, tags, fragments, jumbo frames, random bytes."""
    here = tap(nic)
    mac = raw("02:ba:d0:00:00:01")
    ask_frame = asks(mac, 7, [(53, b"\x01"), (55, b"\x01\x03")])
    bootp = struct.pack("!BBBBIHH", 2, 1, 6, 0, 7, 0, 0x8000) + bytes(16) + mac.ljust(16, b"\0") + bytes(192) + MAGIC
    answer = datagram(mac, EVERYONE, bytes(4), b"\xff" * 4, (67, 68), bootp + b"\x35\x01\x02\xff")

    def frames() -> Iterator[bytes]:
        for frame in (ask_frame, answer):
            yield from (frame[:cut] for cut in range(14, len(frame), 7))
            for at, value in ((14, 0x4F), (14, 0x41), (16, 0xFF), (20, 0x20), (21, 9), (38, 0xFF), (39, 3), (44, 16)):
                yield frame[:at] + bytes((value,)) + frame[at + 1 :]
            for tags in (b"\x81\x00\x00\x05", b"\x88\xa8\x00\x05\x81\x00\x00\x06", b"\x81\x00\x00\x05" * 6):
                yield frame[:12] + tags + frame[12:]
            for field in (b"\x35\xff\x01", b"\x35", b"\x0c\xff" + b"x" * 40, b"\x34\x01\x03\xff", b"\x3d\x00" * 90):
                yield frame[:282] + field
            yield frame + os.urandom(1000)
        for size in (1, 40, 300, 1400):
            body = os.urandom(size)
            for ports in ((68, 67), (67, 68)):
                yield datagram(mac, EVERYONE, bytes(4), b"\xff" * 4, ports, body)
            yield EVERYONE + mac + b"\x88\xb5" + body
        yield datagram(mac, EVERYONE, bytes(4), b"\xff" * 4, (67, 68), os.urandom(8900))

    begun()
    sent = refused = 0
    while not ended():
        for frame in frames():
            try:
                here.send(frame)
                sent += 1
            except OSError:
                refused += 1  # larger than this cable carries
    say({"sent": sent, "refused": refused})


def flood(nic: str) -> None:
    here = tap(nic)
    frame = datagram(raw("02:ba:d0:00:00:02"), EVERYONE, bytes(4), b"\xff" * 4, (67, 68), bytes(300))
    begun()
    count = 0
    while not ended():
        for _ in range(1000):
            try:
                here.send(frame)
            except OSError:
                time.sleep(0.001)
        count += 1000
    say({"sent": count})


def serve(nic: str, address: str) -> None:
    """A server nobody asked for. Its answers are broadcast; it has no address of its own to be found by."""
    here = tap(nic)
    mac, own = raw("02:aa:bb:cc:dd:01"), socket.inet_aton(address)
    begun()
    count = 0
    while not ended():
        try:
            frame, source = here.recvfrom(65535)
        except TimeoutError:
            continue
        seen = udp_of(frame)
        if source[2] == 4 or seen is None or seen[1] != 67 or options(seen[2][240:]).get(53) != b"\x01":
            continue
        bootp = seen[2]
        reply = struct.pack("!BBBB", 2, 1, 6, 0) + bootp[4:8] + bytes(2) + b"\x80\x00" + bytes(4)
        reply += socket.inet_aton("10.9.0.77") + bytes(8) + bootp[28:44] + bytes(192) + MAGIC
        reply += b"\x35\x01\x02\x36\x04" + own + b"\x33\x04\x00\x00\x0e\x10\xff"
        here.send(datagram(mac, EVERYONE, own, b"\xff" * 4, (67, 68), reply.ljust(300, b"\0")))
        count += 1
    say({"offered": count})


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind, body) of each netlink message."""
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        yield kind, data[at + 16 : at + length]
        at += max(length + 3 & ~3, 16)


def watch(nic: str) -> None:
    """Found: [[at, "up" | "down" | "armed" | "muted"]], each as the kernel tells of it."""
    links = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    links.bind((0, 1))
    rules = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    with_room(rules)
    rules.bind((0, 1 << 6))
    index = socket.if_nametoindex(nic)
    found: list[tuple[float, str]] = []
    begun()
    while not ended():
        for source in select.select([links, rules], [], [], 0.1)[0]:
            at, kinds = time.monotonic(), []
            for kind, body in messages(source.recv(1 << 20)):
                if source is links and kind == 16 and struct.unpack_from("=i", body, 4)[0] == index:
                    found.append((at, "up" if struct.unpack_from("=I", body, 8)[0] & 0x10000 else "down"))
                elif source is rules and kind >> 8 == 10:
                    kinds.append(kind & 255)
            # Of one transaction the last word counts: an element put in anew was taken out just before.
            last = next((kind for kind in reversed(kinds) if kind in (12, 14)), None)
            if last is not None:
                found.append((at, "armed" if last == 12 else "muted"))
    say(found)


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    verbs: dict[str, Callable[..., None]] = {
        "hear": hear,
        "ask": lambda nic, told: ask(nic, json.loads(told)),
        "noise": noise,
        "flood": flood,
        "serve": serve,
        "served": served,
        "watch": watch,
    }
    verbs[verb](*rest)
