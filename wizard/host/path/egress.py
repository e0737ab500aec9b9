"""Captures the frames that leave by a NIC, after every packet filter."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

from wizard.host.net.bpf import LARGEST, path_traffic
from wizard.host.net.packet_socket import ALL_PROTOCOLS, packet_socket

_NO_HEADER = bytes(12) + b"\x08\x00"


class EgressCapture:
    """Use as a context manager. `both_ways`: incoming frames too. Raises NeedsRoot, or OSError without such a NIC.

    `ethernet`: whether the NIC has Ethernet headers; if not, one without addresses is put before each packet.
    """

    def __init__(self, nic: str, *, both_ways: bool = False, ethernet: bool = True) -> None:
        program = path_traffic(only_leaving=not both_ways, ethernet=ethernet)
        self._header = b"" if ethernet else _NO_HEADER
        refused = "capturing what leaves needs root (CAP_NET_RAW)"
        self._socket = packet_socket(program, refused, bare=not ethernet)
        try:
            self._socket.setblocking(False)
            self._socket.bind((nic, ALL_PROTOCOLS))
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
        """The next queued frame, and whether it leaves; None if none is queued.

        Raises OSError if the NIC is down or gone.
        """
        try:
            frame, address = self._socket.recvfrom(LARGEST)
        except BlockingIOError:
            return None
        return self._header + frame, address[2] == socket.PACKET_OUTGOING
