"""What an image takes from files, from an ISO and from a Debian package; and what is refused in them."""

from __future__ import annotations

import os
import random
import tarfile
from pathlib import Path

import pytest

from tests.needs import need
from tests.unit.deploy.image_sources import (
    ARM_KERNEL,
    INSTALLER,
    UBUNTU,
    X86_KERNEL,
    forged_package,
    initrd,
    installer_files,
    iso,
    package,
)
from wizard.deploy.images.sources import Given, Source, kernel_architecture, open_source
from wizard.plan.findings import WizardError
from wizard.plan.images import Architecture, ImageKind


def contents(source: Source) -> dict[str, bytes]:
    return {part.path: content.read() for part, content in source.contents()}


def written(directory: Path, **files: bytes) -> list[str]:
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return [str(directory / name) for name in files]


# --- Files.


def test_a_kernel_and_initrds_of_ones_own(tmp_path: Path) -> None:
    kernel, first, second = written(tmp_path, vmlinuz=ARM_KERNEL, first=b"1", second=b"2")
    source = open_source(Given(kernel=kernel, initrd=(first, second)))
    assert (source.kind, source.architecture) == (ImageKind.CUSTOM, Architecture.ARM64)
    assert (source.kernel, source.initrd) == ("vmlinuz", ("first", "second"))
    assert contents(source) == {"vmlinuz": ARM_KERNEL, "first": b"1", "second": b"2"}


def test_a_script_of_ones_own(tmp_path: Path) -> None:
    (script,) = written(tmp_path, boot=b"#!ipxe\nexit\n")
    source = open_source(Given(script=script))
    assert (source.kernel, source.script, contents(source)) == ("", "boot", {"boot": b"#!ipxe\nexit\n"})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Given(), "needs a kernel"),
        (Given(kind=ImageKind.DISK), "has no files"),
        (Given(initrd=("initrd",)), "needs a kernel"),
        (Given(kernel="missing"), "No such file"),
        (Given(kernel="fifo"), "no regular file"),
        (Given(kernel="/dev/zero"), "no regular file"),
        (Given(kernel="."), "no regular file"),
        (Given(kernel="a\0b"), "not a file path"),
        (Given(archive="text"), "neither a Debian package nor an ISO"),
        (Given(archive="empty"), "neither a Debian package nor an ISO"),
        (Given(archive="text", kernel="kernel"), "and files besides"),
        (Given(kernel="kernel", initrd=("other/kernel",)), "two of the files are called kernel"),
        (Given(kernel="manifest.json"), "own list of files"),
        (Given(kernel="a b"), "can be used safely"),
        (Given(kernel="initrd", initrd=("kernel",), kind=ImageKind.TALOS), "no kernel that is known"),
        (Given(kernel="kernel", kind=ImageKind.TALOS), "needs an initrd"),
        (Given(kernel="kernel", initrd=("initrd",), kind=ImageKind.UBUNTU), "needs its ISO"),
        (Given(kernel="kernel", architecture=Architecture.ARM64), "is of amd64, not arm64"),
        (Given(kernel="kernel", initrd=("cd",), kind=ImageKind.DEBIAN), "looks for its packages on a cdrom"),
        (Given(script="text"), "no script of iPXE"),
        (Given(script="script", kernel="kernel"), "custom alone"),
        (Given(script="script", kind=ImageKind.DEBIAN), "custom alone"),
    ],
    ids=str,
)
def test_files_that_are_refused(given: Given, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    for name in ("kernel", "manifest.json", "a b", "other/kernel"):
        (tmp_path / name).write_bytes(X86_KERNEL)
    written(tmp_path, initrd=initrd(), cd=initrd("cdrom"), text=b"text", empty=b"", script=b"#!ipxe\n")
    os.mkfifo("fifo")
    with pytest.raises(WizardError, match=words) as raised:
        open_source(given)
    assert raised.value.remedy


def test_a_medium_that_is_split_between_two_reads_is_found(tmp_path: Path) -> None:
    for size in range((4 << 20) - 40, (4 << 20) + 8, 3):
        kernel, ramdisk = written(tmp_path, linux=X86_KERNEL, initrd=initrd("cdrom", size - 6))
        with pytest.raises(WizardError, match="on a cdrom"):
            open_source(Given(kernel=kernel, initrd=(ramdisk,), kind=ImageKind.DEBIAN))


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (X86_KERNEL, Architecture.AMD64),
        (ARM_KERNEL, Architecture.ARM64),
        (b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0\x64\xaa", Architecture.ARM64),
        (b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0\x64\x86", Architecture.AMD64),
        (b"MZ" + bytes(58) + b"\xff\xff\xff\xff", None),
        (b"\x1f\x8b", None),
        (b"", None),
    ],
)
def test_a_kernel_is_known_by_its_first_bytes(head: bytes, expected: Architecture | None) -> None:
    assert kernel_architecture(head) is expected


# --- Debian packages.


def test_debians_installer(tmp_path: Path) -> None:
    need("dpkg-deb")
    source = open_source(Given(archive=str(package(tmp_path / "d-i.deb", installer_files()))))
    assert (source.kind, source.architecture, source.label) == (ImageKind.DEBIAN, Architecture.AMD64, "d-i.deb")
    assert (source.kernel, source.initrd) == ("linux", ("initrd.gz",))
    taken = {name.rsplit("/", 1)[1]: text for name, text in installer_files().items() if b"not taken" not in text}
    assert contents(source) == taken
    assert {part.path: part.size for part in source.parts} == {name: len(text) for name, text in taken.items()}


def test_the_installer_in_its_rescue_mode(tmp_path: Path) -> None:
    need("dpkg-deb")
    path = package(tmp_path / "d-i.deb", installer_files())
    assert open_source(Given(archive=str(path), kind=ImageKind.RESCUE)).kind is ImageKind.RESCUE


def test_memtest(tmp_path: Path) -> None:
    need("dpkg-deb")
    files = {"boot/memtest86+x64.efi": b"MZ", "boot/memtest86+x64.bin": b"bin", "boot/memtest86+ia32.bin": b"old"}
    source = open_source(Given(archive=str(package(tmp_path / "m.deb", files))))
    assert (source.kind, source.kernel, source.initrd) == (ImageKind.MEMTEST, "memtest86+x64.bin", ())
    assert contents(source) == {"memtest86+x64.bin": b"bin", "memtest86+x64.efi": b"MZ"}


@pytest.mark.parametrize(
    ("files", "given", "words"),
    [
        ({"usr/bin/x": b""}, {}, "no image that is known"),
        ({f"{INSTALLER}/linux": X86_KERNEL}, {}, "no image that is known"),
        (installer_files("cdrom"), {}, "looks for its packages on a cdrom"),
        (installer_files(), {"kind": ImageKind.TALOS}, "not talos"),
        (installer_files(), {"architecture": Architecture.ARM64}, "of amd64, not arm64"),
    ],
)
def test_packages_that_are_refused(
    files: dict[str, bytes], given: dict[str, object], words: str, tmp_path: Path
) -> None:
    need("dpkg-deb")
    path = package(tmp_path / "d-i.deb", files)
    with pytest.raises(WizardError, match=words) as raised:
        open_source(Given(archive=str(path), **given))  # type: ignore[arg-type]
    assert raised.value.remedy


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


KERNEL = f"./{INSTALLER}/linux"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([member(KERNEL, tarfile.SYMTYPE, "/etc/shadow")], "a link or a device"),
        ([member("./etc/shadow"), member(KERNEL, tarfile.LNKTYPE, "./etc/shadow")], "a link or a device"),
        ([member(KERNEL, tarfile.CHRTYPE)], "a link or a device"),
        ([member(KERNEL, tarfile.FIFOTYPE)], "a link or a device"),
        ([member("./../../etc/cron.d/x")], "outside of its directory"),
        ([member("/etc/cron.d/x")], "outside of its directory"),
        ([member("./usr/../../etc/x")], "outside of its directory"),
        ([member(KERNEL), member(KERNEL)], "twice"),
    ],
)
def test_links_and_paths_that_lead_out_of_a_package_are_refused(
    members: list[tarfile.TarInfo], words: str, tmp_path: Path
) -> None:
    need("dpkg-deb")
    path = forged_package(tmp_path / "forged.deb", members, {KERNEL: X86_KERNEL})
    with pytest.raises(WizardError, match=words):
        open_source(Given(archive=str(path)))


def test_a_package_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    need("dpkg-deb")
    path = package(tmp_path / "d-i.deb", installer_files())
    whole = path.read_bytes()
    for length in (70, 200, 2000, len(whole) // 2, len(whole) - 4000):
        path.write_bytes(whole[:length])
        with pytest.raises(WizardError) as raised:
            open_source(Given(archive=str(path)))
        assert raised.value.message


# --- ISOs.


def test_ubuntus_iso_is_kept_whole_beside_its_kernel(tmp_path: Path) -> None:
    path = iso(tmp_path / "ubuntu-24.04-live-server-amd64.iso", UBUNTU)
    source = open_source(Given(archive=str(path)))
    assert (source.kind, source.architecture, source.iso) == (ImageKind.UBUNTU, Architecture.AMD64, "ubuntu.iso")
    assert (source.kernel, source.initrd) == ("vmlinuz", ("initrd",))
    assert contents(source) == {
        "vmlinuz": UBUNTU["/casper/vmlinuz"],
        "initrd": UBUNTU["/casper/initrd"],
        "ubuntu.iso": path.read_bytes(),
    }
    assert {part.path: part.size for part in source.parts} == {
        name: len(text) for name, text in contents(source).items()
    }


def test_debians_mini_iso_and_talos(tmp_path: Path) -> None:
    mini = open_source(Given(archive=str(iso(tmp_path / "mini.iso", {"/linux": X86_KERNEL, "/initrd.gz": initrd()}))))
    assert (mini.kind, mini.kernel, mini.iso) == (ImageKind.DEBIAN, "linux", "")
    files = {"/boot/vmlinuz": X86_KERNEL, "/boot/initramfs.xz": b"xz"}
    talos = open_source(Given(archive=str(iso(tmp_path / "talos.iso", files))))
    assert (talos.kind, talos.initrd) == (ImageKind.TALOS, ("initramfs.xz",))


@pytest.mark.parametrize(
    ("files", "links", "words"),
    [
        ({"/a": b"x"}, {}, "no installer that is known"),
        ({"/install.amd/vmlinuz": X86_KERNEL, "/install.amd/initrd.gz": initrd("cdrom")}, {}, "on a CD"),
        ({"/linux": X86_KERNEL, "/initrd.gz": initrd("cdrom")}, {}, "on a cdrom"),
        ({"/casper/vmlinuz": X86_KERNEL}, {}, "no /casper/initrd"),
        ({"/casper/initrd": b"x"}, {"/casper/vmlinuz": "../../../../etc/shadow"}, "is a link"),
        ({"/casper/vmlinuz/x": b"x"}, {}, "no installer that is known"),
    ],
)
def test_isos_that_are_refused(files: dict[str, bytes], links: dict[str, str], words: str, tmp_path: Path) -> None:
    path = iso(tmp_path / "some.iso", files, links)
    with pytest.raises(WizardError, match=words) as raised:
        open_source(Given(archive=str(path)))
    assert raised.value.remedy


def test_an_iso_that_is_damaged_ends_in_words(tmp_path: Path) -> None:
    path = iso(tmp_path / "u.iso", UBUNTU)
    whole = path.read_bytes()
    chance = random.Random(14)  # noqa: S311
    for _ in range(150):
        damaged = bytearray(whole[: chance.choice([len(whole), chance.randrange(0x8006, len(whole))])])
        for _ in range(chance.choice([1, 20, 200])):
            damaged[chance.randrange(0x8006, len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            contents(open_source(Given(archive=str(path))))
        except WizardError as error:
            assert error.message.isprintable()  # noqa: PT017


def test_an_iso_with_a_directory_in_itself_ends_in_words(tmp_path: Path) -> None:
    path = iso(tmp_path / "u.iso", {"/folder/x": b"x", "/linux": X86_KERNEL})
    content = bytearray(path.read_bytes())
    # ECMA-119: the root's record is at 156 of the sixteenth sector; a record has its extent at 2 and its flags at 25.
    root = int.from_bytes(content[16 * 2048 + 158 : 16 * 2048 + 162], "little")
    at = root * 2048
    while content[at]:
        name = bytes(content[at + 33 : at + 33 + content[at + 32]])
        if content[at + 25] & 2 and name not in (b"\0", b"\1"):
            content[at + 2 : at + 10] = root.to_bytes(4, "little") + root.to_bytes(4, "big")
        at += content[at]
    path.write_bytes(content)
    with pytest.raises(WizardError, match="cannot be read"):
        open_source(Given(archive=str(path)))
