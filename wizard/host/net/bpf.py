"""Classic BPF programs, by which the kernel filters the frames for a packet socket."""

from __future__ import annotations

import socket
import struct
from array import array
from collections.abc import Sequence

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, value; as struct sock_filter has them."""

_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30
# x becomes the length of the IPv4 header at that place; a byte or half-word is loaded from x plus that place.
_HEADER_LENGTH, _HALF_AT_X, _BYTE_AT_X = 0xB1, 0x48, 0x50
_JUMP_IF, _JUMP_GREATER, _JUMP_SET, _RETURN = 0x15, 0x25, 0x45, 0x06
_FROM_THE_START = frozenset({_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE, _HEADER_LENGTH, _HALF_AT_X, _BYTE_AT_X})
_PROTOCOL, _PACKET_TYPE = 0xFFFFF000, 0xFFFFF004
_ATTACH_FILTER = 26
LARGEST = 1 << 16
"""No frame is longer, in bytes."""
LONGEST_8023 = 1500
"""Bytes; what stands in the place of a larger length is an EtherType."""


def attach(packet_socket: socket.socket, program: Sequence[Instruction]) -> None:
    """Attach a program to a packet socket: it receives only what the program passes. Raises OSError."""
    code = array("B", b"".join(struct.pack("=HBBI", *step) for step in program))
    described = struct.pack("@HP", len(program), code.buffer_info()[0])
    packet_socket.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, described)


def udp_to_port(port: int) -> tuple[Instruction, ...]:
    """Passes IPv4 UDP to `port` (the first fragment too, which has the port), and frames that still have a VLAN tag.

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
        (_HEADER_LENGTH, 0, 0, 14),
        (_HALF_AT_X, 0, 0, 16),
        (_JUMP_IF, 0, 1, port),
        (_RETURN, 0, 0, LARGEST),
        (_RETURN, 0, 0, 0),
    )


def everything(length: int) -> tuple[Instruction, ...]:
    """Passes every frame, cut off after `length` bytes."""
    return ((_RETURN, 0, 0, length),)


def with_length(length: int) -> tuple[Instruction, ...]:
    """Passes IEEE 802.3 frames, which have a length and no EtherType, cut off after `length` bytes."""
    return (
        (_LOAD_HALF, 0, 0, 12),
        (_JUMP_GREATER, 1, 0, LONGEST_8023),
        (_RETURN, 0, 0, length),
        (_RETURN, 0, 0, 0),
    )


def ether_type(number: int) -> tuple[Instruction, ...]:
    """Passes frames of one EtherType."""
    return ((_LOAD_HALF, 0, 0, 12), (_JUMP_IF, 0, 1, number), (_RETURN, 0, 0, LARGEST), (_RETURN, 0, 0, 0))


def udp_fragments() -> tuple[Instruction, ...]:
    """Passes every fragment of IPv4 UDP, first ones too: only the reassembled datagram shows the port."""
    return (
        (_LOAD_HALF, 0, 0, 12),
        (_JUMP_IF, 0, 5, 0x0800),
        (_LOAD_BYTE, 0, 0, 23),
        (_JUMP_IF, 0, 3, 17),
        (_LOAD_HALF, 0, 0, 20),
        (_JUMP_SET, 0, 1, 0x3FFF),
        (_RETURN, 0, 0, LARGEST),
        (_RETURN, 0, 0, 0),
    )


def ipv6_routers() -> tuple[Instruction, ...]:
    """Passes router advertisements, and UDP from a DHCPv6 server's port."""
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
        (_RETURN, 0, 0, LARGEST),
        (_RETURN, 0, 0, 0),
    )


def arp_from(ip: bytes) -> tuple[Instruction, ...]:
    """Passes ARP whose sender claims this IPv4 address (four bytes)."""
    return (
        (_LOAD_HALF, 0, 0, 12),
        (_JUMP_IF, 0, 3, 0x0806),
        (_LOAD_WORD, 0, 0, 28),
        (_JUMP_IF, 0, 1, int.from_bytes(ip, "big")),
        (_RETURN, 0, 0, LARGEST),
        (_RETURN, 0, 0, 0),
    )


def any_of(first: Sequence[Instruction], *others: Sequence[Instruction]) -> tuple[Instruction, ...]:
    """Passes what any of these programs passes; each must end in the instruction that rejects."""
    # Jumps are relative: those to the removed rejection land at the beginning of the next program.
    return (*first[:-1], *any_of(*others)) if others else tuple(first)


# Label, code, value, and the labels to jump to if true and if false ("": the next step).
_Step = tuple[str, int, int, str, str]
_PATH_TRAFFIC: tuple[_Step, ...] = (
    ("", _LOAD_HALF, 12, "", ""),
    ("", _JUMP_IF, 0x0806, "yes", ""),
    ("", _JUMP_IF, 0x0800, "", "no"),
    ("", _LOAD_BYTE, 23, "", ""),
    ("", _JUMP_IF, 1, "yes", ""),
    ("", _JUMP_IF, 17, "udp", ""),
    ("", _JUMP_IF, 6, "", "no"),
    # TCP: SYN and RST.
    ("", _HEADER_LENGTH, 14, "", ""),
    ("", _BYTE_AT_X, 14 + 13, "", ""),
    ("", _JUMP_SET, 0x06, "yes", "no"),
    # UDP: from the ports of DNS and DHCP servers.
    ("udp", _HEADER_LENGTH, 14, "", ""),
    ("", _HALF_AT_X, 14, "", ""),
    ("", _JUMP_IF, 67, "yes", ""),
    ("", _JUMP_IF, 53, "yes", "no"),
    ("yes", _RETURN, LARGEST, "", ""),
    ("no", _RETURN, 0, "", ""),
)
_LEAVING: tuple[_Step, ...] = (
    ("", _LOAD_WORD, _PACKET_TYPE, "", ""),
    ("", _JUMP_IF, socket.PACKET_OUTGOING, "", "no"),
)


_ETHERNET_HEADER = 14
_IS_IPV4: tuple[_Step, ...] = (("", _LOAD_HALF, _PROTOCOL, "", ""), ("", _JUMP_IF, 0x0800, "", "no"))
# The same of packets that begin with their IP header.
_BARE_TRAFFIC: tuple[_Step, ...] = (
    *_IS_IPV4,
    *(
        (label, code, value - _ETHERNET_HEADER if code in _FROM_THE_START else value, yes, no)
        for label, code, value, yes, no in _PATH_TRAFFIC[3:]
    ),
)


def path_traffic(*, only_leaving: bool, ethernet: bool = True) -> tuple[Instruction, ...]:
    """Passes untagged ARP, ICMP, SYN and RST of TCP, and UDP from DNS and DHCP servers.

    `only_leaving`: only frames that this machine sends. Without `ethernet`, for a socket whose packets begin with their
    IP header.
    """
    traffic = _PATH_TRAFFIC if ethernet else _BARE_TRAFFIC
    return _assemble((*_LEAVING, *traffic) if only_leaving else traffic)


def _assemble(steps: Sequence[_Step]) -> tuple[Instruction, ...]:
    places = {label: at for at, (label, *_) in enumerate(steps) if label}
    return tuple(
        (code, places[yes] - at - 1 if yes else 0, places[no] - at - 1 if no else 0, value)
        for at, (_, code, value, yes, no) in enumerate(steps)
    )
