"""Who speaks on a wire: who asks for an address (DHCP), who has one and looks for others (ARP). Never answered.

Run as a program it tells them on its standard output, one JSON object a line, until its standard input ends: the
part that needs root, for a wizard that is not.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from wizard.host.dhcp.packet import SERVER_PORT, parse_request
from wizard.host.net.bpf import any_of, ether_type, udp_to_port
from wizard.host.net.frames import ARP, NOBODY, parse_arp
from wizard.host.net.link import read_link
from wizard.host.net.packet_socket import PacketSocket
from wizard.host.path.injection import is_synthetic
from wizard.plan.findings import WizardError
from wizard.plan.text import clean

LONGEST_NAME = 64
TELL_EVERY_S = 0.25
"""Several that ask within this time are told together: a wire may be flooded."""
MOST_AT_ONCE = 200
_LOOK_S = 0.2
_LINK_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class DiscoveredMachine:
    """A machine that spoke. `mac` is lower case with colons; the texts are fit to be shown, "" where it sent none.

    `ip` is the address that it says it has, "" while it asks for one.
    """

    mac: str
    host_name: str = ""
    vendor_class: str = ""
    wanted_ip: str = ""
    ip: str = ""

    def after(self, before: DiscoveredMachine | None) -> DiscoveredMachine:
        """This, with the name that it told `before`: neither a boot loader nor who looks for a neighbour tells one."""
        if before is None:
            return self
        return replace(before, ip=self.ip) if self.ip else replace(self, host_name=self.host_name or before.host_name)


def machines_in(frame: bytes) -> DiscoveredMachine | None:
    """Who asks for an address, or says that it has one, in an Ethernet frame; None where nobody does. Never raises."""
    if is_synthetic(frame[6:12]):
        return None
    said = parse_arp(frame)
    if said is not None:
        # In a probe it only asks whether an address is free, as in DHCP it does a moment later.
        return DiscoveredMachine(said.mac.hex(":"), ip=socket.inet_ntoa(said.ip)) if said.ip != NOBODY else None
    asked = parse_request(frame)
    if asked is None or (asked.mac != frame[6:12].hex(":") and not asked.relay):
        # Another wizard's probe asks for its nodes like this: they are not there for that.
        return None
    name, kind = clean(asked.host_name, LONGEST_NAME), clean(asked.vendor_class, LONGEST_NAME)
    return DiscoveredMachine(asked.mac, name, kind, asked.wanted_ip)


def listen(nic: str, stop: threading.Event, tell: Callable[[tuple[DiscoveredMachine, ...]], None]) -> None:
    """Tell who speaks behind a NIC until `stop` is set; nothing is sent. The first call, with none, says that it hears.

    Raises NeedsRoot, and WizardError where there is no such NIC, or where it is down and so deaf.
    """
    _check(nic)
    with PacketSocket(any_of(ether_type(ARP), udp_to_port(SERVER_PORT))) as tap:
        try:
            tap.listen(nic)
        except OSError as error:
            raise WizardError(f"{nic} cannot be listened on: {error.strerror}", "Choose another NIC.") from error
        tell(())
        _hear(tap, nic, stop, tell)


def _hear(
    tap: PacketSocket, nic: str, stop: threading.Event, tell: Callable[[tuple[DiscoveredMachine, ...]], None]
) -> None:
    waiting: dict[str, DiscoveredMachine] = {}
    told, looked = 0.0, time.monotonic()
    while not stop.is_set():
        now = time.monotonic()
        if now - looked >= _LINK_EVERY_S:
            looked = now
            _check(nic)
        try:
            came = tap.receive(0.05 if waiting else _LOOK_S)
        except OSError:
            # It went down or away; the next look at the link says which.
            stop.wait(_LOOK_S)
            continue
        heard = machines_in(came[0]) if came is not None and came[1] is None else None
        if heard is not None and (heard.mac in waiting or len(waiting) < MOST_AT_ONCE):
            waiting[heard.mac] = heard.after(waiting.get(heard.mac))
        if waiting and time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            tell(tuple(waiting.values()))
            waiting.clear()


def _check(nic: str) -> None:
    link = read_link(nic)
    if link is None:
        raise WizardError(f"there is no NIC {nic} any more", "Plug it in again, or choose another one.")
    if not link.up:
        raise WizardError(f"{nic} is down, and hears nothing", f"Raise it: sudo ip link set {nic} up")


def main(argv: list[str]) -> int:
    """`NIC`. Ends with the standard input; 1 with the reason as the last line where it cannot listen."""
    stop = threading.Event()

    def await_end() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        stop.set()

    threading.Thread(target=await_end, daemon=True).start()

    def say(line: dict[str, Any]) -> None:
        # Whoever listened to us may be gone.
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(line), flush=True)  # noqa: T201 - its output is what it is for
            return
        stop.set()

    try:
        listen(argv[0], stop, lambda heard: say({"heard": [asdict(each) for each in heard]}))
    except WizardError as error:
        say({"error": error.message, "remedy": error.remedy})
        return 1
    return 0


def machines_from_json(line: str) -> tuple[DiscoveredMachine, ...]:
    """What a line of that program says. Raises the WizardError that it tells, or one where it is no such line."""
    try:
        told = json.loads(line)
        if "error" in told:
            raise WizardError(clean(str(told["error"]), 300), clean(str(told.get("remedy", "")), 300))
        return tuple(DiscoveredMachine(**{key: str(value) for key, value in each.items()}) for each in told["heard"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WizardError(f"listening ended: {clean(line, 200)}", "Try again, or start the wizard as root.") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
