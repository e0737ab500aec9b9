"""Servers of one file for any machine of the laboratory, and who takes it. Standard library only.

transfers.py ftp PORT           by FTP, until killed; says "ready" when it is
transfers.py tftp PORT          by TFTP, the same
transfers.py give PORT [TIMES]  to whoever connects, the file so many times over, the same
transfers.py take ADDRESS PORT  what it gives: how many bytes came, and in how many seconds

The FTP server takes any user. It tells clients its own address, as servers behind NAT do that know nothing of it.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import sys
import threading
import time

CONTENT = bytes(range(256)) * 1200
BLOCK = 512
PATIENCE_S = 10.0


class Session:
    """One client of the FTP server."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.waiting: socket.socket | None = None
        self.target: tuple[str, int] | None = None

    def say(self, text: str) -> None:
        self.control.sendall(f"{text}\r\n".encode())

    def run(self) -> None:
        self.control.settimeout(PATIENCE_S)
        self.say("220 here")
        with self.control.makefile("r") as lines:
            for line in lines:
                verb, _, rest = line.strip().partition(" ")
                answer = self.answer(verb.upper(), rest)
                self.say(answer)
                if answer.startswith("221"):
                    return

    def answer(self, verb: str, rest: str) -> str:
        if verb in ("PASV", "EPSV"):
            return self.passive(verb)
        if verb == "PORT":
            numbers = rest.split(",")
            self.target = ".".join(numbers[:4]), int(numbers[4]) * 256 + int(numbers[5])
            return "200 there"
        if verb == "EPRT":
            _, address, port = re.findall(r"[^|]+", rest)
            self.target = address, int(port)
            return "200 there"
        if verb == "RETR":
            return self.send()
        known = {"USER": "331 who?", "PASS": "230 welcome", "TYPE": "200 so be it", "PWD": '257 "/"', "QUIT": "221 bye"}
        return known.get(verb, "502 not here")

    def passive(self, verb: str) -> str:
        own = self.control.getsockname()[0]
        self.waiting = socket.create_server((own, 0))
        self.waiting.settimeout(PATIENCE_S)
        port = self.waiting.getsockname()[1]
        if verb == "EPSV":
            return f"229 here (|||{port}|)"
        return f"227 here ({own.replace('.', ',')},{port // 256},{port % 256})"

    def send(self) -> str:
        self.say("150 coming")
        try:
            if self.waiting is not None:
                data, _ = self.waiting.accept()
            else:
                data = socket.create_connection(self.target or ("", 0), timeout=PATIENCE_S)
            with data:
                data.sendall(CONTENT)
        except OSError as error:
            return f"425 {error}"
        return "226 done"


def say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def ftp(port: int) -> None:
    with socket.create_server(("0.0.0.0", port)) as server:  # noqa: S104
        say_ready()
        while True:
            control, _ = server.accept()
            threading.Thread(target=Session(control).run, daemon=True).start()


def tftp(port: int) -> None:
    """Each file from a port of its own, as RFC 1350 says."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", port))  # noqa: S104
        say_ready()
        while True:
            _, client = server.recvfrom(2048)
            threading.Thread(target=send_blocks, args=(client,), daemon=True).start()


def send_blocks(client: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.settimeout(PATIENCE_S)
        here.connect(client)
        for number, at in enumerate(range(0, len(CONTENT) + 1, BLOCK), 1):
            here.send(struct.pack("!HH", 3, number) + CONTENT[at : at + BLOCK])
            while struct.unpack("!HH", here.recv(2048)[:4]) != (4, number):
                pass


def give(port: int, times: int = 1) -> None:
    with socket.create_server(("0.0.0.0", port)) as server:  # noqa: S104
        say_ready()
        while True:
            client, _ = server.accept()
            with client, contextlib.suppress(OSError):
                client.settimeout(PATIENCE_S)
                for _ in range(times):
                    client.sendall(CONTENT)


def take(address: str, port: int) -> None:
    size, begin = 0, time.perf_counter()
    with (
        contextlib.suppress(TimeoutError),
        socket.create_connection((address, port), timeout=PATIENCE_S / 2) as there,
    ):
        while got := len(there.recv(1 << 20)):
            size += got
    sys.stdout.write(f"{size} {time.perf_counter() - begin:.4f}\n")


if __name__ == "__main__":
    kind, *words = sys.argv[1:]
    if kind == "take":
        take(words[0], int(words[1]))
    else:
        {"ftp": ftp, "tftp": tftp, "give": give}[kind](*map(int, words))
