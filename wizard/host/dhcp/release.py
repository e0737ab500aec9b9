"""Releases a lease at our own dnsmasq with a DHCPRELEASE: it offers no other way."""

from __future__ import annotations

import re
import secrets
import socket

from wizard.host.dhcp.packet import SERVER_PORT, release_payload
from wizard.host.facts.nics import is_usable_name
from wizard.plan.findings import NeedsRoot, WizardError
from wizard.plan.text import clean

_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")


def build_release(mac: str, ip: str, server: str) -> bytes:
    """A DHCPRELEASE as the payload of a datagram: what the machine itself would send when it leaves.

    Raises WizardError for a lease of hardware that is not Ethernet, as dnsmasq writes it: 06-02:11:22:33:44:55.
    """
    if _MAC.fullmatch(mac) is None:
        raise WizardError(
            f"the lease of {ip} cannot be released: {clean(mac, 60)} is not an Ethernet MAC",
            "Wait until it expires.",
        )
    parts = bytes.fromhex(mac.replace(":", "")), socket.inet_aton(ip), socket.inet_aton(server)
    return release_payload(*parts, secrets.randbits(32))


def release(nic: str, server: str, mac: str, ip: str) -> None:
    """Give up a lease in the name of the machine that has it. `server` is our own address behind `nic`.

    The datagram does not leave this machine. Nothing answers it: whether it was heeded is seen in the lease file.
    Raises NeedsRoot, or WizardError where there is no such NIC or no such Ethernet machine.
    """
    if not is_usable_name(nic):
        raise WizardError(f"{nic!r} is not a usable NIC", "See 'ciao-wizard status'.")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        try:
            # dnsmasq listens on one NIC only. Bound to that, a datagram to our own address counts as received there.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, nic.encode())
            end.sendto(build_release(mac, ip, server), (server, SERVER_PORT))
        except PermissionError:
            raise NeedsRoot("releasing a lease needs root", "run it with sudo") from None
        except OSError as error:
            raise WizardError(f"the release of {ip} was not sent: {error.strerror}", "Is the gateway up?") from None
