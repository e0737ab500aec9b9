"""The netboot server: by HTTP, what armed nodes fetch after the first stage. A child of the guard, with no privilege.

`plan.netboot.decide` says what a request gets; this only sends it. It reads the table of the armed again whenever that
is replaced, opens the files that the table names, and writes a line of JSON for each request to its standard output,
which the guard has opened for it. `parse_line` reads them.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wizard.plan import raw_machines
from wizard.plan.netboot import (
    ArmedDamaged,
    ArmedNode,
    BootReply,
    Served,
    Stage,
    decide,
    decide_raw,
    load_armed,
    load_raw_paths,
)
from wizard.plan.raw_machines import RawMachine
from wizard.plan.text import clean

if TYPE_CHECKING:
    from aiohttp import web

COMMAND = "netboot-server"
_SHOWN = 120
_REFUSALS_EVERY_S = 1.0
"""Of each address one refusal is logged in this time, with the number of those in between."""
_MOST_REFUSED = 1024
_LONGEST_HEAD = 4096
_PEER_SILENT_S = 30.0
MOST_OF_ONE, MOST_OF_ALL = 8, 400
"""Connections. Of too many the oldest one ends: a node that was reset comes again and leaves its own behind."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A line of the log. `at`: Unix time; `whole`: whether all of it was sent; `count`: more than 1 for refusals."""

    at: float
    source: str
    node: str
    stage: Stage | None
    path: str
    status: int
    size: int = 0
    seconds: float = 0.0
    whole: bool = True
    count: int = 1
    raw: RawMachine | None = None
    """What a machine that no plan has said of itself."""


def parse_line(line: str) -> Fetched | None:
    """None for what is no line of ours, such as one that was cut."""
    try:
        data = json.loads(line)
        stage = Stage(data["stage"]) if data["stage"] else None
        return Fetched(
            float(data["at"]),
            str(data["source"]),
            str(data["node"]),
            stage,
            clean(str(data["path"]), _SHOWN),
            int(data["status"]),
            int(data["size"]),
            float(data["seconds"]),
            data["whole"] is True,
            int(data["count"]),
            raw_machines.from_json(data["raw"]) if data.get("raw") else None,
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


class Table:
    """The armed nodes by address, read again when the file was replaced; {} where it cannot be read."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.stamp: tuple[int, int, int] | None = None
        self.armed: Mapping[str, ArmedNode] = {}
        self.raw: Mapping[str, Served] = {}

    def read(self) -> Mapping[str, ArmedNode]:
        try:
            status = Path(self.path).stat()
            stamp = status.st_ino, status.st_mtime_ns, status.st_size
            if stamp != self.stamp:
                text = Path(self.path).read_text()
                self.armed, self.raw = {node.address: node for node in load_armed(text)}, load_raw_paths(text)
                self.stamp = stamp
        except (OSError, ValueError, ArmedDamaged):
            self.armed, self.raw, self.stamp = {}, {}, None
        return self.armed


class Log:
    """Writes the lines; of refusals only as many as a person reads."""

    def __init__(self, write: Callable[[str], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self.write, self.clock = write, clock
        self.refused: dict[str, tuple[float, int]] = {}

    def add(self, source: str, target: str, reply: BootReply, size: int, seconds: float, whole: bool) -> bool:
        """False where the line was to be written, and was not."""
        count = 1
        if reply.status < 400 and reply.raw and not reply.machine:
            # On its way to its page.
            return True
        if reply.status >= 400 or reply.machine:
            since, left_out = self.refused.pop(source, (-_REFUSALS_EVERY_S, 0))
            now = self.clock()
            if now - since < _REFUSALS_EVERY_S:
                self.refused[source] = since, left_out + 1
                return True
            count += left_out
            self.refused[source] = now, 0
            if len(self.refused) > _MOST_REFUSED:
                self.refused.pop(next(iter(self.refused)))
        line: dict[str, Any] = {
            "at": round(time.time(), 3),
            "source": source,
            "node": reply.node,
            "stage": reply.stage.value if reply.stage else "",
            "path": clean(target, _SHOWN),
            "status": reply.status,
            "size": size,
            "seconds": round(seconds, 3),
            "whole": whole,
            "count": count,
        }
        if reply.machine:
            line["path"] = raw_machines.PATH
            line["raw"] = asdict(replace(reply.machine, at=line["at"], address=source))
        return self.write(json.dumps(line) + "\n")


def handler(table: Table, log: Log) -> Callable[[web.BaseRequest], Any]:
    """The coroutine that answers a request of aiohttp's."""
    from aiohttp import web

    class SentOnce(web.FileResponse):
        """A file that is sent once: aiohttp prepares what a handler returns, even where the handler did it."""

        async def prepare(self, request: web.BaseRequest) -> Any:
            return None if self.prepared else await super().prepare(request)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        source, target = request.remote or "", request.raw_path
        armed = table.read()
        if request.version < (1, 0):
            # No firmware asks like that, and the head of an answer is not for it.
            reply = BootReply(400)
        elif table.raw and source not in armed:
            # The packet filter lets nobody else come here.
            reply = decide_raw(table.raw, request.method, target)
        else:
            reply = decide(armed, request.method, target, source)
        served = reply.served
        started = time.monotonic()
        noted = reply.stage is Stage.REPORTED
        if noted and not log.add(source, target, reply, 0, 0.0, True):
            # An installer that is told "thank you" is done: it must not be, unless the guard will know of it.
            reply, served, noted = BootReply(503, node=reply.node), None, False
        response: web.StreamResponse
        if served is None:
            response = web.Response(status=reply.status)
            response.force_close()
        elif served.file:
            response = SentOnce(served.file, headers={"Content-Type": "application/octet-stream"})
            # aiohttp would look for FILE.gz and FILE.br beside it, which nobody listed.
            headers = request.headers.copy()
            headers.popall("Accept-Encoding", None)
            request = request.clone(headers=headers)
        else:
            response = web.Response(text=served.text)
        whole = False
        try:
            await response.prepare(request)
            await response.write_eof()
            whole = True
        except OSError:
            # The other end has gone: switched off, or its firmware has given up.
            return response
        finally:
            if reply.status == 200 and response.status not in (200, 206):
                reply = BootReply(response.status, None, reply.node)
            size = (response.content_length or 0) if response.prepared and request.method != "HEAD" else 0
            if not noted:
                log.add(source, target, reply, size, time.monotonic() - started, whole)
        return response

    return answer


def bounded_server(*args: Any, **more: Any) -> web.Server:
    """A server that no peer can fill, by many connections or by reading nothing."""
    from aiohttp import web

    class Bounded(web.Server):
        def __init__(self) -> None:
            super().__init__(*args, **more)
            self.open: dict[str, dict[web.RequestHandler, asyncio.Transport]] = {}
            self.peers: dict[web.RequestHandler, str] = {}

        def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
            super().connection_made(handler, transport)
            wire = transport.get_extra_info("socket")
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * _PEER_SILENT_S))
            peer = str((transport.get_extra_info("peername") or ("",))[0])
            self.peers[handler] = peer
            self.open.setdefault(peer, {})[handler] = transport
            if len(self.open[peer]) > MOST_OF_ONE:
                self.end_oldest(peer)
            if len(self.peers) > MOST_OF_ALL:
                self.end_oldest(max(self.open, key=lambda each: len(self.open[each])))

        def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
            super().connection_lost(handler, exc)
            self.forget(handler)

        def end_oldest(self, peer: str) -> None:
            handler, transport = next(iter(self.open[peer].items()))
            transport.abort()
            self.forget(handler)

        def forget(self, handler: web.RequestHandler) -> None:
            peer = self.peers.pop(handler, None)
            if peer is not None:
                self.open[peer].pop(handler, None)
                if not self.open[peer]:
                    del self.open[peer]

    return Bounded()


async def serve(
    address: str, port: int, table: Table, log: Log, ready: Callable[[int], object] = lambda _: None
) -> None:
    """Serve until cancelled; `ready` is told the port. Raises OSError where the address is not to be had."""
    from aiohttp import web

    server = bounded_server(
        handler(table, log),
        access_log=None,
        max_line_size=_LONGEST_HEAD,
        max_headers=64,
        max_field_size=_LONGEST_HEAD,
        keepalive_timeout=_PEER_SILENT_S,
        lingering_time=1.0,
    )
    # Whoever ends it wants transfers under way to end.
    runner = web.ServerRunner(server, shutdown_timeout=0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, port, backlog=128)
        await site.start()
        ready(runner.addresses[0][1])
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main(address: str, port: str, path: str) -> int:
    """Serve until SIGTERM. Why it cannot is said on stderr."""
    from wizard.plan.findings import WizardError

    def write(line: str) -> bool:
        # In one call, so that lines stay whole. A full disk stops nobody's boot.
        data = line.encode()
        try:
            # The guard locks it while it cuts it off.
            fcntl.flock(1, fcntl.LOCK_EX)
            try:
                return os.write(1, data) == len(data)
            finally:
                fcntl.flock(1, fcntl.LOCK_UN)
        except OSError:
            return False

    def ready(_port: int) -> None:
        # Nobody reads it while this runs: a pipe that is full would stop the server.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    async def run() -> None:
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await serve(address, int(port), Table(path), Log(write), ready)

    # aiohttp and asyncio would tell of every peer that went away.
    logging.disable()
    try:
        import aiohttp  # noqa: F401
    except ImportError:
        sys.stderr.write("aiohttp is not installed: pip install 'ciao-wizard[boot]'\n")
        return 1
    try:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(run())
    except (OSError, WizardError) as error:
        sys.stderr.write(f"{address}, TCP port {port}: {error}\n")
        return 1
    return 0


def read_log(text: str) -> Iterator[Fetched]:
    """The lines of a log, but those that cannot be read."""
    for line in text.splitlines():
        found = parse_line(line)
        if found is not None:
            yield found
