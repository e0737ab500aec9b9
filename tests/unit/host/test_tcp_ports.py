"""Which ports take a connection: a listener, a refusal, and silence, hundreds of them at once."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from wizard.host.net.tcp_ports import Place, answering


@pytest.fixture
def listening() -> Iterator[Place]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield ("127.0.0.1", server.getsockname()[1])


def test_who_listens_is_told_from_who_refuses(listening: Place) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert answering([listening, closed.getsockname(), ("127.0.0.1", 70_000), ("nowhere.", 1)], 5) == {listening}


def test_the_last_of_a_thousand_is_found(listening: Place) -> None:
    refusing = [("127.0.0.1", port) for port in range(1, 1000) if port != listening[1]]
    assert listening in answering([*refusing, listening], 5)


def test_one_that_says_nothing_is_not_waited_for_longer() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first, socket.socket() as second:
        # Its queue is full: what comes now gets no answer.
        for end in (first, second):
            end.setblocking(False)
            end.connect_ex(full.getsockname())
        assert answering([full.getsockname()] * 500, 0.2) == set()
