"""The nftables set that lets our DHCP answers out, changed over netlink.

Not by `nft`: the muter renews the element every second, and muting must not wait for a process to start.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from wizard.host.net import nfnetlink
from wizard.host.net.netlink import ACK, CREATE, attribute, attributes, nested
from wizard.host.net.nfnetlink import NFTABLES, KernelRefused
from wizard.plan.findings import WizardError

TABLE, SET = "ciao_gateway", "armed"
LEASE_S = 2.0
"""How long an element lasts: if everything else hangs, the kernel mutes our DHCP after this."""

_NEW_ELEMENT, _GET_ELEMENT, _DELETE_ELEMENT = 12, 13, 14
_INET = nfnetlink.FAMILIES["inet"]
_TABLE_NAME, _SET_NAME, _ELEMENTS = 1, 2, 3
_KEY, _TIMEOUT, _EXPIRATION = 1, 4, 5
_TIMEOUT_S = 2.0


class ArmingFailed(WizardError):
    """The kernel refused to change or list the set; `number` is its errno."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(
            f"the packet filter's set {SET} of table inet {TABLE}: {os.strerror(number)}",
            "Run 'ciao-wizard apply' to load the rules again.",
        )


def arm(index: int, seconds: float = LEASE_S) -> None:
    """Let our DHCP answers out by the NIC with this index alone, for `seconds` from now. Raises ArmingFailed."""
    lasts = attribute(_TIMEOUT, struct.pack("!Q", int(seconds * 1000)))
    # In one transaction. Adding alone would keep the old element's expiry, and any other element.
    _transact(
        [
            (_DELETE_ELEMENT, ACK, _INET, _names()),
            (_NEW_ELEMENT, ACK | CREATE, _INET, _names() + nested(_ELEMENTS, nested(1, _key(index) + lasts))),
        ]
    )


def disarm() -> None:
    """Empty the set: our DHCP answers leave by no NIC. Does nothing if the set does not exist.

    Raises ArmingFailed.
    """
    try:
        _transact([(_DELETE_ELEMENT, ACK, _INET, _names())])
    except ArmingFailed as error:
        if error.number != errno.ENOENT:
            raise


@dataclass(frozen=True, slots=True)
class Element:
    """A NIC in the set. `expires_in_s`: seconds until it expires, None if it never does."""

    index: int
    expires_in_s: float | None


def list_elements() -> list[Element]:
    """The elements of the set now; [] if the set does not exist. Raises ArmingFailed."""
    try:
        replies = nfnetlink.dump(NFTABLES, _GET_ELEMENT, _INET, _names(), _TIMEOUT_S)
        return [element for reply in replies for element in _elements_in(reply.get(_ELEMENTS, b""))]
    except KernelRefused as refused:
        if refused.number == errno.ENOENT:
            return []
        raise ArmingFailed(refused.number) from refused


def _elements_in(listed: bytes) -> Iterator[Element]:
    for _, element in attributes(listed):
        about = dict(attributes(element))
        key = dict(attributes(about.get(_KEY, b""))).get(1, b"")
        expiry = about.get(_EXPIRATION) or about.get(_TIMEOUT)
        if len(key) == 4:
            yield Element(struct.unpack("=I", key)[0], struct.unpack("!Q", expiry)[0] / 1000 if expiry else None)


def _transact(changes: list[nfnetlink.Change]) -> None:
    try:
        nfnetlink.transact(changes, _TIMEOUT_S)
    except KernelRefused as refused:
        raise ArmingFailed(refused.number) from refused


def _names() -> bytes:
    return attribute(_TABLE_NAME, TABLE.encode() + b"\0") + attribute(_SET_NAME, SET.encode() + b"\0")


def _key(index: int) -> bytes:
    # In the machine's own byte order, as the kernel compares it.
    return nested(1, attribute(1, struct.pack("=I", index)))
