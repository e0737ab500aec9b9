"""Reads and writes /etc/network/interfaces, byte for byte."""

from __future__ import annotations

import os
from pathlib import Path

from wizard.host.files import make_directory, write_atomic
from wizard.plan import paths


def main_file() -> str:
    """The real path of /etc/network/interfaces, which may be a link."""
    return os.path.realpath(paths.INTERFACES_MAIN)


def read_main_file(path: str = "") -> str | None:
    """The text of /etc/network/interfaces (bytes that are not UTF-8 as surrogates); None if it cannot be read."""
    try:
        return Path(path or main_file()).read_bytes().decode("utf-8", "surrogateescape")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        return None


def write_main_file(text: str, path: str = "") -> None:
    """Write a text as `read_main_file` returns it; mode and owner stay, and a link stays a link.

    Raises WizardError.
    """
    mode, owner = 0o644, None
    if (main := Path(path or main_file())).exists():
        info = main.stat()
        mode, owner = info.st_mode & 0o7777, (info.st_uid, info.st_gid)
    make_directory(main.parent)
    write_atomic(str(main), main_file_bytes(text), mode, owner)


def main_file_bytes(text: str) -> bytes:
    """The bytes on disk of a text as `read_main_file` returns it."""
    return text.encode("utf-8", "surrogateescape")
