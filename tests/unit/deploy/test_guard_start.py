"""The guard's process as it starts: what it tells systemd where it is not to serve."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from wizard.deploy import runtime_state
from wizard.deploy.guard import daemon


@pytest.mark.parametrize("events", [[], ["/run/ciao-wizard/events-7.jsonl", "/home/me/apply.jsonl"]])
def test_a_guard_that_leaves_to_the_recovery_is_no_failed_start(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: list[str]
) -> None:
    """Of Type=notify an end before READY=1 is a failure, and systemd would start another beside the recovery.

    Whoever follows the killed run hears of the recovery.
    """
    started: list[list[str]] = []
    monkeypatch.setattr(os, "umask", lambda _: 0)
    monkeypatch.setattr(runtime_state, "running_engine", lambda: None)
    monkeypatch.setattr(daemon, "installed_state", lambda: "interrupted")
    monkeypatch.setattr(daemon, "detach", lambda argv, _log: started.append(list(argv)))
    if events:
        runtime_state.write_json(runtime_state.ENGINE_STATE, {"process": None, "events": events})
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)

        assert daemon.main() == 0

        assert systemd.recv(100) == b"READY=1"
    (command,) = started
    assert command[command.index("takeover") + 1 :] == events
