"""An ISO -> the files of an image. It is read by pycdlib, in this process: nothing is mounted, and the kernel parses
nothing of a file that came from anywhere (docs/decisions.md)."""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from wizard.deploy.images.sources import Contents, Given, Part, Source
from wizard.plan.fields import printable
from wizard.plan.findings import WizardError
from wizard.plan.images import KINDS, Architecture, ImageKind

_DAMAGED = (
    PyCdlibException,
    struct.error,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    OverflowError,
    MemoryError,
    EOFError,
)
"""What pycdlib raises for an ISO that is damaged, or made to be."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a distribution has its kernel and initrd; `whole`: the name of the ISO in the image, if it is needed."""

    kind: ImageKind
    kernel: str
    initrd: str
    whole: str = ""


_LAYOUTS = (
    _Layout(ImageKind.UBUNTU, "/casper/vmlinuz", "/casper/initrd", "ubuntu.iso"),
    _Layout(ImageKind.DEBIAN, "/linux", "/initrd.gz"),
    _Layout(ImageKind.TALOS, "/boot/vmlinuz", "/boot/initramfs.xz"),
)
_DEBIAN_CDS = ("/install.amd/vmlinuz", "/install.a64/vmlinuz")
_ARCHITECTURE = re.compile(r"\b(amd64|arm64)\b")


def read_iso(path: Path, given: Given) -> Source:
    """The image in an ISO. Raises WizardError."""
    label = printable(path.name, 200)
    with _opened(path, label) as iso:
        layout = next((each for each in _LAYOUTS if iso.size(each.kernel) is not None), None)
        if layout is None and any(iso.size(name) is not None for name in _DEBIAN_CDS):
            raise WizardError(
                f"the installer on {label} looks for its packages on a CD",
                f"A machine that boots over the network has none: give {KINDS[ImageKind.DEBIAN].source}, or the "
                "mini.iso of Debian's netboot installer.",
            )
        if layout is None:
            raise WizardError(
                f"{label} holds no installer that is known here",
                "Known are Ubuntu's live server, Debian's mini.iso and Talos. Mount it and give --kernel and --initrd.",
            )
        possible = (layout.kind, ImageKind.RESCUE) if layout.kind is ImageKind.DEBIAN else (layout.kind,)
        if given.kind not in (None, *possible):
            raise WizardError(f"{label} is of kind {layout.kind}, not {given.kind}", "Leave --kind out.")
        inside = {}
        for name in (layout.kernel, layout.initrd):
            size = iso.size(name)
            if size is None:
                raise WizardError(f"{label} has {layout.kernel}, and no {layout.initrd}", "Fetch it again.")
            inside[Part(name.rsplit("/", 1)[1], size)] = name
        told = _ARCHITECTURE.search(iso.text("/.disk/info"))
    seen = Architecture(told[1]) if told else None
    if given.architecture is not None and seen not in (None, given.architecture):
        raise WizardError(f"{label} is of {seen}, not {given.architecture}", f"Write --arch {seen}, or leave it out.")
    whole = (Part(layout.whole, path.stat().st_size),) if layout.whole else ()

    def contents() -> Contents:
        with _opened(path, label) as iso:
            for part, name in inside.items():
                with iso.content(name) as content:
                    yield part, content
        for part in whole:
            with path.open("rb") as handle:
                yield part, handle

    kernel, initrd = (part.path for part in inside)
    return Source(
        label,
        given.kind or layout.kind,
        given.architecture or seen or Architecture.AMD64,
        (*inside, *whole),
        contents,
        kernel,
        (initrd,),
        iso=layout.whole,
    )


class _Iso:
    """An opened ISO, by the names that people know: Rock Ridge's, else Joliet's, else those of ISO 9660."""

    def __init__(self, iso: pycdlib.PyCdlib, label: str) -> None:
        self._iso = iso
        self._label = label

    def _named(self, name: str) -> dict[str, str]:
        if self._iso.has_rock_ridge():
            return {"rr_path": name}
        if self._iso.has_joliet():
            return {"joliet_path": name}
        *folders, last = name.upper().replace("-", "_").split("/")
        return {"iso_path": "/".join([*folders, last if "." in last else f"{last}."]) + ";1"}

    def size(self, name: str) -> int | None:
        """Bytes of a regular file; None where there is none. Raises WizardError for a link."""
        try:
            record = self._iso.get_record(**self._named(name))
        except _DAMAGED:
            return None
        extension = getattr(record, "rock_ridge", None)
        if extension is not None and extension.is_symlink():
            raise WizardError(f"on {self._label} {name} is a link, not a file", "Fetch it from its maker again.")
        if record.is_dir():
            return None
        return int(record.get_data_length())

    def text(self, name: str) -> str:
        """The first of a file's text, "" where there is none."""
        if self.size(name) is None:
            return ""
        with self.content(name) as content:
            return bytes(content.read(400)).decode("utf-8", "replace")

    def content(self, name: str) -> pycdlib.pycdlibio.PyCdlibIO:
        return self._iso.open_file_from_iso(**self._named(name))


@contextlib.contextmanager
def _opened(path: Path, label: str) -> Iterator[_Iso]:
    iso = pycdlib.PyCdlib()
    try:
        with path.open("rb") as handle:
            iso.open_fp(handle)
            try:
                yield _Iso(iso, label)
            finally:
                iso.close()
    except _DAMAGED as error:
        raise WizardError(f"{label} cannot be read: {printable(str(error), 200)}", "Fetch it again.") from error
