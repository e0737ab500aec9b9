"""One connection that is kept, and who answers it. Standard library only.

talk.py answer NAME PORT                    answers whatever comes by TCP and by UDP with NAME; until killed
talk.py ask tcp|udp ADDRESS PORT FROM PORT  asks once a line of stdin, from one socket, and says the answer
"""

from __future__ import annotations

import socket
import sys
import threading

PATIENCE_S = 1.5


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def answer(name: str, port: int) -> None:
    def stay(there: socket.socket) -> None:
        with there:
            while there.recv(2048):
                there.sendall(name.encode())

    def by_udp(here: socket.socket) -> None:
        while True:
            _, peer = here.recvfrom(2048)
            here.sendto(name.encode(), peer)

    with socket.create_server(("0.0.0.0", port)) as server:  # noqa: S104
        here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        here.bind(("0.0.0.0", port))  # noqa: S104
        threading.Thread(target=by_udp, args=(here,), daemon=True).start()
        say("ready")
        while True:
            threading.Thread(target=stay, args=(server.accept()[0],), daemon=True).start()


def ask(kind: str, address: str, port: int, source: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as there:
        there.settimeout(PATIENCE_S)
        there.bind(source)
        there.connect((address, port))
        say("ready")
        for _ in sys.stdin:
            try:
                there.send(b"who?")
                say(there.recv(2048).decode() or "ended")
            except OSError:
                say("silence")


if __name__ == "__main__":
    verb, *words = sys.argv[1:]
    if verb == "answer":
        answer(words[0], int(words[1]))
    else:
        ask(words[0], words[1], int(words[2]), (words[3], int(words[4])))
