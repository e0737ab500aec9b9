"""Whether the forwarded ports answer: at the node itself, and through the gateway."""

from __future__ import annotations

import errno
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from wizard.plan.addresses import assign
from wizard.plan.model import Plan, Protocol

PATIENCE_S = 1.5
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class ForwardCheck:
    """One forward. `at_node`, `through_gateway`: whether a TCP connection succeeds there; None where it cannot be
    tried (UDP, or an unknown address). `words`: the result as text."""

    port: int
    protocol: str
    to: str
    to_port: int
    at_node: bool | None
    through_gateway: bool | None
    words: str
    last_port: int | None = None
    """Of a range, of which the first port is tried."""

    @property
    def port_text(self) -> str:
        return str(self.port) if self.last_port is None else f"{self.port}-{self.last_port}"

    def as_json(self) -> dict[str, Any]:
        return {
            "port": self.port,
            "last_port": self.last_port,
            "protocol": self.protocol,
            "to": self.to,
            "to_port": self.to_port,
            "at_node": self.at_node,
            "through_gateway": self.through_gateway,
            "words": self.words,
        }


def check_forwards(plan: Plan, corporate_address: str = "") -> tuple[ForwardCheck, ...]:
    """Connect to each forward of the plan from this gateway, all at once; takes at most 3 s.

    `corporate_address` is the gateway's own on the corporate side, "" where unknown (see `plan.export.formats`).
    """
    plan = assign(plan)
    addresses = {machine.name: str(machine.ip) for machine in plan.machines}
    targets = [(forward, addresses.get(forward.to, forward.to)) for forward in plan.forwards]
    tried = [(address, forward.to_port) for forward, address in targets if forward.protocol is Protocol.TCP]
    if corporate_address:
        tried += [(corporate_address, forward.port) for forward, _ in targets if forward.protocol is Protocol.TCP]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        errors = dict(zip(tried, pool.map(lambda endpoint: _connect_error(*endpoint), tried), strict=True))
    return tuple(
        _with_result(
            ForwardCheck(
                forward.port, str(forward.protocol), forward.to, forward.to_port, None, None, "", forward.last_port
            ),
            errors.get((address, forward.to_port)) if forward.protocol is Protocol.TCP else None,
            errors.get((corporate_address, forward.port)) if forward.protocol is Protocol.TCP else None,
        )
        for forward, address in targets
    )


def _connect_error(address: str, port: int) -> str:
    """Why a TCP connection fails, "" where it succeeds."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as end:
        end.settimeout(PATIENCE_S)
        try:
            number = end.connect_ex((address, port))
        except (OSError, OverflowError):
            return "no answer"
    if number in (0, errno.EISCONN):
        return ""
    if number in (errno.EAGAIN, errno.ETIMEDOUT, errno.EINPROGRESS):
        return "no answer"
    if number == errno.ECONNREFUSED:
        return "nobody listens there"
    return "no such machine on the wire" if number == errno.EHOSTUNREACH else os.strerror(number).lower()


def _with_result(blank: ForwardCheck, at_node: str | None, through: str | None) -> ForwardCheck:
    """`blank` with the two errors: None where not tried, "" where it connected."""
    if at_node is None:
        words = "UDP: nobody can tell without speaking its protocol"
    elif at_node:
        words = f"{blank.to}:{blank.to_port}: {at_node}"
    elif through:
        words = f"{blank.to}:{blank.to_port} answers, the gateway's port {blank.port} does not: {through}"
    else:
        words = "answers" if through is not None else "answers at the node; the gateway's own address is not known"
    return ForwardCheck(
        blank.port,
        blank.protocol,
        blank.to,
        blank.to_port,
        None if at_node is None else not at_node,
        None if through is None else not through,
        words if blank.last_port is None or at_node is None else f"{blank.port}: {words}",
        blank.last_port,
    )
