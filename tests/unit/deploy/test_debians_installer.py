"""Debian's own installer package, as apt fetches it: 133 MB."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.needs import need, unavailable
from wizard.deploy.images.sources import Given, open_source
from wizard.deploy.images.store import ImageState, ImageStore
from wizard.plan.images import Architecture, ImageKind

pytestmark = pytest.mark.slow


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("release", ["12", "13"])
def test_debians_installer_becomes_an_image(release: str, tmp_path: Path) -> None:
    need("apt-get", "dpkg-deb")
    name = f"debian-installer-{release}-netboot-amd64"
    fetched = subprocess.run(
        ["apt-get", "-qq", "-oAPT::Sandbox::User=root", "download", name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if fetched.returncode:
        unavailable(f"{name} is not to be had here: {fetched.stderr[-200:]}")
    (package,) = tmp_path.glob("*.deb")
    source = open_source(Given(archive=str(package)))
    store = ImageStore(str(tmp_path / "images"))
    manifest = store.add(f"debian{release}", source)

    assert (manifest.kind, manifest.architecture) == (ImageKind.DEBIAN, Architecture.AMD64)
    assert {file.path for file in manifest.files} == {"linux", "initrd.gz", "bootnetx64.efi", "grubx64.efi"}
    assert store.check(f"debian{release}").state is ImageState.WHOLE
