"""Wake-on-LAN: frames that a NIC in standby switches its machine on by."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from wizard.host.net.frames import BROADCAST_MAC, IPV4, ethernet, udp
from wizard.plan.findings import NeedsRoot, WizardError

WAKE_ON_LAN = 0x0842
"""The EtherType."""
_DISCARD_PORT = 9
_EVERYBODY = b"\xff" * 4


def magic_payload(mac: bytes) -> bytes:
    """Six times FF, then sixteen times the MAC (six bytes): what the NIC looks for, wherever it stands in a frame."""
    return b"\xff" * 6 + mac * 16


def magic_frames(mac: bytes, own_mac: bytes, own_address: bytes) -> list[bytes]:
    """The same in each way that a NIC may be set to hear: to all and to it alone, and in UDP."""
    payload = magic_payload(mac)
    datagram = udp(own_address, _EVERYBODY, (_DISCARD_PORT, _DISCARD_PORT), payload)
    return [
        ethernet(BROADCAST_MAC, own_mac, WAKE_ON_LAN, payload),
        ethernet(mac, own_mac, WAKE_ON_LAN, payload),
        ethernet(BROADCAST_MAC, own_mac, IPV4, datagram),
    ]


def send_magic(nic: str, index: int, address: str, macs: Iterable[bytes]) -> None:
    """Send the frames for each MAC out of the NIC with this name and index, whose address is given, and of no other.

    Raises NeedsRoot, and WizardError where that NIC is not there or takes nothing.
    """
    try:
        # Protocol 0: it is to receive nothing.
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    except PermissionError:
        raise NeedsRoot("waking a machine needs root (CAP_NET_RAW)", "Run it again with sudo.") from None
    with opened:
        try:
            opened.bind((nic, 0))
            bound = opened.getsockname()
            # A socket keeps to its NIC, whatever that is called later: this is asked once.
            if socket.if_nametoindex(bound[0]) != index:
                raise WizardError(f"{nic} is another NIC than a moment ago", "Look at 'ciao-wizard status'.")
            opened.settimeout(1)
            for mac in macs:
                for frame in magic_frames(mac, bound[4], socket.inet_aton(address)):
                    opened.send(frame)
        except OSError as error:
            raise WizardError(f"{nic} does not send: {error.strerror}", "Is its cable plugged in?") from None
