"""Discovers machines on a network: those that ask for an address (DHCP), and those that have one (ARP). Sends nothing.
What the gateway here was told by machines that booted over the network is told with them.

Run as a program it prints them to its standard output, one JSON object a line, until its standard input ends: the part
that needs root, for a wizard that runs without.
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
from wizard.host.files import read_text
from wizard.host.net.bpf import any_of, ether_type, udp_to_port
from wizard.host.net.frames import ARP, NOBODY, parse_arp
from wizard.host.net.link import read_link
from wizard.host.net.packet_socket import PacketSocket
from wizard.host.path.injection import is_synthetic
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.raw_machines import RawMachine, load
from wizard.plan.text import clean

LONGEST_NAME = 64
REPORT_EVERY_S = 0.25
"""Machines found within this time are reported together: a network may be flooded."""
MOST_AT_ONCE = 200
_POLL_S = 0.2
_CHECK_LINK_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class DiscoveredMachine:
    """A machine that sent something. `mac` is lower case with colons; texts are safe to show, "" if it sent none.

    `ip` is the address that it claims to have, "" while it asks for one. `serial` and `product`: of its mainboard's
    SMBIOS, where it booted over the network and our gateway asked it.
    """

    mac: str
    host_name: str = ""
    vendor_class: str = ""
    wanted_ip: str = ""
    ip: str = ""
    serial: str = ""
    product: str = ""

    def after(self, before: DiscoveredMachine | None) -> DiscoveredMachine:
        """This machine with the name it sent `before`: a boot loader sends none, nor does ARP."""
        if before is None:
            return self
        serial, product = self.serial or before.serial, self.product or before.product
        if self.ip or self.serial or self.product:
            return replace(before, ip=self.ip or before.ip, serial=serial, product=product)
        return replace(self, host_name=self.host_name or before.host_name, serial=serial, product=product)


def parse_machine(frame: bytes) -> DiscoveredMachine | None:
    """The machine that asks for an address, or claims one, in an Ethernet frame; None if none does. Never raises."""
    if is_synthetic(frame[6:12]):
        return None
    arp = parse_arp(frame)
    if arp is not None:
        # An ARP probe only asks whether an address is free; its DHCP request shows the machine a moment later.
        return DiscoveredMachine(arp.mac.hex(":"), ip=socket.inet_ntoa(arp.ip)) if arp.ip != NOBODY else None
    asked = parse_request(frame)
    if asked is None or (asked.mac != frame[6:12].hex(":") and not asked.relay):
        # Another wizard's probe asks in the name of its nodes like this: that does not mean that they are there.
        return None
    name, kind = clean(asked.host_name, LONGEST_NAME), clean(asked.vendor_class, LONGEST_NAME)
    return DiscoveredMachine(asked.mac, name, kind, asked.wanted_ip)


def listen(nic: str, stop: threading.Event, report: Callable[[tuple[DiscoveredMachine, ...]], None]) -> None:
    """Report the machines behind a NIC until `stop` is set; sends nothing. The first report is empty: it listens now.

    Raises NeedsRoot, and WizardError if the NIC does not exist or is down.
    """
    _check_link(nic)
    with PacketSocket(any_of(ether_type(ARP), udp_to_port(SERVER_PORT))) as tap:
        try:
            tap.listen(nic)
        except OSError as error:
            raise WizardError(f"{nic} cannot be listened on: {error.strerror}", "Choose another NIC.") from error
        report(())
        _receive_all(tap, nic, stop, report)


def _receive_all(
    tap: PacketSocket, nic: str, stop: threading.Event, report: Callable[[tuple[DiscoveredMachine, ...]], None]
) -> None:
    waiting: dict[str, DiscoveredMachine] = {}
    shown: tuple[RawMachine, ...] = ()
    reported_at, checked_at = 0.0, time.monotonic()
    while not stop.is_set():
        now = time.monotonic()
        if now - checked_at >= _CHECK_LINK_EVERY_S:
            checked_at = now
            _check_link(nic)
            before, shown = shown, load(read_text(paths.RAW_MACHINES) or "")
            for raw in shown:
                if raw not in before:
                    # Its address is a lease of two minutes, and none to take into a plan.
                    told = DiscoveredMachine(raw.mac, serial=raw.serial, product=raw.product)
                    waiting[raw.mac] = told.after(waiting.get(raw.mac))
        try:
            received = tap.receive(0.05 if waiting else _POLL_S)
        except OSError:
            # The NIC went down or away; the next check of the link finds out which.
            stop.wait(_POLL_S)
            continue
        machine = parse_machine(received[0]) if received is not None and received[1] is None else None
        if machine is not None and (machine.mac in waiting or len(waiting) < MOST_AT_ONCE):
            waiting[machine.mac] = machine.after(waiting.get(machine.mac))
        if waiting and time.monotonic() - reported_at >= REPORT_EVERY_S:
            reported_at = time.monotonic()
            report(tuple(waiting.values()))
            waiting.clear()


def _check_link(nic: str) -> None:
    link = read_link(nic)
    if link is None:
        raise WizardError(f"there is no NIC {nic} any more", "Plug it in again, or choose another one.")
    if not link.up:
        raise WizardError(f"{nic} is down, and hears nothing", f"Bring it up: sudo ip link set {nic} up")


def main(argv: list[str]) -> int:
    """argv: NIC. Ends with its standard input; returns 1, the reason as its last line, if it cannot listen."""
    stop = threading.Event()

    def await_end() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        stop.set()

    threading.Thread(target=await_end, daemon=True).start()

    def send(line: dict[str, Any]) -> None:
        # Our reader may be gone.
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(line), flush=True)  # noqa: T201 - its output is what it is for
            return
        stop.set()

    try:
        listen(argv[0], stop, lambda machines: send({"heard": [asdict(each) for each in machines]}))
    except WizardError as error:
        send({"error": error.message, "remedy": error.remedy})
        return 1
    return 0


def machines_from_json(line: str) -> tuple[DiscoveredMachine, ...]:
    """The machines in a line of that program's output. Raises the WizardError in it, or one if it is no such line."""
    try:
        message = json.loads(line)
        if "error" in message:
            raise WizardError(clean(str(message["error"]), 300), clean(str(message.get("remedy", "")), 300))
        return tuple(DiscoveredMachine(**{key: str(value) for key, value in each.items()}) for each in message["heard"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WizardError(f"listening ended: {clean(line, 200)}", "Try again, or start the wizard as root.") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
