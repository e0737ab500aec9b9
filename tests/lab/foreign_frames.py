"""What must not come in on the cluster's wire, in every guise; frames that say who has which address."""

from __future__ import annotations

from tests.lab.probe_actors import SERVER_MAC, ethernet, fragments, reply, udp

OWN_MAC = "02:00:00:00:98:01"
"""The NIC's that listens, where an answer bears that."""
EVERYONE = b"\xff" * 6
CLIENT = bytes.fromhex("020000000077")
SERVER = "10.9.0.1"
ROUTER = bytes.fromhex("fe80" + "00" * 13 + "01" + "ff02" + "00" * 13 + "01")


def answer(kind: int, offered: str = "10.9.0.77", relay: str = "0.0.0.0", to_port: int = 68, by: str = SERVER) -> bytes:  # noqa: S104
    options = bytes((0x35, 1, kind, 0x36, 4, *map(int, by.split(".")), 0xFF))
    packet = udp(by, "255.255.255.255", 67, reply(b"\0\0\0\7", CLIENT, offered, relay, options))
    return packet[:22] + to_port.to_bytes(2, "big") + packet[24:]


def ipv6(kind: int, hops: int, payload: str) -> bytes:
    body = bytes.fromhex(payload)
    head = b"\x60\0\0\0" + len(body).to_bytes(2, "big") + bytes((kind, hops))
    return b"\x33\x33\0\0\0\1" + SERVER_MAC + b"\x86\xdd" + head + ROUTER + body


FOREIGN: dict[str, list[bytes]] = {
    "in pieces": [ethernet(EVERYONE, SERVER_MAC, [], part) for part in fragments(answer(2), 128)],
    "to a relay": [ethernet(EVERYONE, SERVER_MAC, [], answer(5, relay="10.9.0.254", to_port=67))],
    "informs": [ethernet(EVERYONE, SERVER_MAC, [], answer(5, offered="0.0.0.0"))],  # noqa: S104
    "with our own MAC": [ethernet(EVERYONE, bytes.fromhex(OWN_MAC.replace(":", "")), [], answer(2))],
    "DHCPv6": [ipv6(17, 1, "0223" + "0222" + "000c" + "0000" + "02010203")],
    "a router": [ipv6(58, 255, "8600000040000708" + "00" * 8)],
}

TWINS = {
    "its mark": EVERYONE + SERVER_MAC + bytes.fromhex("88b5" + "00" * 16)
    + b"ciao-wizard: are two NICs on one wire? this one is served",
    "its offer": ethernet(EVERYONE, SERVER_MAC, [], answer(2, by="192.168.0.200")),
}  # fmt: skip
"""What another laptop says that serves the example already."""
