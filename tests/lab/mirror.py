"""Debian's mirror on the laboratory's internet: what asks there is passed on to this machine's own way to it.

Run as a program it is the end inside: it passes the connections to a TCP port on to a socket in the file system.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

from wizard.lab.control import Laboratory

MIRROR = "deb.debian.org"
NAMES = (MIRROR, "security.debian.org")
ADDRESS, PORT = "198.51.100.11", 3142
_CHUNK = 1 << 16

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_LIST = f"http://{MIRROR}/debian/dists/bookworm/main/debian-installer/binary-amd64/Packages.gz"


def lacks_installer() -> str:
    """Why Debian's installer cannot be had of the mirror, as this machine reaches it; "" where it can. Some proxies
    and caches pass packages on, and none of the installer's components."""
    try:
        with urlopen(_LIST, timeout=30) as answer:
            listed = gzip.decompress(answer.read()).decode()
        name = re.findall(r"^Filename: (.+)$", listed, re.MULTILINE)[0]
        urlopen(Request(f"http://{MIRROR}/debian/{name}", method="HEAD"), timeout=30).close()
    except (OSError, IndexError) as error:
        return f"{MIRROR} has none of the installer's components from here: {error}"
    return ""


@contextlib.contextmanager
def debian_mirror(lab: Laboratory, place: Path) -> Iterator[None]:
    """Machines of the laboratory reach Debian's mirror by HTTP. `place`: a directory for the socket."""
    path = place / "mirror"
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        asyncio.start_unix_server(_passing(lambda: asyncio.open_connection(MIRROR, 80)), str(path))
    )
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        names = "".join(f"host-record={name},{ADDRESS}\\n" for name in NAMES)
        redirect = (
            "add table ip mirror; add chain ip mirror prerouting { type nat hook prerouting priority dstnat; };"
            f" add rule ip mirror prerouting ip daddr {ADDRESS} tcp dport 80 redirect to :{PORT}"
        )
        config, pid = "/run/ciao-lab/corporate-dnsmasq.conf", "/run/ciao-lab/corporate-dnsmasq.pid"
        script = f"""
            ip address add {ADDRESS}/32 dev lo
            nft '{redirect}'
            printf '{names}' >>{config}
            old=$(cat {pid})
            kill $old
            while kill -0 $old 2>/dev/null; do sleep 0.1; done
            dnsmasq -C {config}
        """
        lab.run(["sh", "-ec", script], netns="corporate")
        with lab.popen([sys.executable, str(Path(__file__)), str(PORT), str(path)], netns="corporate") as inside:
            try:
                yield
            finally:
                inside.kill()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def _passing(connect: Callable[[], Awaitable[Connection]]) -> Callable[..., Awaitable[None]]:
    """What passes a connection on, both ways."""

    async def one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    async def both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await connect()
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(one_way(reader, back), one_way(there, writer))
        finally:
            back.close()
            writer.close()

    return both


async def _inside(port: int, path: str) -> None:
    server = await asyncio.start_server(_passing(lambda: asyncio.open_unix_connection(path)), None, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_inside(int(sys.argv[1]), sys.argv[2]))
