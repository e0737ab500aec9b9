"""A packet socket on one NIC: sends and receives whole Ethernet frames, past IP and its filters.

A UDP socket would miss DHCP answers: on a NIC without an address rp_filter drops them, a firewall may, and
an answer sent to the offered address reaches no socket.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from wizard.host.net.bpf import LARGEST, Instruction, attach
from wizard.plan.findings import NeedsRoot

ALL_PROTOCOLS = 0x0003
"""ETH_P_ALL: only a socket bound to it sees what comes in by a bridge port, and what this machine sends."""
_SOL_PACKET, _ADD_MEMBERSHIP, _STATISTICS, _AUXDATA, _IGNORE_OUTGOING = 263, 1, 6, 8, 23
_MEMBERSHIP = struct.Struct("=iHH8s")
_MULTICAST, _ALL_MULTICAST = 0, 2
_AUX = struct.Struct("=IIIHHHH")
_VLAN_VALID = 0x10


def packet_socket(
    program: Sequence[Instruction], refused: str = "probing a network needs root (CAP_NET_RAW)", *, bare: bool = False
) -> socket.socket:
    """A socket that receives the whole frames that the filter passes, once it is bound to a NIC.

    `bare`: without their link's header, which not every link has.

    Raises NeedsRoot with the words `refused` if packet sockets are not allowed, else OSError.
    """
    try:
        # Protocol 0 receives nothing until it is bound, so no frame of another NIC gets in.
        opened = socket.socket(
            socket.AF_PACKET, (socket.SOCK_DGRAM if bare else socket.SOCK_RAW) | socket.SOCK_CLOEXEC, 0
        )
    except PermissionError:
        raise NeedsRoot(refused, "run it with sudo") from None
    try:
        attach(opened, program)
    except OSError:
        opened.close()
        raise
    return opened


class PacketSocket:
    """Use as a context manager: `with PacketSocket(program) as tap: tap.listen(nic)`.

    Not promiscuous: answers come to our own MAC or to all. `outgoing`: `receive_any` also returns what this machine
    sends. Raises NeedsRoot if packet sockets are not allowed, else OSError.
    """

    def __init__(self, program: Sequence[Instruction], *, outgoing: bool = False) -> None:
        self._socket = packet_socket(program)
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
        """Receive and send on this NIC, even if it is renamed. Raises OSError."""
        self._socket.bind((nic, ALL_PROTOCOLS))

    def refilter(self, program: Sequence[Instruction]) -> None:
        """Replace the filter; frames that are queued already passed the old one. Raises OSError."""
        attach(self._socket, program)

    def join(self, group: bytes) -> None:
        """Receive frames to this multicast MAC too. Call after `listen`. Raises OSError."""
        self._join(_MULTICAST, group)

    def join_all(self) -> None:
        """Receive frames to every multicast MAC. Call after `listen`. Raises OSError."""
        self._join(_ALL_MULTICAST, b"")

    def _join(self, kind: int, group: bytes) -> None:
        index = socket.if_nametoindex(self._socket.getsockname()[0])
        wanted = _MEMBERSHIP.pack(index, kind, len(group), group)
        self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, wanted)

    def send(self, frame: bytes) -> None:
        self._socket.settimeout(1)
        self._socket.send(frame)

    def receive(self, timeout: float) -> tuple[bytes, int | None] | None:
        """The next frame, and the VLAN whose tag the kernel removed (None: untagged); None after `timeout` seconds.

        The frame is empty if this machine sent it. Raises OSError if the NIC is down or gone.
        """
        received = self.receive_any(timeout)
        if received is None:
            return None
        frame, vlan, ours = received
        return (b"", None) if ours else (frame, vlan)

    def receive_any(self, timeout: float) -> tuple[bytes, int | None, bool] | None:
        """The same with the frame in any case, and whether this machine sent it."""
        self._socket.settimeout(max(timeout, 0))
        try:
            frame, ancillary, _, address = self._socket.recvmsg(LARGEST, socket.CMSG_SPACE(_AUX.size))
        except (TimeoutError, BlockingIOError):
            return None
        ours = address[2] == socket.PACKET_OUTGOING
        for level, kind, data in ancillary:
            if (level, kind) == (_SOL_PACKET, _AUXDATA) and len(data) >= _AUX.size:
                status, _, _, _, _, tag, _ = _AUX.unpack_from(data)
                return frame, (tag & 0x0FFF) or None if status & _VLAN_VALID else None, ours
        return frame, None, ours

    def dropped(self) -> int:
        """How many frames the kernel dropped for lack of room, since the last call."""
        packets_and_drops = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8)
        return int(struct.unpack("=II", packets_and_drops)[1])
