"""Runs a script on another machine over ssh, with the user's own configuration, agent and known_hosts.

Under sudo the user is whoever ran that.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import NoReturn

from wizard.host import commands
from wizard.host.person import as_person, behind_sudo
from wizard.plan.fields import shown
from wizard.plan.findings import WizardError
from wizard.plan.text import clean

CONNECT_TIMEOUT_S = 8

# What is neither an option to ssh nor code to a ProxyCommand that names %h.
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9._:%-]{0,252}")
_SSH_FAILED = 255
"""The exit status of ssh itself; any other is that of the program there."""
_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": CONNECT_TIMEOUT_S,
    "ConnectionAttempts": 1,
    "ServerAliveInterval": 5,
    "ServerAliveCountMax": 2,
    # We need its error messages, however quiet the user's configuration is.
    "LogLevel": "ERROR",
    "RequestTTY": "no",
    # Forwards, commands and masters of that configuration are for sessions of the user.
    "RemoteCommand": "none",
    "PermitLocalCommand": "no",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "ControlMaster": "no",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A machine to connect to. `address` overrides the host name that ssh would connect to; "" leaves that to ssh.

    `key_alias`: the name that its host key is known under, "" for ssh's own choice.
    """

    host: str
    user: str = ""
    address: str = ""
    key_alias: str = ""

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" if self.user else self.host


class SshFailed(WizardError):
    """ssh failed. `kind` is a stable slug: "down", "no-such-name", "unknown-host-key", "changed-host-key",
    "permission-denied", "no-ssh" or "failed". `said`: what it or the program there wrote to stderr; `status_there`: how
    that program ended, None where none did."""

    said = ""
    status_there: int | None = None

    def __init__(self, kind: str, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.kind = kind


def parse_target(text: str) -> Target:
    """[USER@]HOST. Raises WizardError (status 2) for what ssh could take as an option or a shell as code."""
    user, at, host = text.rpartition("@")
    host = host.removeprefix("[").removesuffix("]")
    if _HOST.fullmatch(host) and (_USER.fullmatch(user) if at else True):
        return Target(host, user)
    error = WizardError(
        f"{shown(text)} is not a machine that ssh could be sent to.",
        "Write [USER@]HOST with a name or an address, such as cloud-admin@192.168.0.65.",
    )
    error.status = 2
    raise error


def settings(target: Target) -> dict[str, str]:
    """What ssh's configuration makes of a target (`ssh -G`): host name, user, port and the like; {} without ssh."""
    try:
        output = commands.run(*as_person(["ssh", "-G", "--", str(target)], behind_sudo()), timeout=10)
    except commands.CommandFailed:
        return {}
    return {key: value for key, _, value in (line.partition(" ") for line in output.splitlines())}


def run_script(target: Target, script: str, timeout: float) -> str:
    """Run a POSIX shell script there and return its standard output. Raises SshFailed."""
    options = [*(f"-o{name}={value}" for name, value in _OPTIONS.items()), *_options_of(target)]
    # By stdin: the login shell there has nothing to unquote, whichever it is.
    argv = as_person(["ssh", "-T", *options, "--", str(target), "sh -s"], behind_sudo())
    try:
        return commands.run(*argv, stdin=script, timeout=timeout)
    except commands.CommandFailed as error:
        try:
            _explain(target, error, timeout)
        except SshFailed as failed:
            failed.said = error.stderr
            failed.status_there = error.code if error.code != _SSH_FAILED else None
            raise


def _options_of(target: Target) -> list[str]:
    options = [f"-oHostName={target.address}"] if target.address else []
    return [*options, f"-oHostKeyAlias={target.key_alias}"] if target.key_alias else options


def log_in(target: Target) -> NoReturn:
    """Become the user's own ssh to a machine, on this terminal. Raises SshFailed where there is none."""
    path = commands.find("ssh")
    if path is None:
        raise SshFailed("no-ssh", "ssh is not installed here", "sudo apt install openssh-client")
    argv = as_person([path, *_options_of(target), "--", str(target)], behind_sudo())
    os.execvpe(argv[0], argv, {**os.environ, "PATH": commands.environment()["PATH"]})  # noqa: S606


def _explain(target: Target, error: commands.CommandFailed, timeout: float) -> NoReturn:
    name = clean(target.host, 80)
    # 255 is ssh's own; with any other status stderr is that of the program there.
    stderr = error.stderr if error.code in (_SSH_FAILED, None) else ""
    last = clean(commands.reason_in(error.stderr), 200)
    login = f"ssh {target}"
    if target.key_alias:
        login = f"ciao-wizard ssh {target.host}{f' --user {target.user}' if target.user else ''}"
    if commands.find("ssh") is None:
        raise SshFailed("no-ssh", "ssh is not installed here", "sudo apt install openssh-client") from None
    if "HOST IDENTIFICATION HAS CHANGED" in stderr:
        key = target.key_alias or target.address or name
        raise SshFailed(
            "changed-host-key",
            f"{name} shows another host key than the one you know: it is another machine now, or somebody "
            "intercepts the connection. Nothing was read.",
            f"Find out which. If it was reinstalled: ssh-keygen -R {key}, then {login}",
        ) from None
    if "Host key verification failed" in stderr or "host key is known for" in stderr:
        raise SshFailed(
            "unknown-host-key",
            f"{name}'s host key is not known to you yet. Nothing was read.",
            f"Connect once by hand and compare the key: {login}",
        ) from None
    if "Permission denied" in stderr or "Too many authentication failures" in stderr:
        raise SshFailed(
            "permission-denied",
            f"{name} accepts none of your keys{f' for {target.user}' if target.user else ''}",
            f"Name the user whose key you have, such as cloud-admin@{name}, and load it: ssh-add. See: {login}",
        ) from None
    if "Could not resolve hostname" in stderr:
        raise SshFailed(
            "no-such-name",
            f"no machine is known by the name {name}",
            "Give its address; 'ciao-wizard leases' lists it.",
        ) from None
    if error.code is None:
        raise SshFailed("down", f"{name} gave no answer within {timeout:g} s", f"Try it by hand: {login}") from None
    for words, why in (
        ("timed out", "does not answer"),
        ("timeout", "does not answer"),
        ("No route to host", "does not answer: nobody has that address"),
        ("Network is unreachable", "cannot be reached from here: there is no route to it"),
        ("Connection refused", "is there, but no ssh server answers"),
        ("Connection closed", "closed the connection"),
        ("Connection reset", "closed the connection"),
    ):
        if words in stderr:
            raise SshFailed(
                "down", f"{name} {why}", "Is it running? 'ciao-wizard leases' shows which machines are."
            ) from None
    raise SshFailed(
        "failed", f"{name}: {last or f'ssh ended with status {error.code}'}", f"Try it by hand: {login}"
    ) from None
