"""Firmware that boots over the network, for a machine of the laboratory. Standard library only, so it starts fast.

netboot_actors.py discover NIC        what a DHCP server offers to each of the questions on stdin, a JSON list of
                                      {"mac", "arch", "vendor", "ipxe"}: [address, siaddr, file, option 60, option 43],
                                      null for no answer
netboot_actors.py lease NIC           takes one, to the question on stdin: [address, seconds, file], null for none
netboot_actors.py boot NIC MAC        boots as a BIOS with iPXE does, reports, and says the bytes of each stage
netboot_actors.py tftp SERVER NAME    the size of a file, -1 where it is refused, -2 where nobody answers
netboot_actors.py again SERVER NAME   fetches a file again and again, until it is killed
netboot_actors.py rrq SERVER          sends datagrams, a JSON list on stdin as latin-1: the first answer to each, in hex
netboot_actors.py pester SERVER N     asks for N files that are not there, with huge blocks; the number of refusals
netboot_actors.py http URL [METHOD]   the status and the size of the body, 0 where nobody answers
netboot_actors.py reach HOST PORT…     those TCP ports that take a connection, and "dns" where that is answered
netboot_actors.py hoard URL N         opens N connections, each saying another half of a request or reading nothing of
                                      the answer; says how many, and holds them until its input ends
netboot_actors.py drip URL            fetches slowly, and says "first" after the first bytes; at the end of its input
                                      the number of bytes that came since
"""

from __future__ import annotations

import json
import select
import socket
import struct
import subprocess
import sys
import time
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

WAIT_S = 2.0


def say(found: object) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def question(mac: bytes, xid: int, arch: int | None, vendor: str, ipxe: bool, wants: str = "") -> bytes:
    head = struct.pack("!BBBBIHH16s16s192x4s", 1, 1, 6, 0, xid, 0, 0x8000, b"", mac, b"\x63\x82\x53\x63")
    body = bytes([53, 1, 3 if wants else 1]) + bytes([55, 7]) + bytes([1, 3, 43, 60, 66, 67, 97])
    if wants:
        address, server = wants.split()
        body += b"\x32\x04" + socket.inet_aton(address) + b"\x36\x04" + socket.inet_aton(server)
    if arch is not None:
        body += struct.pack("!BBH", 93, 2, arch)
    if vendor:
        body += bytes([60, len(vendor)]) + vendor.encode()
    if ipxe:
        body += b"\xaf\x06\x21\x01\x01\x10\x01\x02" + b"\x4d\x04iPXE"
    payload = head + body + b"\xff"
    udp = struct.pack("!HHHH", 68, 67, 8 + len(payload), 0) + payload
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, b"\0" * 4, b"\xff" * 4)
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + ip[12:]
    return b"\xff" * 6 + mac + b"\x08\0" + ip + udp


def offer(frame: bytes, xid: int) -> list[Any] | None:
    """What an offer says; None where the frame is none of this transaction."""
    if frame[12:14] != b"\x08\0" or frame[23] != 17 or frame[34:36] != b"\0\x43":
        return None
    bootp = frame[42:]
    if bootp[0] != 2 or struct.unpack_from("!I", bootp, 4)[0] != xid:
        return None
    options: dict[int, bytes] = {}
    at = 240
    while at + 1 < len(bootp) and bootp[at] != 255:
        if bootp[at] == 0:
            at += 1
            continue
        options[bootp[at]] = bootp[at + 2 : at + 2 + bootp[at + 1]]
        at += 2 + bootp[at + 1]
    file = bootp[108:236].split(b"\0")[0] or options.get(67, b"").rstrip(b"\0")
    address, server = (socket.inet_ntoa(bootp[i : i + 4]) for i in (16, 20))
    lasts = int.from_bytes(options.get(51, b""), "big")
    name, vendor = options.get(60, b"").decode(), options.get(43, b"").decode("latin-1")
    return [address, server, file.decode(), name, vendor, lasts]


def answer(wire: socket.socket, xid: int) -> list[Any] | None:
    end = time.monotonic() + WAIT_S
    while (left := end - time.monotonic()) > 0:
        if select.select([wire], [], [], left)[0] and (heard := offer(wire.recv(4096), xid)) is not None:
            return heard
    return None


def discover(nic: str) -> None:
    found = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire:
        wire.bind((nic, 3))
        for number, asked in enumerate(json.load(sys.stdin), 1):
            xid = 0x5EED0000 + number
            mac = bytes.fromhex(asked["mac"].replace(":", ""))
            wire.send(question(mac, xid, asked.get("arch"), asked.get("vendor", ""), asked.get("ipxe", False)))
            heard = answer(wire, xid)
            found.append(heard[:5] if heard else None)
    say(found)


def lease(nic: str) -> None:
    asked = json.load(sys.stdin)
    how = asked.get("arch"), asked.get("vendor", ""), asked.get("ipxe", False)
    say(take(nic, asked["mac"], *how))


def take(nic: str, of: str, arch: int | None, vendor: str, ipxe: bool) -> list[Any] | None:
    mac = bytes.fromhex(of.replace(":", ""))
    # Answers are broadcast: others hear them too.
    xid = int.from_bytes(mac[2:], "big") << 1 & 0xFFFFFFFE
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire:
        wire.bind((nic, 3))
        wire.send(question(mac, xid, arch, vendor, ipxe))
        offered = answer(wire, xid)
        if offered is not None:
            wire.send(question(mac, xid + 1, arch, vendor, ipxe, f"{offered[0]} {offered[1]}"))
            offered = answer(wire, xid + 1)
    return [offered[0], offered[5], offered[2]] if offered else None


def boot(nic: str, mac: str) -> None:
    found: dict[str, int] = {}

    def asked(ipxe: bool) -> list[Any]:
        for _ in range(10):
            if (got := take(nic, mac, 0, "PXEClient", ipxe)) is not None:
                return got
        raise SystemExit("no lease")

    def fetched(stage: str, url: str) -> bytes:
        with urlopen(url, timeout=60) as answer:  # noqa: S310
            size, first = 0, b""
            while more := answer.read(1 << 20):
                size, first = size + len(more), first or more
        found[stage] = found.get(stage, 0) + size
        return first

    address, _, loader = asked(False)
    subprocess.run(["ip", "address", "replace", f"{address}/24", "dev", nic], check=True)
    found["loader"] = transfer("192.168.0.200", loader)
    script = fetched("script", asked(True)[2].replace("${mac:hexhyp}", mac.replace(":", "-"))).decode()
    words = [line.split() for line in script.splitlines()]
    for stage in ("kernel", "initrd"):
        for line in words:
            if line[:1] == [stage]:
                fetched(stage, line[1])
    seed = next(word.removeprefix("url=") for line in words for word in line if word.startswith("url="))
    fetched("seed", seed)
    fetched("reported", seed.replace("/seed/", "/report/").removesuffix("/preseed.cfg"))
    say(found)


def tftp(server: str, name: str) -> None:
    say(transfer(server, name))


def again(server: str, name: str) -> None:
    while True:
        transfer(server, name)


def transfer(server: str, name: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.settimeout(WAIT_S)
        wire.sendto(b"\0\x01" + name.encode() + b"\0octet\0", (server, 69))
        size = 0
        while True:
            try:
                data, peer = wire.recvfrom(65536)
            except TimeoutError:
                return -2
            if data[:2] == b"\0\x05":
                return -1
            size += len(data) - 4
            wire.sendto(b"\0\x04" + data[2:4], peer)
            if len(data) < 516:
                return size


def rrq(server: str) -> None:
    found = []
    for asked in json.load(sys.stdin):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.settimeout(WAIT_S / 4)
            wire.sendto(asked.encode("latin-1"), (server, 69))
            try:
                found.append(wire.recv(70000).hex())
            except TimeoutError:
                found.append("")
    say(found)


def pester(server: str, times: int) -> None:
    refused = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.settimeout(WAIT_S)
        for number in range(times):
            wire.sendto(b"\0\x01no/%d\0octet\0blksize\x0065464\0tsize\0999999999999\0" % number, (server, 69))
            try:
                refused += wire.recv(65536)[:2] == b"\0\x05"
            except TimeoutError:
                continue
    say(refused)


def http(url: str, method: str) -> None:
    try:
        with urlopen(Request(url, method=method), timeout=WAIT_S) as answer:  # noqa: S310
            say([answer.status, len(answer.read())])
    except HTTPError as error:
        say([error.code, len(error.read())])
    except OSError:
        say([0, 0])


def reach(host: str, ports: list[str]) -> None:
    found: list[str] = []
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as wire:
            wire.settimeout(WAIT_S / 2)
            if wire.connect_ex((host, int(port))) == 0:
                found.append(port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.settimeout(WAIT_S / 2)
        wire.sendto(b"\0\1\1\0\0\1\0\0\0\0\0\0\x08compute1\0\0\1\0\1", (host, 53))
        try:
            found += ["dns"] if wire.recv(512) else []
        except OSError:
            pass
    say(found)


def hoard(url: str, count: int) -> None:
    host, _, path = url.removeprefix("http://").partition("/")
    address, _, port = host.partition(":")
    whole = f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    ways = (b"", whole[:9], b"GET / HTTP/1.1\r\nX: " + b"a" * 4000, whole, whole.replace(b"GET", b"HEAD") * 500)
    wires = []
    for number in range(count):
        wire = socket.create_connection((address, int(port)), 10)
        wires.append(wire)
        try:
            wire.sendall(ways[number % len(ways)])
        except OSError:
            pass
    say(len(wires))
    sys.stdin.read()


def drip(url: str) -> None:
    host, _, path = url.removeprefix("http://").partition("/")
    address, _, port = host.partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as wire:
        # A small window: most of the file waits at the server.
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        wire.connect((address, int(port)))
        wire.sendall(f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wire.recv(1000)
        say("first")
        sys.stdin.readline()
        wire.setblocking(False)
        # What lay in our own buffers came before.
        while True:
            try:
                if not wire.recv(65536):
                    break
            except (BlockingIOError, ConnectionError):
                break
        wire.settimeout(WAIT_S)
        try:
            say(len(wire.recv(65536)))
        except OSError:
            say(0)


if __name__ == "__main__":
    verb, *words = sys.argv[1:]
    {
        "discover": lambda: discover(words[0]),
        "boot": lambda: boot(*words),
        "lease": lambda: lease(words[0]),
        "tftp": lambda: tftp(*words),
        "again": lambda: again(*words),
        "pester": lambda: pester(words[0], int(words[1])),
        "http": lambda: http(words[0], words[1] if words[1:] else "GET"),
        "rrq": lambda: rrq(words[0]),
        "reach": lambda: reach(words[0], words[1:]),
        "hoard": lambda: hoard(words[0], int(words[1])),
        "drip": lambda: drip(words[0]),
    }[verb]()
