"""The boot loaders, out of Debian's package."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.needs import need
from tests.unit.deploy.image_sources import package
from wizard.deploy.images.loaders import check_signed_loaders, copy_loaders, missing_loaders
from wizard.plan import paths
from wizard.plan.findings import WizardError


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    need("dpkg-deb")
    monkeypatch.setattr(paths, "BOOT_LOADERS", str(tmp_path / "images" / ".loaders"))
    return tmp_path / "images" / ".loaders"


def test_they_are_copied_by_the_names_that_are_served(tmp_path: Path, directory: Path) -> None:
    assert len(missing_loaders()) == 3
    files = {f"usr/lib/ipxe/{name}": name.encode() for name in ("undionly.kpxe", "ipxe-arm64.efi", "ipxe.pxe")}
    files["etc/grub.d/20_ipxe"] = b"the entry in the boot menu"
    assert copy_loaders(package(tmp_path / "ipxe.deb", files)) == ("snponly-arm64.efi", "undionly.kpxe")
    assert {file.name: file.read_bytes() for file in directory.iterdir()} == {
        "undionly.kpxe": b"undionly.kpxe",
        "snponly-arm64.efi": b"ipxe-arm64.efi",
    }
    assert missing_loaders() == ("snponly.efi",)
    assert directory.stat().st_mode & 0o777 == 0o755


def test_a_package_without_any_is_refused(tmp_path: Path, directory: Path) -> None:
    with pytest.raises(WizardError, match="no boot loader"):
        copy_loaders(package(tmp_path / "other.deb", {"usr/lib/ipxe/readme": b"x"}))
    assert not directory.exists()


def test_secure_boot_and_raspberry_pis_have_packages_of_their_own(tmp_path: Path, directory: Path) -> None:
    with pytest.raises(WizardError, match=r"shimx64.efi, grubx64.efi.*Secure Boot"):
        check_signed_loaders()
    installer = "usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64"
    packages = {
        "shim": {"usr/lib/shim/shimx64.efi.signed": b"shim", "usr/lib/shim/shimx64.efi": b"not signed"},
        "grub": {
            f"usr/lib/grub/x86_64-efi-signed/{name}.efi.signed": name.encode() for name in ("grubnetx64", "grubx64")
        },
        "pi": {
            "usr/lib/raspi-firmware/start4.elf": b"4",
            "usr/lib/linux-image-6/broadcom/bcm2711-rpi-4-b.dtb": b"tree",
        },
    }
    for name, files in packages.items():
        copy_loaders(package(tmp_path / f"{name}.deb", files))
    check_signed_loaders()
    assert {file.name: file.read_bytes() for file in directory.iterdir()} == {
        "shimx64.efi": b"shim",
        "grubx64.efi": b"grubnetx64",
        "start4.elf": b"4",
        "bcm2711-rpi-4-b.dtb": b"tree",
    }
    both = {f"{installer}/bootnetx64.efi": b"his shim", f"{installer}/grubx64.efi": b"his grub"}
    assert copy_loaders(package(tmp_path / "installer.deb", both)) == ("grubx64.efi", "shimx64.efi")
    assert (directory / "grubx64.efi").read_bytes() == b"his grub"


def test_a_directory_has_them_by_their_own_names(tmp_path: Path, directory: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    for name in ("start4.elf", "snponly.efi", "other"):
        (given / name).write_text(name)
    # Root reads it, and everybody may read the copy.
    (given / "grubx64.efi").symlink_to("/etc/shadow")
    assert copy_loaders(given) == ("snponly.efi", "start4.elf")
    assert {file.name for file in directory.iterdir()} == {"snponly.efi", "start4.elf"}
