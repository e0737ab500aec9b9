"""Telling our own dnsmasq that a lease is given up, in the words of DHCP: it has no other ear for that."""

from __future__ import annotations

import re
import secrets
import socket
import struct

from wizard.host.facts_nics import is_usable_name
from wizard.plan.findings import NeedsRoot, WizardError
from wizard.plan.text import clean

_SERVER_PORT = 67
_REQUEST, _ETHERNET = 1, 1
_RELEASE = 7
_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s192x4s")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
_MAGIC = b"\x63\x82\x53\x63"


def build_release(mac: str, ip: str, server: str) -> bytes:
    """A DHCPRELEASE as the payload of a datagram: what the machine itself would send on going.

    Raises WizardError for a lease of hardware that is not Ethernet, as dnsmasq writes it: 06-02:11:22:33:44:55.
    """
    if _MAC.fullmatch(mac) is None:
        raise WizardError(
            f"the lease of {ip} cannot be released: {clean(mac, 60)} is no MAC of Ethernet",
            "Wait until it ends.",
        )
    nobody = bytes(4)
    head = _HEADER.pack(
        _REQUEST, _ETHERNET, 6, 0, secrets.randbits(32), 0, 0,
        socket.inet_aton(ip), nobody, nobody, nobody, bytes.fromhex(mac.replace(":", "")), _MAGIC,
    )  # fmt: skip
    return head + bytes((53, 1, _RELEASE, 54, 4)) + socket.inet_aton(server) + b"\xff"


def release(nic: str, server: str, mac: str, ip: str) -> None:
    """Give up a lease in the name of the machine that has it. `server` is our own address behind `nic`.

    The datagram does not leave this machine. Nothing answers it: whether it was heeded is seen in the lease file.
    Raises NeedsRoot, or WizardError where there is no such NIC or no such Ethernet machine.
    """
    if not is_usable_name(nic):
        raise WizardError(f"{nic!r} is no NIC of ours", "Look at 'ciao-wizard status'.")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        try:
            # dnsmasq hears one NIC only. Bound to it, a datagram to our own address counts as having come in there.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, nic.encode())
            end.sendto(build_release(mac, ip, server), (server, _SERVER_PORT))
        except PermissionError:
            raise NeedsRoot("releasing a lease needs root", "run it with sudo") from None
        except OSError as error:
            raise WizardError(f"the release of {ip} was not sent: {error.strerror}", "Is the gateway up?") from None
