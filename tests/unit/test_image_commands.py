"""`ciao-wizard image …` as a script sees it, over a directory of images of its own."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.needs import need
from tests.unit.deploy.image_sources import UBUNTU, X86_KERNEL, initrd, installer_files, iso, package
from wizard.cli import main
from wizard.plan import paths


class Commands:
    """Runs commands, and keeps what they said."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *words: str) -> int:
        status = main(["image", *words])
        self.out, self.err = self._capsys.readouterr()
        assert "Traceback" not in self.err
        return status

    def json(self, *words: str) -> Any:
        self(*words, "--json")
        return json.loads(self.out)


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    monkeypatch.setattr(paths, "IMAGES", str(tmp_path / "images"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return Commands(capsys)


@pytest.fixture
def deb(tmp_path: Path) -> str:
    need("dpkg-deb")
    return str(package(tmp_path / "d-i.deb", installer_files()))


def test_an_image_is_added_listed_checked_and_removed(image: Commands, deb: str, tmp_path: Path) -> None:
    assert image("list") == 0
    assert (image.out, "No images are here" in image.err) == ("", True)

    assert image("add", "Debian12", deb) == 0
    assert image.out == "debian12: 4 files, 1 MiB\n"
    assert "Adding debian12: debian, amd64, 1 MiB of d-i.deb." in image.err
    assert "initrd.gz" in image.err

    assert image("list") == 0
    head, row = image.out.splitlines()
    assert head.split() == ["NAME", "KIND", "ARCH", "SIZE", "STATE", "ADDED", "FROM"]
    assert re.fullmatch(r"debian12  debian  amd64  1 MiB  whole +\d{4}-\d\d-\d\d \d\d:\d\d  d-i\.deb", row)

    assert image("check") == 0
    assert image.out == "debian12: whole\n"
    (tmp_path / "images" / "debian12" / "linux").write_bytes(X86_KERNEL[:-1] + b"?")
    assert image("check", "debian12") == 1
    assert image.out == "debian12: damaged\n  linux: its content is not what was added\n"
    assert "add it again" in image.err

    assert image("remove", "debian12") == 0
    assert image.out == "debian12: removed, 1 MiB freed\n"
    assert image("check") == 0


def test_json(image: Commands, deb: str, tmp_path: Path) -> None:
    assert image.json("list") == []
    assert image.json("check") == []
    added = image.json("add", "debian", deb)
    assert {"name", "kind", "architecture", "kernel", "initrd", "files", "source", "added"} <= added.keys()
    (listed,) = image.json("list")
    assert (listed["state"], listed["problems"], listed["kind"]) == ("whole", [], "debian")
    assert {file["path"]: file["sha256"] for file in listed["files"]} == {
        file["path"]: file["sha256"] for file in added["files"]
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", listed["added"])
    (tmp_path / "images" / "debian" / "linux").unlink()
    (checked,) = image.json("check")
    assert (checked["state"], checked["problems"]) == ("damaged", [{"file": "linux", "problem": "it is missing"}])
    (tmp_path / "images" / "debian" / "manifest.json").unlink()
    (listed,) = image.json("list")
    assert (listed["state"], listed["kind"], listed["files"]) == ("damaged", None, [])
    (removed,) = image.json("remove", "debian")
    assert removed["name"] == "debian"
    assert removed["freed"] > 0


def test_files_and_an_iso(image: Commands, tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").write_bytes(X86_KERNEL)
    (tmp_path / "initrd").write_bytes(initrd())
    words = ["--kernel", str(tmp_path / "vmlinuz"), "--initrd", str(tmp_path / "initrd"), "--kind", "debian"]
    assert image.json("add", "own", *words)["initrd"] == ["initrd"]
    disc = iso(tmp_path / "ubuntu-24.04-live-server-amd64.iso", UBUNTU)
    assert image.json("add", "ubuntu", str(disc))["iso"] == "ubuntu.iso"


def test_what_was_stopped_is_listed_as_incomplete(image: Commands, deb: str, tmp_path: Path) -> None:
    draft = tmp_path / "images" / ".adding-debian"
    draft.mkdir(parents=True)
    (draft / "linux").write_bytes(X86_KERNEL[:100])
    assert image.json("list")[0]["state"] == "incomplete"
    assert image("check") == 1
    assert image.out == "debian: incomplete\n"
    assert image("add", "debian", deb) == 0
    assert image("check") == 0


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["add", "a b", "x"], 2, 'NAME: "a b" is not an image\'s name'),
        (["add", "../x", "x"], 2, "NAME: "),
        (["add", "a", "x", "--kind", "windows"], 2, "--kind: "),
        (["add", "a", "x", "--arch", "mips"], 2, "--arch: "),
        (["add", "a", "/nonexistent"], 2, "No such file"),
        (["add", "a", "/nonexistent\x1b[31m"], 2, "\\x1b[31m: No such file"),
        (["add", "a"], 1, "needs a kernel"),
        (["add", "a", "/etc/passwd"], 1, "neither a Debian package nor an ISO"),
        (["check", "a"], 1, "no image a"),
        (["check", "../a"], 2, "NAME: "),
        (["remove", "a"], 1, "no image a"),
        (["remove", "."], 2, "NAME: "),
    ],
)
def test_what_is_refused_says_why_and_what_to_do(image: Commands, words: list[str], status: int, said: str) -> None:
    assert image(*words) == status
    assert said in image.err
    assert len(image.err.splitlines()) >= 2
    assert image.out == ""


@pytest.mark.parametrize("words", [["add", "a", "x"], ["remove", "a"]])
def test_root_is_asked_for(image: Commands, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    assert image(*words) == 4
    assert f"image {words[0]} needs root" in image.err
    assert "sudo" in image.err


@pytest.mark.parametrize("words", [[], ["list", "x"], ["remove"], ["add"], ["burn"]])
def test_bad_usage(image: Commands, words: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        image(*words)
    assert raised.value.code == 2
