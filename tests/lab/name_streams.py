"""Whom a name server is asked by while something changes: a node that counts what stays without an answer, and dig."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.lab.support import GATEWAY, HERE
from tests.lab.unpacked import unpacked
from wizard.lab.control import Laboratory

ACTORS = str(HERE / "name_actors.py")


@dataclass
class Stream:
    """Of each name, once the questions have ended: how often it was asked, and what came."""

    asked: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    answers: dict[str, list[Any]] = field(default_factory=dict)


@contextmanager
def asked_all_along(lab: Laboratory, netns: str, *names: str) -> Iterator[Stream]:
    """Each name fifty times a second, from a node, while the body runs."""
    argv = [sys.executable, ACTORS, "stream", GATEWAY, *names]
    process = lab.popen(argv, netns=netns, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    found = Stream()
    try:
        yield found
        out, _ = process.communicate(timeout=30)
        for name, (asked, answered, answers) in json.loads(out).items():
            found.asked[name], found.lost[name], found.answers[name] = asked, asked - answered, answers
    finally:
        process.kill()
        process.communicate()


def dig(lab: Laboratory, netns: str, *words: str, server: str = GATEWAY) -> list[str]:
    """What dig says with +short; words as `-x ADDRESS`, `NAME TYPE`, `+search NAME`."""
    files = unpacked("bind9-dnsutils")
    argv = [files.program("dig"), f"@{server}", "+short", "+tries=1", "+time=3", *words]
    done = lab.run(argv, netns=netns, env=files.env, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def dig_status(lab: Laboratory, netns: str, *words: str, server: str = GATEWAY) -> str:
    """NOERROR, NXDOMAIN, REFUSED …"""
    files = unpacked("bind9-dnsutils")
    argv = [files.program("dig"), f"@{server}", "+tries=1", "+time=3", *words]
    said = lab.run(argv, netns=netns, env=files.env, check=False).stdout
    return said.partition("status: ")[2].partition(",")[0]
