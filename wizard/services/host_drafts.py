"""Drafts in the person's own state directory."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from wizard.plan.findings import WizardError


class HostDrafts:
    """`state` is the wizard's directory of this person; it is made when something is to be kept."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def read(self, name: str) -> tuple[str, datetime] | None:
        path = self._state / f"{name}.json"
        try:
            changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            return path.read_text(encoding="utf-8", errors="replace"), changed
        except OSError:
            return None

    def save(self, name: str, text: str) -> None:
        """Replace the draft. Not synced: it is to outlive the screen, not a power cut."""
        path = self._state / f"{name}.json"
        temporary = self._state / f".{name}.json.{os.getpid()}"
        try:
            self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise unwritable(path, error) from error

    def forget(self, name: str) -> None:
        try:
            (self._state / f"{name}.json").unlink(missing_ok=True)
        except OSError as error:
            raise WizardError(f"{error.filename}: {error.strerror}") from error


def unwritable(path: Path, error: OSError) -> WizardError:
    return WizardError(f"{path}: {error.strerror}", "Make it writable, or set XDG_STATE_HOME.")
