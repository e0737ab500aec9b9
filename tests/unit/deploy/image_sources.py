"""Sources of images, as small as they can be: files, Debian packages, ISOs."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pycdlib

from wizard.deploy.images.sources import Contents, Part, Source
from wizard.plan.images import Architecture, ImageKind

INSTALLER = "usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64"
X86_KERNEL = bytes(0x202) + b"HdrS" + bytes(range(256)) * 40
ARM_KERNEL = bytes(0x38) + b"ARMd" + bytes(1000)


def initrd(medium: str = "netboot", size: int = 0) -> bytes:
    """What the kernel unpacks: lsb-release lies somewhere in it."""
    return gzip.compress(
        b"070701" + bytes(size) + f"\nX_INSTALLATION_MEDIUM={medium}\n".encode() + b"TRAILER!!!", mtime=0
    )


def installer_files(medium: str = "netboot") -> dict[str, bytes]:
    return {
        f"{INSTALLER}/linux": X86_KERNEL,
        f"{INSTALLER}/initrd.gz": initrd(medium),
        f"{INSTALLER}/bootnetx64.efi": b"MZ shim",
        f"{INSTALLER}/grubx64.efi": b"MZ grub",
        f"{INSTALLER}/grub/grub.cfg": b"# not taken",
        "usr/share/doc/copyright": b"not taken",
    }


def package(path: Path, files: Mapping[str, bytes]) -> Path:
    """A Debian package, built as all are."""
    root = path.with_suffix(".root")
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: d-i\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: for a test\n"
    )
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    argv = ["dpkg-deb", "--build", "--root-owner-group", "-Znone", str(root), str(path)]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    return path


def forged_package(path: Path, members: list[tarfile.TarInfo], contents: Mapping[str, bytes]) -> Path:
    """A package with members that dpkg-deb would not build."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for member in members:
            content = contents.get(member.name, b"")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    control = io.BytesIO()
    with tarfile.open(fileobj=control, mode="w") as archive:
        text = b"Package: d-i\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: forged\n"
        about = tarfile.TarInfo("./control")
        about.size = len(text)
        archive.addfile(about, io.BytesIO(text))
    parts = (("debian-binary", b"2.0\n"), ("control.tar", control.getvalue()), ("data.tar", data.getvalue()))
    with path.open("wb") as handle:
        handle.write(b"!<arch>\n")
        for name, content in parts:
            handle.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
            handle.write(content + b"\n" * (len(content) % 2))
    return path


def iso(path: Path, files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> Path:
    """An ISO with Rock Ridge names, as every distribution's."""
    disc = pycdlib.PyCdlib()
    disc.new(interchange_level=3, rock_ridge="1.09")
    made: dict[str, str] = {"": ""}

    def folder(name: str) -> str:
        if name not in made:
            above, _, last = name.rpartition("/")
            made[name] = f"{folder(above)}/D{len(made)}"
            disc.add_directory(made[name], rr_name=last)
        return made[name]

    for number, (name, content) in enumerate(files.items()):
        above, _, last = name.rpartition("/")
        disc.add_fp(io.BytesIO(content), len(content), f"{folder(above)}/F{number}.;1", rr_name=last)
    for number, (name, target) in enumerate((links or {}).items()):
        above, _, last = name.rpartition("/")
        disc.add_symlink(f"{folder(above)}/L{number}.;1", last, target)
    disc.write(str(path))
    disc.close()
    return path


UBUNTU = {
    "/.disk/info": b"Ubuntu-Server 24.04 LTS - Release amd64 (20240423)",
    "/casper/vmlinuz": X86_KERNEL,
    "/casper/initrd": b"initrd of ubuntu" * 100,
}


def source_of(files: Mapping[str, bytes], read: Mapping[str, bytes] | None = None) -> Source:
    """A source of these files; `read`: what is read where that is something else."""
    parts = tuple(Part(name, len(content)) for name, content in files.items())

    class Reader:
        def __init__(self, content: bytes) -> None:
            self.content = content

        def read(self, size: int = -1, /) -> bytes:
            now, self.content = self.content[:size], self.content[size:]
            return now

    def contents() -> Contents:
        for part in parts:
            if part.path in (read or files):
                yield part, Reader((read or files)[part.path])

    initrd = tuple(name for name in files if name.startswith("initrd"))
    return Source("d-i.deb", ImageKind.DEBIAN, Architecture.AMD64, parts, contents, "linux", initrd)
