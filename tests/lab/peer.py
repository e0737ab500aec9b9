"""A program for any machine of the laboratory: serves, asks and advertises. Standard library only, so it starts fast.

peer.py serve NAME PORT…      pages on TCP ports, each saying who answers and whom it sees; until killed
peer.py echo NAME PORT        the same for UDP datagrams
peer.py ask                   questions as a JSON list on stdin, all asked at once; their answers on stdout
peer.py advertise NIC         three IPv6 router advertisements, as of a router that offers itself and a prefix

A question is [kind, target, timeout]. Its answer is text, or null where there was none in time:
fetch URL · udp ADDRESS:PORT · ping ADDRESS · dns NAME@SERVER · resolve NAME
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import urlopen

ROUTER_LIFETIME_S = 1800
PREFIX = "fd00:bad::"

Address = tuple[Any, ...]
"""As sockets tell it: host, port, and for IPv6 two more."""
Question = tuple[str, str, float]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def page(name: str, ours: Address, peer: Address) -> str:
    host, port = ours[:2]
    return f"{name} {port}\nserved by {plain(host)}\nasked by {plain(peer[0])}\n"


def plain(address: str) -> str:
    return address.removeprefix("::ffff:").partition("%")[0]


class DualStack(ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Not HTTPServer's, which looks its own name up.
        socket.socket.bind(self.socket, self.server_address)


def serve(name: str, ports: Sequence[str]) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page(name, self.connection.getsockname(), self.client_address).encode()
            self.send_response_only(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    servers = [DualStack(("::", int(port)), Page) for port in ports]
    for server in servers:
        threading.Thread(target=server.serve_forever).start()
    say("ready")


def echo(name: str, port: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("0.0.0.0", int(port)))  # noqa: S104
        say("ready")
        while True:
            _, peer = here.recvfrom(2048)
            here.sendto(f"{name} {port}\nasked by {peer[0]}\n".encode(), peer)


def fetch(url: str, timeout: float) -> str:
    with urlopen(url, timeout=timeout) as answer:  # noqa: S310
        return str(answer.read().decode())


def udp(target: str, timeout: float) -> str:
    address, _, port = target.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.settimeout(timeout)
        here.connect((address, int(port)))
        here.send(b"who are you?")
        return here.recv(2048).decode()


def ping(address: str, timeout: float) -> str | None:
    argv = ["ping", "-n", "-c", "1", "-W", str(timeout), address]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return "answers" if done.returncode == 0 else None


def dns(target: str, timeout: float) -> str:
    """The IPv4 addresses that a DNS server says, in its order; "" for none."""
    name, _, server = target.rpartition("@")
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = labels + b"\0" + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.settimeout(timeout)
        here.connect((server, 53))
        here.send(struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + question)
        answer = here.recv(4096)
    found, at = [], 12 + len(question)
    for _ in range(struct.unpack(">H", answer[6:8])[0]):
        # dnsmasq's answers name the question by a pointer of two bytes.
        kind, _, _, size = struct.unpack(">HHIH", answer[at + 2 : at + 12])
        if kind == 1:
            found.append(socket.inet_ntoa(answer[at + 12 : at + 16]))
        at += 12 + size
    return " ".join(found)


def resolve(name: str, _timeout: float) -> str:
    return " ".join(sorted({str(info[4][0]) for info in socket.getaddrinfo(name, None, socket.AF_INET)}))


KINDS: dict[str, Callable[[str, float], str | None]] = {
    "fetch": fetch,
    "udp": udp,
    "ping": ping,
    "dns": dns,
    "resolve": resolve,
}


def ask(questions: Sequence[Question]) -> list[str | None]:
    def one(question: Question) -> str | None:
        kind, target, timeout = question
        try:
            return KINDS[kind](target, timeout)
        except (OSError, EOFError):
            return None

    with ThreadPoolExecutor(max(1, len(questions))) as pool:
        return list(pool.map(one, questions))


def advertise(nic: str) -> None:
    prefix = socket.inet_pton(socket.AF_INET6, PREFIX)
    message = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, ROUTER_LIFETIME_S, 0, 0)
    message += struct.pack(">BBBBIII", 3, 4, 64, 0xC0, 86400, 14400, 0) + prefix
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as here:
        here.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        here.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, nic.encode())
        for _ in range(3):
            here.sendto(message, ("ff02::1", 0, 0, socket.if_nametoindex(nic)))


def main(argv: Sequence[str]) -> None:
    verb, *rest = argv
    if verb == "serve":
        serve(rest[0], rest[1:])
    elif verb == "echo":
        echo(*rest)
    elif verb == "ask":
        say(json.dumps(ask(json.load(sys.stdin))))
    elif verb == "advertise":
        advertise(*rest)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
