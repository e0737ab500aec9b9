"""`machine` inside the laboratory (python -m wizard.lab.machine): its machines, cables and switches."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence

from wizard.lab import machines, marker
from wizard.lab.tools import ip
from wizard.lab.world import SWITCHES, Machine
from wizard.plan.findings import WizardError


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="machine", description="Machines, cables and switches of the laboratory that this runs in."
    )
    verbs = top.add_subparsers(dest="verb", required=True)
    new = verbs.add_parser("add", help="a new machine, plugged in and booting")
    new.add_argument("name")
    new.add_argument("--mac", required=True)
    new.add_argument("--switch", default="cluster", choices=SWITCHES)
    new.add_argument("--hostname", help="sent with DHCP; default: the name, '' for none")
    new.add_argument("--client-id", default="", type=_hexadecimal, help="sent with DHCP, hexadecimal digits")
    new.add_argument("--vendor", default="", help="vendor class sent with DHCP")
    new.add_argument("--address", action="append", default=[], help="a static address/prefix; no DHCP then")
    new.add_argument("--no-dhcp", action="store_true")
    new.add_argument("--port", action="append", type=int, default=[], help="serves a page there; default 80")
    for verb, text in {
        "remove": "take a machine away",
        "reboot": "the machine forgets its address and asks anew",
        "renew": "the machine renews its lease now",
        "unplug": "pull a cable (of a machine, or eth0, eth1 of the laptop)",
        "plug": "put it back",
    }.items():
        verbs.add_parser(verb, help=text).add_argument("name")
    moved = verbs.add_parser("move", help="put a cable into another switch")
    moved.add_argument("name")
    moved.add_argument("switch", choices=SWITCHES)
    verbs.add_parser("join", help="a cable between the two switches")
    verbs.add_parser("part", help="take that cable away")
    verbs.add_parser("list", help="the machines and their addresses").add_argument("--json", action="store_true")
    return top


def _hexadecimal(text: str) -> str:
    digits = text.replace(":", "")
    if not re.fullmatch(r"([0-9a-fA-F]{2})*", digits):
        raise argparse.ArgumentTypeError(f"{text!r} is not pairs of hexadecimal digits")
    return digits


def show(as_json: bool) -> str:
    world = marker.world()
    rows = []
    for name, machine in world["machines"].items():
        nic = json.loads(ip("-j", "-4", "address", "show", "dev", "eth0", netns=name))
        addresses = [entry["local"] for entry in nic[0].get("addr_info", [])] if nic else []
        switch = machines.find_cable(name)[1]
        where = next(label for label, known in SWITCHES.items() if known == switch)
        rows.append({**machine, "switch": where, "leased": addresses})
    if as_json:
        return json.dumps(rows, indent=1)
    return "\n".join(f"{r['name']:15}{r['mac']:20}{r['switch']:11}{' '.join(r['leased']) or '-'}" for r in rows)


def carry_out(args: argparse.Namespace) -> None:
    match args.verb:
        case "add":
            machines.add(
                Machine(
                    name=args.name,
                    mac=args.mac.lower().replace("-", ":"),
                    switch=args.switch,
                    hostname=args.name if args.hostname is None else args.hostname,
                    client_id=args.client_id,
                    vendor=args.vendor,
                    dhcp=not (args.no_dhcp or args.address),
                    addresses=tuple(args.address),
                    ports=tuple(args.port) or (80,),
                )
            )
        case "move":
            machines.move(args.name, args.switch)
        case "join":
            machines.join()
        case "part":
            machines.part()
        case "list":
            sys.stdout.write(show(args.json) + "\n")
        case "remove" | "reboot" | "renew" | "unplug" | "plug" as verb:
            getattr(machines, verb)(args.name)


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        marker.world()
        carry_out(args)
    except WizardError as error:
        sys.stderr.write(f"machine: {error.message}\n{error.remedy}\n")
        return error.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
