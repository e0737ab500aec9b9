"""The directories that armed nodes fetch from by TFTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from wizard.deploy.tftp_root import lay_down
from wizard.plan import paths
from wizard.plan.netboot import ArmedNode, Served, Stage, Times


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "TFTP_ROOT", str(tmp_path / "tftp"))
    return tmp_path / "tftp"


def node(number: int, **files: Served) -> ArmedNode:
    tftp = {path.replace("__", "/"): each for path, each in files.items()}
    return ArmedNode(f"n{number}", f"10.0.0.{number}", (), "x", Times.ONCE, "", tftp=tftp)


def test_each_has_its_own_while_it_is_armed(root: Path) -> None:
    kernel = Served(Stage.KERNEL, file="/images/linux")
    first = node(1, kernel__linux=kernel, grub__grub=Served(Stage.SCRIPT, text="boot\n"))
    lay_down([first, node(2, linux=kernel)])
    assert (root / "10.0.0.1/kernel/linux").readlink() == Path("/images/linux")
    assert (root / "10.0.0.1/grub/grub").read_text() == "boot\n"
    # dnsmasq has a user of its own.
    assert (root / "10.0.0.1/grub/grub").stat().st_mode & 0o777 == 0o644
    before = (root / "10.0.0.1").stat().st_ino
    (root / "left").write_text("")
    lay_down([first])
    assert {path.name for path in root.iterdir()} == {"10.0.0.1"}
    assert (root / "10.0.0.1").stat().st_ino == before
    lay_down([node(1, grub__grub=Served(Stage.SCRIPT, text="exit\n"))])
    assert {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} == {"10.0.0.1/grub/grub"}
    assert (root / "10.0.0.1/grub/grub").read_text() == "exit\n"
    lay_down([])
    assert list(root.iterdir()) == []


def test_what_was_left_half_made_is_made_again(root: Path) -> None:
    (root / "new-10.0.0.1").mkdir(parents=True)
    (root / "new-10.0.0.1/linux").write_text("half")
    lay_down([node(1, linux=Served(Stage.KERNEL, file="/images/linux"))])
    assert [str(path.relative_to(root)) for path in root.rglob("*")] == ["10.0.0.1", "10.0.0.1/linux"]
