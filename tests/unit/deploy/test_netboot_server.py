"""The netboot server, asked over HTTP on this machine."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest
from netaddr import IPAddress

from wizard.deploy.netboot_server import COMMAND, Fetched, Log, Table, parse_line, read_log, serve
from wizard.plan.netboot import ArmedNode, BootReply, Served, Stage, Times, dump_armed, raw_paths
from wizard.plan.raw_machines import RawMachine

SINCE = "2026-12-01T00:00:00+00:00"
BIG = bytes(range(256)) * 8192


def node(files: Path, address: str = "127.0.0.1", **paths: Served) -> ArmedNode:
    table = {
        "/images/d/linux": Served(Stage.KERNEL, file=str(files / "linux")),
        "/images/d/gone": Served(Stage.KERNEL, file=str(files / "gone")),
        "/seed/a/preseed.cfg": Served(Stage.SEED, text="seed of a\n"),
        "/report/a": Served(Stage.REPORTED, text="thank you\n"),
    }
    return ArmedNode("n1", address, ("02:00:00:00:00:01",), "d", Times.ONCE, SINCE, table, True)


class Server:
    """A running server: its port, its table's file and its log."""

    def __init__(self, directory: Path) -> None:
        self.served, self.lines, self.port = directory / "served.json", list[str](), 0
        self.full = False
        """Whether its log takes nothing more."""

    def write(self, line: str) -> bool:
        if not self.full:
            self.lines.append(line)
        return not self.full

    def arm(self, *nodes: ArmedNode) -> None:
        new = self.served.with_suffix(".new")
        new.write_text(dump_armed(nodes))
        new.replace(self.served)

    def ask(self, request: bytes) -> tuple[int, bytes, bytes]:
        """The status, head and body of the answer to a request, as raw as it is given; 0 for no answer."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as wire:
            wire.sendall(request)
            got = b""
            while more := wire.recv(65536):
                got += more
        head, _, body = got.partition(b"\r\n\r\n")
        return int(head.split()[1]) if head else 0, head, body

    def get(self, target: str, method: str = "GET", more: str = "") -> tuple[int, bytes, bytes]:
        return self.ask(f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n".encode())

    @property
    def log(self) -> list[Fetched]:
        return list(read_log("".join(self.lines)))


@contextmanager
def running(directory: Path) -> Iterator[Server]:
    server, ready = Server(directory), Event()
    loop = asyncio.new_event_loop()

    def told(port: int) -> None:
        server.port = port
        ready.set()

    async def run() -> None:
        await serve("127.0.0.1", 0, Table(str(server.served)), Log(server.write), told)

    task = loop.create_task(run())

    def main() -> None:
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
        finally:
            loop.close()

    thread = Thread(target=main)
    thread.start()
    try:
        assert ready.wait(20)
        yield server
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "linux").write_bytes(BIG)
    # What a server that looks for smaller forms of a file would send in its place.
    (tmp_path / "linux.gz").write_bytes(b"not this one")
    with running(tmp_path) as made:
        made.arm(node(tmp_path))
        yield made


def test_files_and_texts_are_sent_and_logged(server: Server) -> None:
    assert server.get("/images/d/linux", more="Accept-Encoding: gzip, br\r\n")[::2] == (200, BIG)
    assert server.get("/seed/a/preseed.cfg")[::2] == (200, b"seed of a\n")
    assert server.get("/report/a", "POST", "Content-Length: 2\r\n")[0] == 200
    seen = [(each.node, each.stage, each.status, each.whole) for each in server.log]
    assert seen == [("n1", stage, 200, True) for stage in (Stage.KERNEL, Stage.SEED, Stage.REPORTED)]
    assert server.log[0].size == len(BIG)


def test_a_report_that_cannot_be_noted_is_not_thanked_for(server: Server) -> None:
    server.full = True
    assert server.get("/report/a")[::2] == (503, b"")
    assert server.get("/images/d/linux")[::2] == (200, BIG)
    server.full = False
    assert server.get("/report/a")[0] == 200
    assert [each.stage for each in server.log] == [Stage.REPORTED]


def test_machines_that_go_away_do_not_stop_it(tmp_path: Path) -> None:
    """A process whose stderr nobody reads: each transfer that ended early left a traceback there, until it was full."""
    (tmp_path / "linux").write_bytes(BIG * 16)
    served, port = tmp_path / "served.json", _free_port()
    served.write_text(dump_armed([node(tmp_path)]))
    argv = [sys.executable, "-m", "wizard", COMMAND, "127.0.0.1", str(port), str(served)]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(argv, stdout=log, stderr=subprocess.PIPE) as process:
        try:
            for number in range(400):
                with _connected(port) as wire:
                    wire.sendall(b"GET /images/d/linux HTTP/1.1\r\nHost: x\r\n\r\n" if number % 2 else b": bad\r\n\r\n")
                    wire.recv(10)
                    # Closed at once, with what has arrived unread: a reset.
                    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server = Server(tmp_path)
            server.port = port
            assert server.get("/seed/a/preseed.cfg")[::2] == (200, b"seed of a\n")
            process.terminate()
            assert process.wait(10) == 0
            assert process.stderr is not None
            assert process.stderr.read() == b""
        finally:
            process.kill()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _connected(port: int) -> socket.socket:
    end = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 10)
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_part_of_a_file(server: Server) -> None:
    status, _, body = server.get("/images/d/linux", more="Range: bytes=256-511\r\n")
    assert (status, body) == (206, BIG[:256])
    status, head, body = server.get("/images/d/linux", "HEAD")
    assert (status, body) == (200, b"")
    assert f"Content-Length: {len(BIG)}".encode() in head
    assert [each.stage for each in server.log] == [Stage.KERNEL, None]


@pytest.mark.parametrize("target", ["/", "/images/d/linux.gz", "/images/d/../d/linux", "/../../etc/shadow", "/%2e%2e/"])
def test_what_is_not_his_is_refused_in_short(server: Server, target: str) -> None:
    status, _, body = server.get(target)
    assert status == 404
    assert len(body) < 40


def test_whoever_is_not_armed_is_refused(server: Server, tmp_path: Path) -> None:
    server.arm(node(tmp_path, "127.0.0.9"))
    for target in ("/images/d/linux", "/report/a", "/nothing"):
        assert server.get(target)[0] == 403
    server.served.write_text("{damaged")
    assert server.get("/images/d/linux")[0] == 403
    server.served.unlink()
    assert server.get("/images/d/linux")[0] == 403
    assert {each.node for each in server.log} == {""}


def test_a_file_that_is_gone_is_no_stage(server: Server) -> None:
    assert server.get("/images/d/gone")[0] == 404
    assert [(each.stage, each.status) for each in server.log] == [(None, 404)]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % number for number in range(5000)) + b"\r\n",
        b"\0\xff\xfe nonsense\r\n\r\n",
        b"GET /images/d/linux HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_huge_and_broken_requests_harm_nobody(server: Server, request_bytes: bytes) -> None:
    try:
        status, _, body = server.ask(request_bytes)
    except ConnectionError:
        status, body = 0, b""
    assert status in (0, 400, 403, 404)
    assert BIG[:64] not in body
    assert server.get("/seed/a/preseed.cfg")[0] == 200


@contextmanager
def connections(server: Server, count: int, source: str, said: bytes) -> Iterator[list[socket.socket]]:
    """As many from an address, each having said so much."""
    wires: list[socket.socket] = []
    try:
        for _ in range(count):
            wire = socket.create_connection(("127.0.0.1", server.port), 10, (source, 0))
            wires.append(wire)
            with suppress(OSError):
                wire.sendall(said)
        yield wires
    finally:
        for wire in wires:
            wire.close()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /images/d/linux HTTP/1.1\r\nX-A: b",
        b"GET /images/d/linux HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /report/a HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"HEAD /images/d/linux HTTP/1.1\r\nHost: x\r\n\r\n" * 2000,
    ],
    ids=["nothing", "half a head", "and reads nothing", "no body", "a pipeline"],
)
def test_who_holds_many_connections_keeps_nobody_out(server: Server, tmp_path: Path, said: bytes) -> None:
    server.arm(node(tmp_path), replace(node(tmp_path, "127.0.0.2"), name="n2"))
    with connections(server, 600, "127.0.0.2", said) as wires:
        for _ in range(3):
            assert server.get("/seed/a/preseed.cfg")[0] == 200
        # Ours, and as many of the server's as one may hold.
        assert len(list(Path("/proc/self/fd").iterdir())) < len(wires) + 100


@pytest.mark.parametrize(
    "asked",
    [
        b"GET /seed/a/preseed.cfg\r\n\r\n",
        b"GET /seed/a/preseed.cfg HTTP/0.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://127.0.0.1/seed/a/preseed.cfg HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"DELETE /seed/a/preseed.cfg HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"\r\n" * 50 + b"TRACE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /seed/a/../a/preseed.cfg HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /seed/a/preseed.cfg%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /%73eed/a/preseed.cfg HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /images/d/linux HTTP/1.1\r\nHost: x\r\nRange: bytes=9-2\r\nConnection: close\r\n\r\n",
        b"GET /" + b"x/" * 1800 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
def test_strange_requests_get_nothing(server: Server, asked: bytes) -> None:
    try:
        status, _, body = server.ask(asked)
    except ConnectionError:
        status, body = 0, b""
    assert status in (0, 400, 403, 404, 405, 416)
    assert b"seed of a" not in body
    assert BIG[:64] not in body
    assert server.get("/seed/a/preseed.cfg")[0] == 200


def test_who_is_in_no_plan_gets_a_page_while_somebody_looks(server: Server, tmp_path: Path) -> None:
    mine = node(tmp_path, "127.0.0.9")
    page = "/raw/02-00-00-00-00-07?serial=S1&product=%1b%5b2J"
    server.served.write_text(dump_armed([mine], raw_paths(IPAddress("192.168.0.200"))))
    assert server.get("/raw")[0] == 200
    for _ in range(3):
        status, _, body = server.get(page)
        assert (status, b"echo serial S1\n" in body) == (200, True)
    for target in (*mine.paths, "/", "/raw/", "/first/x"):
        assert server.get(target)[0] == 403
    server.arm(mine)
    assert server.get(page)[0] == 403
    (line,) = [each for each in server.log if each.status == 200]
    assert line.raw == RawMachine("02:00:00:00:00:07", "S1", "??2J", at=line.at, address="127.0.0.1")
    assert (line.path, line.stage, line.node) == ("/raw", None, "")


def test_who_is_armed_is_not_shown_the_page(server: Server, tmp_path: Path) -> None:
    server.served.write_text(dump_armed([node(tmp_path)], raw_paths(IPAddress("192.168.0.200"))))
    assert server.get("/raw")[0] == 404
    assert server.get("/images/d/linux")[0] == 200


def test_of_many_refusals_few_are_logged() -> None:
    lines: list[str] = []
    now = [100.0]

    def write(line: str) -> bool:
        lines.append(line)
        return True

    log = Log(write, lambda: now[0])
    for _ in range(10_000):
        log.add("192.168.0.7", "/x\x1b[2J" + "y" * 9999, BootReply(404), 0, 0, True)
    now[0] += 1
    log.add("192.168.0.7", "/x", BootReply(404), 0, 0, True)
    first, last = map(parse_line, lines)
    assert first is not None
    assert last is not None
    assert (first.count, last.count) == (1, 10_000)
    assert "\x1b" not in first.path
    assert len(lines[0]) < 500


def test_lines_that_are_none() -> None:
    good = json.dumps(
        {"at": 1, "source": "a", "node": "n", "stage": "seed", "path": "/", "status": 200, "size": 1, "seconds": 0}
    )
    for line in ("", "{", "[]", "null", good, good[:20]):
        assert parse_line(line) is None
