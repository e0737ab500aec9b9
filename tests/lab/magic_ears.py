"""Hears Wake-on-LAN on every NIC of its network namespace: "ready", then a line for each frame, "to-MAC ethertype MAC".

Ends with its standard input.
"""

from __future__ import annotations

import select
import socket
import sys

ALL = 0x0003


def main() -> None:
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
    print("ready", flush=True)  # noqa: T201
    while True:
        ready, _, _ = select.select([ear, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        frame, address = ear.recvfrom(65536)
        _, found, rest = frame.partition(b"\xff" * 6)
        # The broadcast address of the frame itself is six times FF too.
        if frame.startswith(b"\xff" * 6):
            _, found, rest = frame[6:].partition(b"\xff" * 6)
        mac = rest[:6]
        if address[2] != socket.PACKET_OUTGOING and found and rest[:96] == mac * 16:
            print(frame[:6].hex(":"), frame[12:14].hex(), mac.hex(":"), flush=True)  # noqa: T201


main()
