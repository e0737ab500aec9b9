"""Runs on one machine of the laboratory, in its namespace: a DHCP client that never gives up, and pages.

SIGHUP is a reboot: the client restarts without its old address. SIGUSR1 renews the lease before its time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import Sequence

from wizard.lab import marker, web
from wizard.lab.world import STATE

SCRIPT = STATE / "udhcpc.script"


def client(args: argparse.Namespace) -> list[str]:
    """A client that stays in front and asks every second for ever.

    It must be one endless try (-t 0): a new try has a new transaction, and dnsmasq, which looks for three seconds
    whether an address is in use, would only ever answer the old one.
    """
    argv = ["udhcpc", "-f", "-i", "eth0", "-t", "0", "-T", "1", "-A", "1", "-s", str(SCRIPT)]
    if args.hostname:
        argv += ["-x", f"hostname:{args.hostname}"]
    if args.client_id:
        argv += ["-x", f"0x3d:{args.client_id}"]
    if args.vendor:
        argv += ["-V", args.vendor]
    return argv


async def live(args: argparse.Namespace) -> None:
    servers = await web.serve(args.name, args.ports)
    running: asyncio.subprocess.Process | None = None

    def reboot() -> None:
        if running is not None and running.returncode is None:
            running.kill()

    def renew() -> None:
        if running is not None and running.returncode is None:
            running.send_signal(signal.SIGUSR1)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reboot)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, renew)
    file = marker.MACHINES / f"{args.name}.pid"
    # Renamed into place: a reader never sees it without the number.
    written = file.with_suffix(".new")
    written.write_text(str(os.getpid()))
    written.rename(file)
    while args.dhcp:
        running = await asyncio.create_subprocess_exec(*client(args), env={**os.environ, "MACHINE": args.name})
        await running.wait()
        await asyncio.sleep(0.1)
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="node")
    parser.add_argument("name")
    parser.add_argument("ports", nargs="*", type=int)
    parser.add_argument("--dhcp", action="store_true")
    parser.add_argument("--hostname", default="")
    parser.add_argument("--client-id", default="")
    parser.add_argument("--vendor", default="")
    asyncio.run(live(parser.parse_args(argv)))


if __name__ == "__main__":
    main()
