"""Whose UDP sockets are bound to what, asked of the kernel about sockets of our own."""

from __future__ import annotations

import os
import socket

from wizard.host.facts.udp_sockets import bound_indexes, bound_names, tcp_backlog


def test_a_socket_is_told_by_the_nic_that_it_is_bound_to() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        ours.bind(("127.0.0.1", 0))
        port = ours.getsockname()[1]
        assert bound_indexes(os.getpid(), port) == [socket.if_nametoindex("lo")]
        assert bound_names(os.getpid(), port) == ["lo"]
        assert bound_names(os.getppid(), port) == []
    assert bound_names(os.getpid(), port) == []


def test_a_socket_that_is_bound_to_no_nic_has_none() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        port = ours.getsockname()[1]
        assert bound_indexes(os.getpid(), port) == [0]
        assert bound_names(os.getpid(), port) == [""]


def test_who_listens_by_tcp_is_told_by_the_exact_place() -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]
        assert tcp_backlog(os.getpid(), "127.0.0.1", port) == 0
        assert tcp_backlog(os.getpid(), "127.0.0.2", port) is None
        assert tcp_backlog(os.getppid(), "127.0.0.1", port) is None
        with socket.create_connection(("127.0.0.1", port)):
            assert tcp_backlog(os.getpid(), "127.0.0.1", port) == 1
    assert tcp_backlog(os.getpid(), "127.0.0.1", port) is None
