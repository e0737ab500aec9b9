"""Serves the pages of a machine: its name and port, its address, and the client's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

PATIENCE = 5.0


async def serve(name: str, ports: Sequence[int]) -> list[asyncio.Server]:
    """Serve the page of the machine `name` on each TCP port, on every address that it has or will get."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            writer.write(_page(name, writer))
            await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError, TimeoutError):
            # A port scan, or somebody who lost patience.
            writer.transport.abort()
        finally:
            writer.close()

    return [await asyncio.start_server(answer, None, port) for port in ports]


def _page(name: str, writer: asyncio.StreamWriter) -> bytes:
    host, port = writer.get_extra_info("sockname")[:2]
    peer = writer.get_extra_info("peername")[0]
    body = f"{name} {port}\nserved by {host}\nasked by {peer}\n"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return (head + body).encode()
