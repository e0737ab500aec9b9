"""A backend of the library keyring that keeps its passwords in a file: PYTHON_KEYRING_BACKEND names it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.credentials import SimpleCredential

VARIABLE = "CIAO_TEST_KEYRING"
"""Has the path of the file."""


class FileKeyring(KeyringBackend):
    """Finds an entry without its user's name, as those of GNOME and KDE do."""

    priority = 0.1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def get_password(self, service: str, username: str) -> str | None:
        return self._entries().get(service, {}).get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        entries = self._entries()
        entries.setdefault(service, {})[username] = password
        self._file().write_text(json.dumps(entries))

    def get_credential(self, service: str, username: str | None) -> SimpleCredential | None:
        for user, password in self._entries().get(service, {}).items():
            if username in (None, user):
                return SimpleCredential(user, password)
        return None

    def _file(self) -> Path:
        return Path(os.environ[VARIABLE])

    def _entries(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = json.loads(self._file().read_text()) if self._file().exists() else {}
        return found
