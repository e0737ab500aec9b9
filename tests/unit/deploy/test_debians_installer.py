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
def test_debians_installer_becomes_an_image(tmp_path: Path) -> None:
    need("apt-get", "dpkg-deb")
    # A release has that of its own.
    for release in ("12", "13"):
        name = f"debian-installer-{release}-netboot-amd64"
        argv = ["apt-get", "-qq", "-oAPT::Sandbox::User=root", "download", name]
        fetched = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        if fetched.returncode == 0:
            break
    else:
        unavailable(f"{name} is not to be had here: {fetched.stderr[-200:]}")
    (package,) = tmp_path.glob("*.deb")
    source = open_source(Given(archive=str(package)))
    store = ImageStore(str(tmp_path / "images"))
    manifest = store.add("debian", source)

    assert (manifest.kind, manifest.architecture) == (ImageKind.DEBIAN, Architecture.AMD64)
    assert {file.path for file in manifest.files} == {"linux", "initrd.gz", "bootnetx64.efi", "grubx64.efi"}
    assert store.check("debian").state is ImageState.WHOLE
