"""Asks whether another machine has the gateway's address, before the guard takes it again (RFC 5227, 2.1)."""

from __future__ import annotations

import contextlib
import time

from netaddr import IPAddress

from wizard.host.net.bpf import arp_from
from wizard.host.net.frames import NOBODY, arp_request, parse_arp
from wizard.host.net.link import read_link
from wizard.host.net.packet_socket import PacketSocket
from wizard.plan.findings import WizardError

_MAX_FRAMES = 64
_EVERY_S = 0.9


class AddressProbe:
    """ARP probes on a NIC that is up and does not have the address. `close` it. Raises WizardError, OSError."""

    def __init__(self, nic: str, address: IPAddress) -> None:
        link = read_link(nic)
        if link is None or not link.mac:
            raise WizardError(f"{nic} cannot be asked by ARP")
        self._mac, self._address, self._sent_at = link.mac, address.packed, 0.0
        with contextlib.ExitStack() as opened:
            self._socket = opened.enter_context(PacketSocket(arp_from(self._address)))
            self._socket.listen(nic)
            self._close = opened.pop_all()

    def ask(self) -> str:
        """Send a probe, at most one a second, and return the MAC of a machine that has claimed the address, or "".

        Raises OSError where the NIC is down or gone.
        """
        rival = ""
        for _ in range(_MAX_FRAMES):
            received = self._socket.receive(0)
            if received is None:
                break
            frame, vlan = received
            arp = parse_arp(frame) if vlan is None else None
            if arp is not None and arp.mac != self._mac:
                rival = arp.mac.hex(":")
        if time.monotonic() - self._sent_at > _EVERY_S:
            self._sent_at = time.monotonic()
            self._socket.send(arp_request(self._mac, NOBODY, self._address))
        return rival

    def close(self) -> None:
        self._close.close()
