"""A packet socket on one NIC: whole Ethernet frames out and in, past every rule of the IP layer.

UDP sockets are blind here: on a NIC without an address rp_filter drops the answers, a firewall may, and
an answer sent to the address that is being offered never reaches a socket.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from array import array
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from wizard.plan.findings import NeedsRoot

# Every protocol: on a bridge port only such a socket sees what comes in.
_ALL_PROTOCOLS = 0x0003
_SOL_PACKET, _ADD_MEMBERSHIP, _STATISTICS, _AUXDATA, _IGNORE_OUTGOING = 263, 1, 6, 8, 23
_MEMBERSHIP = struct.Struct("=iHH8s")
_MULTICAST = 0
_AUX = struct.Struct("=IIIHHHH")
_VLAN_VALID = 0x10
_ATTACH_FILTER = 26
_LARGEST = 1 << 16

Instruction = tuple[int, int, int, int]
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE, _JUMP_IF, _JUMP_SET, _RETURN = 0x20, 0x28, 0x30, 0x15, 0x45, 0x06


def udp_to_port(port: int) -> tuple[Instruction, ...]:
    """Lets pass unfragmented IPv4 UDP to `port`, and whatever still carries a VLAN tag.

    The kernel takes the outermost tag off before it filters, so such frames are rare.
    """
    return (
        (_LOAD_HALF, 0, 0, 12),
        (_JUMP_IF, 10, 0, 0x8100),
        (_JUMP_IF, 9, 0, 0x88A8),
        (_JUMP_IF, 8, 0, 0x9100),
        (_JUMP_IF, 0, 8, 0x0800),
        (_LOAD_BYTE, 0, 0, 23),
        (_JUMP_IF, 0, 6, 17),
        (_LOAD_HALF, 0, 0, 20),
        (_JUMP_SET, 4, 0, 0x1FFF),
        (0xB1, 0, 0, 14),  # x = length of the IP header
        (0x48, 0, 0, 16),  # the half-word at x + 16
        (_JUMP_IF, 0, 1, port),
        (_RETURN, 0, 0, _LARGEST),
        (_RETURN, 0, 0, 0),
    )


def ether_type(number: int) -> tuple[Instruction, ...]:
    """Lets pass frames of one EtherType."""
    return ((_LOAD_HALF, 0, 0, 12), (_JUMP_IF, 0, 1, number), (_RETURN, 0, 0, _LARGEST), (_RETURN, 0, 0, 0))


def udp_fragments() -> tuple[Instruction, ...]:
    """Lets pass every fragment of IPv4 UDP, the first ones too: only the whole tells the port."""
    return (
        (_LOAD_HALF, 0, 0, 12),
        (_JUMP_IF, 0, 5, 0x0800),
        (_LOAD_BYTE, 0, 0, 23),
        (_JUMP_IF, 0, 3, 17),
        (_LOAD_HALF, 0, 0, 20),
        (_JUMP_SET, 0, 1, 0x3FFF),
        (_RETURN, 0, 0, _LARGEST),
        (_RETURN, 0, 0, 0),
    )


def ipv6_routers() -> tuple[Instruction, ...]:
    """Lets pass router advertisements, and UDP from a DHCPv6 server's port."""
    return (
        (_LOAD_HALF, 0, 0, 12),
        (_JUMP_IF, 0, 8, 0x86DD),
        (_LOAD_BYTE, 0, 0, 20),
        (_JUMP_IF, 0, 2, 58),
        (_LOAD_BYTE, 0, 0, 54),
        (_JUMP_IF, 3, 4, 134),
        (_JUMP_IF, 0, 3, 17),
        (_LOAD_HALF, 0, 0, 54),
        (_JUMP_IF, 0, 1, 547),
        (_RETURN, 0, 0, _LARGEST),
        (_RETURN, 0, 0, 0),
    )


def arp_from(ip: bytes) -> tuple[Instruction, ...]:
    """Lets pass ARP whose sender says that it has this address."""
    return (
        (_LOAD_HALF, 0, 0, 12),
        (_JUMP_IF, 0, 3, 0x0806),
        (_LOAD_WORD, 0, 0, 28),
        (_JUMP_IF, 0, 1, int.from_bytes(ip, "big")),
        (_RETURN, 0, 0, _LARGEST),
        (_RETURN, 0, 0, 0),
    )


def either(first: Sequence[Instruction], *others: Sequence[Instruction]) -> tuple[Instruction, ...]:
    """Lets pass what one of these filters does; each ends in the instruction that refuses."""
    # All jumps are relative: those to a refusal that is no longer there land at the beginning of the next filter.
    return (*first[:-1], *either(*others)) if others else tuple(first)


class Tap:
    """Use as a context manager: `with Tap(filter) as tap: tap.listen(nic)`.

    Not promiscuous: what is asked for comes to our own MAC or to all. `outgoing`: `receive_any` tells of what this
    machine sends, too. Raises NeedsRoot where packet sockets are not allowed, OSError for everything else.
    """

    def __init__(self, program: Sequence[Instruction], *, outgoing: bool = False) -> None:
        try:
            # Protocol 0 hears nothing until bound: no other NIC's frames get in.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        except PermissionError:
            raise NeedsRoot("asking a wire needs root (CAP_NET_RAW)", "run it with sudo") from None
        self._attach(program)
        self._socket.setsockopt(_SOL_PACKET, _AUXDATA, 1)
        if not outgoing:
            # Spares a copy of every frame that leaves; `receive` throws them away where an old kernel cannot.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def listen(self, nic: str) -> None:
        """Hear and send on this NIC; it stays this one if it is renamed."""
        self._socket.bind((nic, _ALL_PROTOCOLS))

    def join(self, group: bytes) -> None:
        """Have the NIC hear frames to this group, whatever the kernel itself listens to. After `listen`."""
        index = socket.if_nametoindex(self._socket.getsockname()[0])
        wanted = _MEMBERSHIP.pack(index, _MULTICAST, len(group), group)
        self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, wanted)

    def send(self, frame: bytes) -> None:
        self._socket.settimeout(1)
        self._socket.send(frame)

    def receive(self, timeout: float) -> tuple[bytes, int | None] | None:
        """The next frame and the number of the VLAN whose tag the kernel took off; None after `timeout` seconds.

        The frame is empty where it was one that this machine sent.
        """
        heard = self.receive_any(timeout)
        if heard is None:
            return None
        frame, vlan, ours = heard
        return (b"", None) if ours else (frame, vlan)

    def receive_any(self, timeout: float) -> tuple[bytes, int | None, bool] | None:
        """The same, and whether this machine sent it."""
        self._socket.settimeout(max(timeout, 0))
        try:
            frame, ancillary, _, address = self._socket.recvmsg(_LARGEST, socket.CMSG_SPACE(_AUX.size))
        except (TimeoutError, BlockingIOError):
            return None
        ours = address[2] == socket.PACKET_OUTGOING
        for level, kind, data in ancillary:
            if (level, kind) == (_SOL_PACKET, _AUXDATA) and len(data) >= _AUX.size:
                status, _, _, _, _, tag, _ = _AUX.unpack_from(data)
                return frame, (tag & 0x0FFF) or None if status & _VLAN_VALID else None, ours
        return frame, None, ours

    def dropped(self) -> int:
        """How many frames the kernel could not keep for us, since the last call."""
        packets_and_drops = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8)
        return int(struct.unpack("=II", packets_and_drops)[1])

    def _attach(self, program: Sequence[Instruction]) -> None:
        code = array("B", b"".join(struct.pack("=HBBI", *step) for step in program))
        described = struct.pack("@HP", len(program), code.buffer_info()[0])
        self._socket.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, described)
