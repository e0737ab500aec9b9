"""Frames made by hand, sent and heard on a NIC of the laboratory. Standard library only, so it starts fast.

frames.py send NIC    the frames on stdin, a line of hexadecimal digits each
frames.py hear NIC    until its input ends; then all that it heard, in the same way. "ready" says that it has begun
"""

from __future__ import annotations

import select
import socket
import struct
import sys

EVERYONE = "ff:ff:ff:ff:ff:ff"


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _sum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 7, 0, 64, protocol, 0)
    head += socket.inet_aton(source) + socket.inet_aton(target)
    return head[:10] + struct.pack("!H", _sum(head)) + head[12:] + payload


def udp(sender: str, to: str, source: tuple[str, int], target: tuple[str, int], payload: bytes = b"hello") -> str:
    """A datagram in a frame from one MAC to another. Without a checksum, as UDP may be."""
    datagram = struct.pack("!HHHH", source[1], target[1], 8 + len(payload), 0) + payload
    return (mac(to) + mac(sender) + b"\x08\0" + ipv4(source[0], target[0], 17, datagram)).hex()


def arp(sender: str, source: str, target: str, kind: int = 1) -> str:
    """A question (1) or answer (2) to everyone."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, kind) + mac(sender) + socket.inet_aton(source)
    return (mac(EVERYONE) + mac(sender) + b"\x08\x06" + body + bytes(6) + socket.inet_aton(target)).hex()


def read(frame: bytes) -> tuple[str, ...]:
    """("arp", "1" or "2", sender's address, target's) or ("udp", source, port, target, port), else ()."""
    if frame[12:14] == b"\x08\x06":
        return "arp", str(frame[21]), socket.inet_ntoa(frame[28:32]), socket.inet_ntoa(frame[38:42])
    if frame[12:14] == b"\x08\0" and frame[14] == 0x45 and frame[23] == 17:
        ports = struct.unpack("!HH", frame[34:38])
        return "udp", socket.inet_ntoa(frame[26:30]), str(ports[0]), socket.inet_ntoa(frame[30:34]), str(ports[1])
    return ()


def main(verb: str, nic: str) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire:
        wire.bind((nic, 0 if verb == "send" else 3))
        if verb == "send":
            for line in sys.stdin:
                wire.send(bytes.fromhex(line))
            return
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            told = select.select([wire, sys.stdin], [], [])[0]
            if wire in told:
                frame, where = wire.recvfrom(65536)
                # Not what this machine sent itself.
                if where[2] != socket.PACKET_OUTGOING:
                    sys.stdout.write(frame.hex() + "\n")
            elif sys.stdin in told:
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
