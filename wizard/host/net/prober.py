"""Probes addresses by ARP or UDP, and collects the answers. Never blocks."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wizard.host.net.bpf import ether_type
from wizard.host.net.frames import ARP, NOBODY, arp_request, parse_arp
from wizard.host.net.packet_socket import ALL_PROTOCOLS, packet_socket
from wizard.plan.findings import NeedsRoot

_MOST_READ = 4000
_QUIET = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
# The first port of traceroute: nothing listens there, so the machine itself answers.
_CLOSED_PORT = 33434
_IP_RECVERR = 11
_ERROR = struct.Struct("=IBBBBII")
_FROM_WIRE = 2


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """`present`: whether a machine has `ip`; None for no answer, but a request by another process on this machine.

    `mac` is "" if unknown. `reply`: False if it was overheard, and answers no request of ours.
    """

    ip: str
    present: bool | None
    mac: str = ""
    reply: bool = True


class Prober(Protocol):
    """Asks and collects. `sure`: whether silence means absence; False where a firewall may drop the question."""

    sure: bool

    def ask(self, ip: str) -> None: ...

    def collect(self) -> list[ProbeAnswer]:
        """The answers since the last call."""
        ...

    def close(self) -> None: ...


class ArpProber:
    """Asks by ARP, which every machine answers. Needs CAP_NET_RAW.

    Two machines with one MAC both answer, which the kernel's own neighbour table never shows.
    """

    sure = True

    def __init__(self, nic: str, own_ip: str) -> None:
        """`own_ip` is dotted. Raises NeedsRoot, or OSError without such a NIC."""
        # Half a second of imports, which a probe that only needs the frames can do without.
        from wizard.host.facts.nics import is_usable_name

        if not is_usable_name(nic):
            raise OSError(errno.ENODEV, "no such NIC")
        self._mac = bytes.fromhex(Path(f"/sys/class/net/{nic}/address").read_text().strip().replace(":", ""))
        self._ip = socket.inet_aton(own_ip)
        self._socket = packet_socket(ether_type(ARP))
        self._socket.setblocking(False)
        try:
            self._socket.bind((nic, ALL_PROTOCOLS))
        except OSError:
            self.close()
            raise

    def ask(self, ip: str) -> None:
        with contextlib.suppress(OSError):
            # No carrier or no NIC: nobody will answer, which is correct.
            self._socket.send(arp_request(self._mac, self._ip, socket.inet_aton(ip)))

    def collect(self) -> list[ProbeAnswer]:
        found = []
        for _ in range(_MOST_READ):
            try:
                frame, address = self._socket.recvfrom(2048)
            except OSError:
                # Nothing more, or the NIC is down.
                break
            answer = self._answer(frame, address[2] == socket.PACKET_OUTGOING)
            if answer is not None:
                found.append(answer)
        return found

    def _answer(self, frame: bytes, ours: bool) -> ProbeAnswer | None:
        arp = parse_arp(frame)
        if arp is None:
            return None
        if ours:
            # The kernel's own request, or another monitor's: we receive the answer to it too.
            return None if arp.reply else ProbeAnswer(socket.inet_ntoa(arp.target), None)
        # An ARP probe (RFC 5227): the sender asks whether an address is free.
        if arp.ip == NOBODY or arp.mac == self._mac:
            return None
        return ProbeAnswer(socket.inet_ntoa(arp.ip), True, arp.mac.hex(":"), arp.reply and arp.target == self._ip)

    def close(self) -> None:
        self._socket.close()


class UdpProber:
    """Sends a datagram to a closed port, as traceroute does. Works without root.

    The kernel then resolves the address, so its neighbour table shows the machine too.
    """

    sure = False

    def __init__(self, nic: str = "") -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | _QUIET)
        self._socket.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        if nic:
            with contextlib.suppress(OSError):
                # Else a wrong route could send the probe to somebody else's machine.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, nic.encode())

    def ask(self, ip: str) -> None:
        for _ in range(2):
            # A pending error is returned instead of sending.
            try:
                self._socket.sendto(b"", (ip, _CLOSED_PORT))
            except OSError:
                continue
            return

    def collect(self) -> list[ProbeAnswer]:
        found = []
        for _ in range(_MOST_READ):
            try:
                _, ancillary, _, address = self._socket.recvmsg(64, 512, socket.MSG_ERRQUEUE)
            except OSError:
                break
            for level, kind, data in ancillary:
                if (level, kind) == (socket.IPPROTO_IP, _IP_RECVERR) and len(data) >= _ERROR.size:
                    number, origin, *_ = _ERROR.unpack_from(data)
                    if origin == _FROM_WIRE and number == errno.ECONNREFUSED:
                        found.append(ProbeAnswer(address[0], True))
                    elif number == errno.EHOSTUNREACH:
                        found.append(ProbeAnswer(address[0], False))
        return found

    def close(self) -> None:
        self._socket.close()


def open_prober(nic: str, own_ip: str) -> Prober:
    """The ARP prober if we may use it, else the UDP one."""
    try:
        return ArpProber(nic, own_ip)
    except (NeedsRoot, OSError):
        return UdpProber(nic)
