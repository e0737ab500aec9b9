"""The steps that persist a kept trial: files under /etc and the service. Taken by the watchman."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from wizard.deploy.apply.context import ApplyContext, Record, command_line, write_file
from wizard.deploy.guard import control
from wizard.deploy.installed_files import is_ours
from wizard.deploy.journal import Journal
from wizard.host import systemd
from wizard.host.files import read_text, remove
from wizard.host.net.managers import BACKENDS
from wizard.host.net.managers.ifupdown import interfaces_file
from wizard.host.net.managers.ifupdown.interfaces_change import InterfacesText, interfaces_wanted
from wizard.host.net.managers.ifupdown.main_file import main_file_bytes, read_main_file, write_main_file
from wizard.plan import paths
from wizard.plan.backends import ADDRESS_FILES, Backend
from wizard.plan.render import File


class InstallFile:
    """One file under /etc."""

    def __init__(self, context: ApplyContext, file: File) -> None:
        self.context = context
        self.file = file
        self.name = f"file:{file.path}"
        self.title = Path(file.path).name

    def needed(self) -> bool:
        return read_text(self.file.path) != self.file.text or _mode(self.file.path) != self.file.mode

    def preview(self) -> list[str]:
        return [f"writes {self.file.path}"]

    def capture(self) -> Record:
        return self.context.journal.images.capture(self.file.path)

    def do(self) -> str:
        write_file(self.file)
        return f"written to {Path(self.file.path).parent}"


def _mode(path: str) -> int | None:
    try:
        return Path(path).stat().st_mode & 0o7777
    except FileNotFoundError:
        return None


def undo_file(image: Record, journal: Journal) -> str:
    if image.get("main") and image["kind"] in ("file", "absent"):
        return _undo_main_file(image, journal)
    journal.images.restore(image)
    return "as it was"


def _undo_main_file(image: Record, journal: Journal) -> str:
    """Remove our changes from a shared file; what others have changed in it since stays."""
    path = str(image["path"])
    named = os.path.realpath(str(image.get("named") or paths.INTERFACES_MAIN))
    if named != path:
        # The path names another file by now, perhaps a copy with our changes in it.
        _strip(named)
    if Path(path).is_file():
        restored = interfaces_file.restored(read_main_file(path) or "")
        before = journal.images.content(image) if image["kind"] == "file" else b""
        if main_file_bytes(restored) != before:
            write_main_file(restored, path)
            return "without our changes; what was changed since is kept"
    journal.images.restore(image)
    return "as it was"


def _strip(path: str) -> None:
    text = read_main_file(path) or ""
    restored = interfaces_file.restored(text)
    if restored != text:
        write_main_file(restored, path)


class EditInterfacesFile:
    """Change a file of ifupdown's that configures the cluster NIC, or whose `source` leaves interfaces.d out."""

    def __init__(self, context: ApplyContext, text: InterfacesText) -> None:
        self.context = context
        self.text = text
        self.name = f"file:{text.path}"
        self.title = Path(text.path).name

    def needed(self) -> bool:
        if (read_main_file(self.text.real) or "") != self.text.now:
            texts = interfaces_wanted(self.context.plan.interfaces.cluster)
            # A file that is gone needs no change.
            gone = replace(self.text, now="", wanted="")
            self.text = next((text for text in texts if text.path == self.text.path), gone)
        return self.text.now != self.text.wanted

    def preview(self) -> list[str]:
        return [f"changes {self.text.path}, as shown among the files"]

    def capture(self) -> Record:
        return self.context.journal.images.capture(self.text.real) | {"main": True, "named": self.text.path}

    def do(self) -> str:
        # Checked again: somebody may have changed the file since.
        if self.needed():
            write_main_file(self.text.wanted, self.text.real)
        return "written"


class RemoveFile:
    """The kept file of a backend that no longer sets the address."""

    def __init__(self, context: ApplyContext, path: str) -> None:
        self.context = context
        self.path = path
        self.name = f"file:{path}"
        self.title = Path(path).name

    def needed(self) -> bool:
        return Path(self.path).exists()

    def preview(self) -> list[str]:
        return [f"removes {self.path}"]

    def capture(self) -> Record:
        return self.context.journal.images.capture(self.path)

    def do(self) -> str:
        remove(self.path)
        for backend in BACKENDS.values():
            if backend.file.kept == self.path:
                if backend.file.live != self.context.backend.file.live:
                    remove(backend.file.live)
                # Only to have it read its files again: the NIC is another's now.
                backend.reconfigure("", "")
        return "removed"


def former_address_files(context: ApplyContext) -> list[RemoveFile]:
    """A step for each kept file of another backend than the context's."""
    ours = context.backend.file.kept
    return [RemoveFile(context, f.kept) for f in ADDRESS_FILES.values() if f.kept != ours and is_ours(f.kept)]


def main_files(context: ApplyContext) -> list[EditInterfacesFile]:
    """A step for each file of ifupdown's that has to change. Raises WizardError where one cannot be changed."""
    if context.backend.backend is not Backend.IFUPDOWN:
        return []
    texts = interfaces_wanted(context.plan.interfaces.cluster)
    return [EditInterfacesFile(context, text) for text in texts if text.now != text.wanted]


class EnableService:
    """The systemd unit that starts the guard at boot."""

    name = "service"
    title = "service"

    def __init__(self, context: ApplyContext) -> None:
        self.context = context
        self.file = control.service_unit()

    def needed(self) -> bool:
        return read_text(self.file.path) != self.file.text or not Path(paths.SERVICE_WANTED).is_symlink()

    def preview(self) -> list[str]:
        if not systemd.running():
            return ["nothing: systemd does not run here"]
        return [
            f"writes {self.file.path}",
            command_line("systemctl", "daemon-reload"),
            command_line("systemctl", "enable", "--quiet", paths.SERVICE_NAME),
        ]

    def capture(self) -> Record:
        images = self.context.journal.images
        return {"unit": images.capture(self.file.path), "wanted": images.capture(paths.SERVICE_WANTED)}

    def do(self) -> str:
        write_file(self.file)
        systemd.enable(paths.SERVICE_NAME)
        return "starts at boot"


def undo_service(image: Record, journal: Journal) -> str:
    journal.images.restore(image["wanted"])
    journal.images.restore(image["unit"])
    systemd.reload()
    return "as it was"
