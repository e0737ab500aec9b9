"""A tunnel from this network namespace to another, as a VPN or PPPoE makes one: a tun NIC at either end, point to point
and without a MAC, until stdin is closed.

    tunnel.py NAME ADDRESS PEER NAMESPACE
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_TUNSETIFF, _TUN, _NO_HEADER = 0x400454CA, 0x0001, 0x1000
_LONGEST, _NEW_NETWORK = 1 << 16, 0x40000000


def opened(name: str, ours: str, theirs: str) -> int:
    """The descriptor of a tun NIC, which is up and has its address."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN | _NO_HEADER))
    subprocess.run(["ip", "address", "add", ours, "peer", theirs, "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    return fd


def main(argv: Sequence[str]) -> None:
    name, ours, theirs, namespace = argv
    near = opened(name, ours, theirs)
    with Path(f"/run/netns/{namespace}").open() as there:
        _enter(there.fileno())
    far = opened(name, theirs, ours)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    asked = sys.stdin.fileno()
    other = {near: far, far: near}
    while True:
        ready, _, _ = select.select([near, far, asked], [], [])
        if asked in ready:
            return
        for end in ready:
            packet = os.read(end, _LONGEST)
            os.write(other[end], packet)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "setns")


if __name__ == "__main__":
    main(sys.argv[1:])
