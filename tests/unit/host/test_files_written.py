"""Files that are written: whole or not at all, on a full disk too."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from tests.unit.tiny_disk import on_tiny_disk
from wizard.host.files import make_directory, read_text, remove, write_atomic
from wizard.plan.findings import WizardError

TEMPORARY = ".{}.ciao-tmp"


def test_a_reader_sees_the_old_or_the_new_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    texts = {b"a" * 70_000, b"b" * 50_000}
    write_atomic(str(path), min(texts), 0o644)
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(30):
            for text in texts:
                write_atomic(str(path), text, 0o644)
    finally:
        done.set()
        reader.join()
    assert seen <= texts


def test_what_a_death_left_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / TEMPORARY.format("file")).write_text("half")
    write_atomic(str(tmp_path / "file"), b"whole", 0o644)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    (tmp_path / TEMPORARY.format("file")).write_text("half")
    remove(str(tmp_path / "file"))
    assert list(tmp_path.iterdir()) == []


def test_the_temporary_name_is_none_that_ifupdown_would_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`source interfaces.d/*` leaves hidden files alone."""
    names: list[str] = []
    monkeypatch.setattr(Path, "replace", lambda self, _to: names.append(self.name))
    write_atomic(str(tmp_path / "ciao-cluster"), b"x", 0o644)
    assert names
    assert names[0].startswith(".")


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("theirs")
    (tmp_path / "link").symlink_to("target")
    write_atomic(str(tmp_path / "link"), b"ours", 0o644)
    assert (tmp_path / "target").read_text() == "theirs"
    assert not (tmp_path / "link").is_symlink()


def test_a_trap_in_the_temporarys_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / TEMPORARY.format("file")).symlink_to("theirs")
    write_atomic(str(tmp_path / "file"), b"ours", 0o644)
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_the_mode_is_as_asked_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        write_atomic(str(tmp_path / "file"), b"x", 0o755)
        make_directory(tmp_path / "one" / "two")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o755
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "one", tmp_path / "one" / "two")} == {0o755}


def test_twenty_may_make_one_directory(tmp_path: Path) -> None:
    errors: list[BaseException] = []
    start = threading.Barrier(20)

    def make() -> None:
        start.wait()
        try:
            make_directory(tmp_path / "a" / "b")
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.parametrize("name", ["none/file", "file/below"])
def test_what_cannot_be_written_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WizardError, match=name) as refused:
        write_atomic(str(tmp_path / name), b"x", 0o644)
    assert refused.value.remedy


def test_reading_never_raises_for_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert read_text(str(tmp_path / "none")) is None
    assert read_text(str(tmp_path)) is None
    assert read_text(str(tmp_path / "binary" / "below")) is None
    assert read_text(str(tmp_path / "binary")) == "��"


# Full disks


def test_a_full_disk_leaves_the_old_file_and_nothing_else() -> None:
    script = """
from wizard.host.files import write_atomic
from wizard.plan.findings import WizardError
write_atomic(f"{DISK}/file", b"as it was", 0o644)
fill()
try:
    write_atomic(f"{DISK}/file", bytes(9000), 0o644)
except WizardError as error:
    say(error.message, "|", error.remedy)
say(open(f"{DISK}/file").read(), sorted(os.listdir(DISK)))
"""
    lines = on_tiny_disk(script).splitlines()
    assert lines[0] == "/mnt/file: No space left on device | Make room on that disk and run it again."
    assert lines[1] == "as it was ['ballast', 'file']"


def test_a_full_disk_does_not_keep_anything_from_going_back() -> None:
    script = """
from pathlib import Path
from wizard.host.files import PreImages, write_atomic
images = PreImages(Path(f"{DISK}/before"))
write_atomic(f"{DISK}/file", b"as it was" * 1000, 0o640)
write_atomic(f"{DISK}/short", b"short", 0o640)
os.symlink("there", f"{DISK}/link")
captured = [images.capture(f"{DISK}/{name}") for name in ("file", "short", "link", "none/none")]
for name in ("file", "short"):
    write_atomic(f"{DISK}/{name}", b"ours", 0o600)
os.mkdir(f"{DISK}/none")
write_atomic(f"{DISK}/none/none", b"ours", 0o600)
os.unlink(f"{DISK}/link")
fill()
for image in captured:
    images.restore(image)
say(open(f"{DISK}/file").read() == "as it was" * 1000, open(f"{DISK}/short").read(), os.readlink(f"{DISK}/link"))
say(sorted(os.listdir(DISK)))
"""
    assert on_tiny_disk(script) == "True short there\n['ballast', 'before', 'file', 'link', 'short']\n"


def test_the_second_name_is_found_on_the_files_own_disk() -> None:
    script = """
import tempfile
from pathlib import Path
from wizard.host.files import PreImages, write_atomic
with tempfile.TemporaryDirectory() as elsewhere:
    images = PreImages(Path(elsewhere) / "before", near=Path(DISK) / "near")
    write_atomic(f"{DISK}/file", b"as it was" * 1000, 0o640)
    image = images.capture(f"{DISK}/file")
    write_atomic(f"{DISK}/file", b"ours", 0o600)
    fill()
    images.restore(image)
    say(image["twin"].startswith(f"{DISK}/near/"), open(f"{DISK}/file").read() == "as it was" * 1000)
"""
    assert on_tiny_disk(script) == "True True\n"
