"""Another program on a port that the gateway needs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from wizard.lab.control import Laboratory

PLAIN = "import socket, sys; s = socket.socket(type=socket.{kind}); {more}; s.bind(('{address}', {port})); "
PLAIN += "s.type == socket.SOCK_STREAM and s.listen(); print('ready', flush=True); sys.stdin.read()"


@contextmanager
def holding(lab: Laboratory, kind: str, port: int, address: str = "0.0.0.0", more: str = "pass") -> Iterator[None]:  # noqa: S104
    script = PLAIN.format(kind=kind, port=port, address=address, more=more)
    process = lab.popen(["/usr/bin/python3", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.communicate()
