"""Injects frames that this machine takes for frames from a cable.

They are sent by a NIC of our own, whose egress the kernel redirects to the ingress of the NIC that is meant (tc
mirred). From there they pass what every frame from that cable passes, every packet filter too; none is sent on the
cable itself.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from wizard.host import commands
from wizard.host.net.link import LinkState
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.targets import MADE_UP_MACS

MADE_UP = bytes.fromhex(MADE_UP_MACS.replace(":*", "").replace(":", ""))
"""The prefix of made-up MACs."""
_TUN = "/dev/net/tun"
_TUNSETIFF, _TAP, _NO_HEADER = 0x400454CA, 0x0002, 0x1000
_DELETE_ARP_ENTRY = 0x8953  # SIOCDARP
_ARPREQ = struct.Struct("=HH4s8x16xi16x16s")


def synthetic_mac() -> bytes:
    return MADE_UP + secrets.token_bytes(3)


def is_synthetic(mac: bytes) -> bool:
    """Whether the wizard made this MAC up."""
    return mac[:3] == MADE_UP


class CannotInject(WizardError):
    """Nothing can be injected on this machine; the message says why."""


class Injector:
    """Use as a context manager. `into`: made-up source MAC -> the NIC by which its frames come in.

    Raises CannotInject.
    """

    def __init__(self, into: Mapping[bytes, LinkState]) -> None:
        self.into = dict(into)
        remove_stray()
        self._tap = _open_tap()
        self._socket: socket.socket | None = None
        try:
            self._raise()
        except (WizardError, OSError) as error:
            self.close()
            words = error.message if isinstance(error, WizardError) else str(error)
            raise CannotInject(f"nothing can be injected: {words}", _REMEDY) from None

    def _raise(self) -> None:
        nic = paths.PROBE_NIC
        if self._tap is None:
            commands.run("ip", "link", "add", nic, "type", "veth", "peer", "name", paths.PROBE_NIC_PEER)
        # The kernel itself must send nothing by it.
        for name in (nic, paths.PROBE_NIC_PEER):
            with contextlib.suppress(OSError):
                Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1\n")
        commands.run("ip", "link", "set", "dev", nic, "address", synthetic_mac().hex(":"), "arp", "off", "up")
        if self._tap is None:
            commands.run("ip", "link", "set", "dev", paths.PROBE_NIC_PEER, "arp", "off", "up")
        lines = [f"qdisc add dev {nic} clsact"]
        for mac, link in self.into.items():
            match = f"match u32 0x{mac[:4].hex()} 0xffffffff at -8 match u16 0x{mac[4:].hex()} 0xffff at -4"
            lines.append(
                f"filter add dev {nic} egress protocol all u32 {match} action mirred ingress redirect dev {link.name}"
            )
        commands.run("tc", "-batch", "-", stdin="\n".join(lines) + "\n")
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.settimeout(1)
        self._socket.bind((nic, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, frame: bytes) -> None:
        """Inject a frame by the NIC of its source MAC. Raises OSError if our NIC is gone."""
        if self._socket is None:
            raise OSError(errno.ENODEV, "no NIC to inject by")
        self._socket.send(frame)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._tap is not None:
            os.close(self._tap)
            self._tap = None
        else:
            remove_stray()


_REMEDY = "Probing a path needs `tc` (iproute2) and the kernel modules tun or veth, cls_u32 and act_mirred."


def remove_stray() -> None:
    """Remove the NIC of an injector that was killed: only a veth outlives its process."""
    if Path(f"/proc/sys/net/ipv4/conf/{paths.PROBE_NIC}").exists():
        commands.works("ip", "link", "del", "dev", paths.PROBE_NIC)


def _open_tap() -> int | None:
    """The descriptor of a tap NIC that exists as long as this process; None if none can be made."""
    try:
        fd = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", paths.PROBE_NIC.encode(), _TAP | _NO_HEADER))
    except OSError:
        os.close(fd)
        return None
    return fd


def delete_arp_entry(nic: str, address: bytes) -> None:
    """Delete the ARP entry of an IPv4 address (four bytes) behind a NIC, if there is one."""
    entry = _ARPREQ.pack(socket.AF_INET, 0, address, 0, nic.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as kernel, contextlib.suppress(OSError):
        fcntl.ioctl(kernel, _DELETE_ARP_ENTRY, entry)
