"""Whoever ran sudo: their ssh keys, agent and keyring are meant, not root's."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wizard.host.facts.processes import inherited_variable


@dataclass(frozen=True, slots=True)
class Person:
    """`agent`: the socket of their ssh agent, "" where there is none that is theirs."""

    name: str
    uid: int
    gid: int
    home: str
    agent: str = ""


def behind_sudo(environ: Mapping[str, str] = os.environ) -> Person | None:
    """The person who ran us by sudo; None where nobody did, or where we are not root."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwuid(int(environ.get("SUDO_UID", "")))
    except (ValueError, KeyError, OverflowError):
        return None
    if entry.pw_uid == 0 or entry.pw_name != environ.get("SUDO_USER"):
        return None
    # sudo drops the variable; the shell that sudo was typed in has it.
    agent = environ.get("SSH_AUTH_SOCK", "") or inherited_variable("SSH_AUTH_SOCK")
    return Person(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, agent if _is_socket_of(agent, entry) else "")


def _is_socket_of(path: str, entry: pwd.struct_passwd) -> bool:
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISSOCK(found.st_mode) and found.st_uid == entry.pw_uid


def as_person(argv: list[str], person: Person | None) -> list[str]:
    """The command that runs `argv` as them, with an environment of their own; `argv` itself for nobody."""
    if person is None:
        return argv
    become = ["setpriv", f"--reuid={person.uid}", f"--regid={person.gid}", "--init-groups", "--reset-env", "--"]
    return [*become, "env", "LC_ALL=C", *([f"SSH_AUTH_SOCK={person.agent}"] if person.agent else []), *argv]
