"""NetworkManager, by a profile of our own. A trial's lies under /run, so that /etc stays as it is."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from wizard.host import commands
from wizard.host.files import read_text, remove
from wizard.host.net.managers.backend import TIMEOUT_S, KnownManager, NetworkBackend
from wizard.plan.backends import Backend
from wizard.plan.findings import WizardError
from wizard.plan.machine import NicOwner
from wizard.plan.render import PROFILE_UUID
from wizard.plan.text import clean

_ASK_S = 5.0
_DISCONNECTED, _SWITCHED_OFF = "disconnected", "disconnected by hand"
"""`configured_as` of a NIC on which NetworkManager has no profile active; by hand it activates none by itself."""

_STATE = "/run/NetworkManager"
"""Its own directory, there since it ran."""


class NetworkManager(KnownManager, NetworkBackend):
    key = "NetworkManager"
    backend = Backend.NETWORKMANAGER
    programs = ("nmcli",)

    def is_active(self, processes: Collection[str], _root: Path, /) -> bool:
        return "NetworkManager" in processes

    def answers(self) -> bool:
        return _runs()

    def owned(self, nics: Mapping[str, int], _root: Path, /) -> list[NicOwner]:
        found = []
        for nic, (state, profile) in _devices().items():
            # "connected (externally)": it watches what somebody else has configured.
            if nic in nics and state not in ("unmanaged", "connected (externally)"):
                by = f", by its profile {clean(profile, 40)!r}" if profile else ""
                found.append(NicOwner(nic, self.backend, f"NetworkManager has {nic} {clean(state, 60)}{by}"))
        return found

    def make_way_commands(self, _nic: str) -> list[tuple[str, ...]]:
        return []

    def make_way(self, _nic: str) -> None:
        """Raising a profile replaces another."""

    def bring_up_commands(self, nic: str, _cidr: str) -> list[tuple[str, ...]]:
        return [("nmcli", "connection", "load", self.file.live), _up(PROFILE_UUID, nic)]

    def bring_up(self, nic: str) -> None:
        file = next((path for path in (self.file.live, self.file.kept) if Path(path).exists()), None)
        if file is not None:
            commands.run("nmcli", "connection", "load", file, timeout=TIMEOUT_S)
        self.give_back(nic)

    def give_back(self, nic: str) -> None:
        commands.run(*_up(PROFILE_UUID, nic), timeout=TIMEOUT_S)

    def is_configured(self, nic: str) -> bool:
        return self.configured_as(nic) not in ("", _DISCONNECTED, _SWITCHED_OFF)

    def configured_as(self, nic: str) -> str:
        """The UUID of the active profile, or how the NIC comes to have none; "" where NetworkManager does not manage it
        or does not run."""
        fields = "GENERAL.STATE,GENERAL.CON-UUID,GENERAL.AUTOCONNECT"
        try:
            told = commands.run("nmcli", "-g", fields, "device", "show", nic, timeout=_ASK_S)
        except commands.CommandFailed:
            return ""
        state, uuid, autoconnect = (*told.split("\n"), "", "")[:3]
        if uuid or not state.startswith("30 "):
            return uuid.strip()
        return _SWITCHED_OFF if autoconnect.strip() == "no" else _DISCONNECTED

    def ours(self, _nic: str) -> frozenset[str]:
        return frozenset({PROFILE_UUID})

    def remedy_for_other(self, _nic: str, configured_as: str) -> str:
        ours = f"'sudo nmcli connection up uuid {PROFILE_UUID}'"
        if configured_as in ("", _DISCONNECTED, _SWITCHED_OFF):
            return f"Run {ours}."
        return f"Run 'sudo nmcli connection modify uuid {configured_as} connection.autoconnect no', then {ours}."

    def nic(self) -> str:
        return _value(self._text(), "interface-name")

    def addresses(self) -> set[str]:
        texts = (read_text(path) or "" for path in (self.file.live, self.file.kept))
        return {address for text in texts if (address := _value(text, "address1"))}

    def _text(self) -> str:
        return read_text(self.file.live) or read_text(self.file.kept) or ""

    def release(self, nic: str) -> bool:
        if self.configured_as(nic) != PROFILE_UUID:
            return False
        # Until another is raised: the caller does that, or a reload after the file's end.
        return commands.works("nmcli", "connection", "down", "uuid", PROFILE_UUID, timeout=TIMEOUT_S)

    def has_ours(self, _nic: str) -> bool:
        return commands.works("nmcli", "connection", "show", "uuid", PROFILE_UUID, timeout=_ASK_S)

    def withdraw(self, nic: str) -> bool:
        files = [path for path in (self.file.live, self.file.kept) if Path(path).exists()]
        if not files and not self.has_ours(nic):
            return False
        self.release(nic)
        for path in files:
            remove(path)
        commands.works("nmcli", "connection", "reload", timeout=TIMEOUT_S)
        return True

    def reconfigure(self, nic: str, configured_as: str) -> list[str]:
        if not _runs():
            # At its next start it reads its files, which are as before.
            return []
        try:
            commands.run("nmcli", "connection", "reload", timeout=TIMEOUT_S)
            if not nic:
                return []
            if configured_as == PROFILE_UUID:
                self.bring_up(nic)
            elif configured_as == _SWITCHED_OFF:
                # 6: it is disconnected.
                commands.run("nmcli", "device", "disconnect", nic, timeout=TIMEOUT_S, ok=(0, 6))
                commands.run("nmcli", "device", "set", nic, "autoconnect", "no", timeout=TIMEOUT_S)
            elif configured_as not in ("", _DISCONNECTED):
                return self._raise_theirs(nic, configured_as)
            else:
                commands.run("nmcli", "device", "set", nic, "autoconnect", "yes", timeout=TIMEOUT_S)
        except WizardError as error:
            return [f"NetworkManager did not configure {nic} as before: {error.message}"]
        return []

    def _raise_theirs(self, nic: str, uuid: str) -> list[str]:
        """A profile that was active, or still waiting for a DHCP server, is begun again; its success is not awaited."""
        try:
            commands.run("nmcli", "--wait", "0", *_up(uuid, nic)[1:], timeout=TIMEOUT_S)
        except commands.CommandFailed as error:
            if "unknown connection" not in error.stderr:
                raise
            if not _is_automatic(uuid):
                # Somebody has deleted it since.
                commands.run("nmcli", "device", "set", nic, "autoconnect", "yes", timeout=TIMEOUT_S)
                return []
            commands.run(*_add_automatic(uuid, nic), timeout=TIMEOUT_S)
        return []


def _is_automatic(uuid: str) -> bool:
    """Whether NetworkManager made the profile by itself: such a UUID is made of a name, others are random."""
    return uuid[14:15] == "3"


def _add_automatic(uuid: str, nic: str) -> tuple[str, ...]:
    """Adds the profile that NetworkManager makes for a NIC that has none: at its start only, so that there is none
    where ours was there then. In memory, as its own. It is activated at once."""
    profile = ("type", "ethernet", "con-name", f"Wired connection {nic}", "ifname", nic, "connection.uuid", uuid)
    return "nmcli", "connection", "add", "save", "no", *profile, "connection.autoconnect-priority", "-999"


def _up(uuid: str, nic: str) -> tuple[str, ...]:
    return "nmcli", "connection", "up", "uuid", uuid, "ifname", nic


def _runs() -> bool:
    return commands.works("nmcli", "-g", "RUNNING", "general", timeout=_ASK_S)


def behind_portal() -> bool:
    """Whether NetworkManager found that the network wants a log-in first. Asks for what it knows: nothing is sent."""
    if not Path(_STATE).is_dir():
        return False
    try:
        return commands.run("nmcli", "-t", "-f", "CONNECTIVITY", "general", timeout=_ASK_S).strip() == "portal"
    except commands.CommandFailed:
        return False


def _devices() -> dict[str, tuple[str, str]]:
    """NIC -> its state in words, and the profile that it has; {} where NetworkManager does not answer."""
    try:
        lines = commands.run("nmcli", "-t", "-f", "DEVICE,STATE,CONNECTION", "device", timeout=_ASK_S).splitlines()
    except commands.CommandFailed:
        return {}
    rows = [[re.sub(r"\\(.)", r"\1", cell) for cell in re.split(r"(?<!\\):", line)] for line in lines]
    return {row[0]: (row[1], row[2]) for row in rows if len(row) == 3}


def _value(text: str, key: str) -> str:
    """The value of a key of a profile, "" if it has none."""
    found = re.search(rf"^{key}=(\S+)$", text, re.MULTILINE)
    return found[1] if found else ""
