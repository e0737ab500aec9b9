"""Both ends of DNS for the tests of names, run inside the laboratory.

ask SERVER NAME TYPE …   each question's answer, as JSON: [rcode, [record, …]], or null where none comes
stream SERVER NAME …     A records of all these, fifty times a second until stdin ends; then as JSON, by name,
                         [asked, answered, [answer, …]] with each different answer once
upstream ADDRESS DIR     answers from DIR/zone (NAME ADDRESS a line), and writes what it is asked to DIR/asked
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import sys
import time
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


def _question(number: int, name: str, kind: str) -> bytes:
    head = struct.pack("!HHHHHH", number, 0x100, 1, 0, 0, 0)
    return head + _packed(name) + struct.pack("!HH", TYPES[kind], 1)


def ask(server: str, name: str, kind: str) -> list[object] | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.settimeout(SECONDS)
        here.connect((server, 53))
        try:
            here.send(_question(7, name, kind))
            data = here.recv(4096)
        except OSError:
            return None
    return _answer(data)


def _answer(data: bytes) -> list[object]:
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


def stream(server: str, names: list[str]) -> dict[str, list[object]]:
    """Nothing is asked twice: a question without an answer counts as one."""
    asked: dict[str, int] = dict.fromkeys(names, 0)
    answered: dict[str, int] = dict.fromkeys(names, 0)
    answers: dict[str, list[object]] = {name: [] for name in names}
    waiting: dict[int, str] = {}
    number, over = 0, None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.connect((server, 53))
        due = time.monotonic()
        while over is None or (waiting and time.monotonic() < over):
            readable, _, _ = select.select(
                [here] if over else [here, sys.stdin], [], [], max(0, due - time.monotonic())
            )
            if here in readable:
                with contextlib.suppress(OSError):
                    data = here.recv(4096)
                    name = waiting.pop(struct.unpack("!H", data[:2])[0], None)
                    if name is not None:
                        answered[name] += 1
                        found = _answer(data)
                        answers[name] += [] if found in answers[name] else [found]
            if sys.stdin in readable:
                over = time.monotonic() + SECONDS
            if time.monotonic() >= due:
                due += 0.02
                for name in names if over is None else ():
                    number = (number + 1) % 65536
                    waiting[number] = name
                    asked[name] += 1
                    with contextlib.suppress(OSError):
                        here.send(_question(number, name, "A"))
    return {name: [asked[name], answered[name], answers[name]] for name in names}


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
    elif sys.argv[1] == "stream":
        sys.stdout.write(json.dumps(stream(sys.argv[2], sys.argv[3:])))
    else:
        upstream(sys.argv[2], Path(sys.argv[3]))
