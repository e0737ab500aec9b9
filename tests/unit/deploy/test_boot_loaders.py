"""The boot loaders, out of Debian's package."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.needs import need
from tests.unit.deploy.image_sources import package
from wizard.deploy.images.loaders import copy_loaders, missing_loaders
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
