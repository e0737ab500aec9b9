"""Both ends of DNS for the tests of names, run inside the laboratory.

ask SERVER NAME TYPE …   each question's answer, as JSON: [rcode, [record, …]], or null where none comes
upstream ADDRESS DIR     answers from DIR/zone (NAME ADDRESS a line), and writes what it is asked to DIR/asked
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from pathlib import Path

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33}
SECONDS = 3.0
ALIVE_S = 300


def _name(data: bytes, at: int) -> tuple[str, int]:
    labels: list[str] = []
    while data[at]:
        if data[at] >= 0xC0:
            rest, _ = _name(data, (data[at] & 0x3F) << 8 | data[at + 1])
            return ".".join([*labels, rest] if rest else labels), at + 2
        labels.append(data[at + 1 : at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(labels), at + 1


def _packed(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def ask(server: str, name: str, kind: str) -> list[object] | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.settimeout(SECONDS)
        here.connect((server, 53))
        try:
            here.send(struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + _packed(name) + struct.pack("!HH", TYPES[kind], 1))
            data = here.recv(4096)
        except OSError:
            return None
    _, at = _name(data, 12)
    at += 4
    found = []
    for _ in range(struct.unpack("!H", data[6:8])[0]):
        _, at = _name(data, at)
        of, _, _, size = struct.unpack("!HHIH", data[at : at + 10])
        at += 10
        found.append(_text(of, data, at))
        at += size
    return [data[3] & 15, found]


def _text(kind: int, data: bytes, at: int) -> str:
    """A record's value, as a zone file has it; of a TXT record its first text without quotes."""
    if kind == TYPES["A"]:
        return socket.inet_ntoa(data[at : at + 4])
    if kind == TYPES["AAAA"]:
        return socket.inet_ntop(socket.AF_INET6, data[at : at + 16])
    if kind == TYPES["TXT"]:
        return data[at + 1 : at + 1 + data[at]].decode()
    if kind == TYPES["SRV"]:
        return " ".join([*map(str, struct.unpack("!HHH", data[at : at + 6])), _name(data, at + 6)[0]])
    return _name(data, at)[0] if kind in (TYPES["PTR"], TYPES["CNAME"]) else ""


def upstream(address: str, directory: Path) -> None:
    here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    here.bind((address, 53))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    with (directory / "asked").open("a") as asked:
        while True:
            data, peer = here.recvfrom(4096)
            name, end = _name(data, 12)
            asked.write(f"{name}\n")
            asked.flush()
            zone = dict(line.split() for line in (directory / "zone").read_text().splitlines())
            found = zone.get(name) if data[end : end + 2] == b"\0\1" else None
            rcode = 0 if name in zone else 3
            head = data[:2] + struct.pack("!HHHHH", 0x8180 | rcode, 1, int(found is not None), int(found is None), 0)
            question, soa = (
                data[12 : end + 4],
                b"\0\0\6\0\1" + struct.pack("!IH", 600, 22) + b"\0\0" + struct.pack("!5I", *[600] * 5),
            )
            record = b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", 600, 4) + socket.inet_aton(found) if found else soa
            here.sendto(head + question + record, peer)


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        questions = zip(sys.argv[3::2], sys.argv[4::2], strict=True)
        sys.stdout.write(json.dumps([ask(sys.argv[2], name, kind) for name, kind in questions]))
    else:
        upstream(sys.argv[2], Path(sys.argv[3]))
