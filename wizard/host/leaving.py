"""Hears what leaves by a NIC, after every packet filter: what this machine really says, not what it means to say."""

from __future__ import annotations

import socket
import struct
from array import array
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from wizard.host.tap import Instruction
from wizard.plan.findings import NeedsRoot

_ALL_PROTOCOLS = 0x0003
_ATTACH_FILTER = 26
_LARGEST = 1 << 16
_PACKET_TYPE = 0xFFFFF004
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30
_HEADER_LENGTH, _HALF_AT_X, _BYTE_AT_X = 0xB1, 0x48, 0x50
_IF, _IF_SET, _RETURN = 0x15, 0x45, 0x06

# Each: its label, the code, its value, and where to go on if so and if not ("": the next one).
_Step = tuple[str, int, int, str, str]
OUR_TALK: tuple[_Step, ...] = (
    ("", _LOAD_HALF, 12, "", ""),
    ("", _IF, 0x0806, "yes", ""),
    ("", _IF, 0x0800, "", "no"),
    ("", _LOAD_BYTE, 23, "", ""),
    ("", _IF, 1, "yes", ""),
    ("", _IF, 17, "udp", ""),
    ("", _IF, 6, "", "no"),
    # Of TCP what begins a connection or breaks it off.
    ("", _HEADER_LENGTH, 14, "", ""),
    ("", _BYTE_AT_X, 14 + 13, "", ""),
    ("", _IF_SET, 0x06, "yes", "no"),
    # Of UDP what servers of DNS and DHCP say.
    ("udp", _HEADER_LENGTH, 14, "", ""),
    ("", _HALF_AT_X, 14, "", ""),
    ("", _IF, 67, "yes", ""),
    ("", _IF, 53, "yes", "no"),
    ("yes", _RETURN, _LARGEST, "", ""),
    ("no", _RETURN, 0, "", ""),
)
LEAVING: tuple[_Step, ...] = (
    ("", _LOAD_WORD, _PACKET_TYPE, "", ""),
    ("", _IF, socket.PACKET_OUTGOING, "", "no"),
)


def assembled(steps: Sequence[_Step]) -> tuple[Instruction, ...]:
    places = {label: at for at, (label, *_) in enumerate(steps) if label}
    return tuple(
        (code, places[yes] - at - 1 if yes else 0, places[no] - at - 1 if no else 0, value)
        for at, (_, code, value, yes, no) in enumerate(steps)
    )


class Leaving:
    """Use as a context manager. `both_ways`: what comes in too. Raises NeedsRoot, or OSError where there is no NIC."""

    def __init__(self, nic: str, *, both_ways: bool = False) -> None:
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        except PermissionError:
            raise NeedsRoot("hearing what leaves needs root (CAP_NET_RAW)", "run it with sudo") from None
        program = assembled(OUR_TALK if both_ways else (*LEAVING, *OUR_TALK))
        code = array("B", b"".join(struct.pack("=HBBI", *step) for step in program))
        try:
            described = struct.pack("@HP", len(program), code.buffer_info()[0])
            self._socket.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, described)
            self._socket.setblocking(False)
            # Every protocol: only such a socket hears what leaves.
            self._socket.bind((nic, _ALL_PROTOCOLS))
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def next(self) -> tuple[bytes, bool] | None:
        """The next frame that is there already, and whether it leaves; None where there is none.

        Raises OSError where the NIC went down or away.
        """
        try:
            frame, address = self._socket.recvfrom(_LARGEST)
        except BlockingIOError:
            return None
        return frame, address[2] == socket.PACKET_OUTGOING
