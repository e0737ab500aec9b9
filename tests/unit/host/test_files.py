"""Files that are put back: exactly what they were."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wizard.host.files import PreImages, make_directory, write_atomic
from wizard.plan.findings import WizardError

TEMPORARY = ".{}.ciao-tmp"


def looks(path: Path) -> dict[str, Any] | None:
    """A file in every respect that an undo must restore; None where there is none."""
    try:
        info = path.lstat()
    except FileNotFoundError:
        return None
    seen: dict[str, Any] = {"mode": info.st_mode, "owner": (info.st_uid, info.st_gid)}
    if stat.S_ISLNK(info.st_mode):
        return seen | {"target": path.readlink()}
    if stat.S_ISDIR(info.st_mode):
        return seen | {"inside": sorted(p.name for p in path.iterdir())}
    names = os.listxattr(path)
    return seen | {
        "content": path.read_bytes(),
        "time": info.st_mtime_ns,
        "xattrs": {name: os.getxattr(path, name) for name in names},
    }


def tree(root: Path) -> dict[str, Any]:
    return {str(p.relative_to(root)): looks(p) for p in [root, *sorted(root.rglob("*"))]}


def old_file(path: Path, content: bytes = b"as it was\n", mode: int = 0o640) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(1_234_567_890_123_456_789, 1_234_567_890_123_456_789))
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc"


@pytest.fixture
def images(tmp_path: Path) -> PreImages:
    return PreImages(tmp_path / "before")


# What may happen between capture and restore


def nothing(path: Path) -> None:
    pass


def rewritten(path: Path) -> None:
    write_atomic(str(path), b"ours\n", 0o600)


def written_twice(path: Path) -> None:
    rewritten(path)
    write_atomic(str(path), b"ours, and longer\n", 0o755)


def cut_off_in_the_middle(path: Path) -> None:
    path.with_name(TEMPORARY.format(path.name)).write_bytes(b"half")


def edited_in_place(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    with path.open("ab") as handle:
        handle.write(b"somebody was here\n")


def mode_changed(path: Path) -> None:
    rewritten(path)
    path.chmod(0o777)


def removed(path: Path) -> None:
    path.unlink(missing_ok=True)


def made_a_link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/nowhere")


HAPPENINGS = [
    nothing,
    rewritten,
    written_twice,
    cut_off_in_the_middle,
    edited_in_place,
    mode_changed,
    removed,
    made_a_link,
]


def a_file(path: Path) -> None:
    old_file(path)


def an_empty_file(path: Path) -> None:
    old_file(path, b"", 0o000)


def a_setuid_binary(path: Path) -> None:
    old_file(path, bytes(range(256)) * 999, 0o4755)


def with_attributes(path: Path) -> None:
    old_file(path)
    try:
        os.setxattr(path, "user.note", b"\x00\xff")
    except OSError as error:
        pytest.skip(f"no extended attributes here: {error}")
    os.utime(path, ns=(1_234_567_890_123_456_789, 1_234_567_890_123_456_789))


def of_somebody_else(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files to others")
    old_file(path)
    os.chown(path, 1234, 4321)


def a_link(path: Path) -> None:
    path.symlink_to("../elsewhere")


def nothing_there(path: Path) -> None:
    pass


BEGINNINGS = [a_file, an_empty_file, a_setuid_binary, with_attributes, of_somebody_else, a_link, nothing_there]


@pytest.mark.parametrize("happens", HAPPENINGS)
@pytest.mark.parametrize("begins", BEGINNINGS)
@pytest.mark.parametrize("has_twin", [True, False])
def test_whatever_happens_it_is_put_back_exactly(
    place: Path, images: PreImages, begins: Callable[..., None], happens: Callable[..., None], has_twin: bool
) -> None:
    path = place / "file"
    begins(path)
    before = tree(place)
    image = images.capture(str(path))
    if not has_twin:
        image["twin"] = ""
    assert tree(place) == before, "to look is not to touch"
    happens(path)
    for _ in range(2):
        images.restore(image)
        assert tree(place) == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    content=st.binary(max_size=5000),
    mode=st.integers(0, 0o7777),
    time_ns=st.integers(0, 2**32 * 10**9),
    new=st.binary(max_size=100),
)
def test_any_content_mode_and_time(tmp_path: Path, content: bytes, mode: int, time_ns: int, new: bytes) -> None:
    path, images = tmp_path / "file", PreImages(tmp_path / "before")
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(time_ns, time_ns))
    before, image = looks(path), images.capture(str(path))
    write_atomic(str(path), new, 0o600)
    images.restore(image)
    assert looks(path) == before


def test_the_very_file_comes_back(place: Path, images: PreImages) -> None:
    """Whoever has it open, or linked, still has it."""
    path = old_file(place / "file")
    inode = path.stat().st_ino
    image = images.capture(str(path))
    rewritten(path)
    assert path.stat().st_ino != inode
    images.restore(image)
    assert path.stat().st_ino == inode
    assert path.stat().st_nlink == 1


def test_two_captures_in_a_row_go_back_in_turn(place: Path, images: PreImages) -> None:
    path = old_file(place / "file", b"first\n")
    first = images.capture(str(path))
    rewritten(path)
    between, second = looks(path), images.capture(str(path))
    write_atomic(str(path), b"third\n", 0o600)
    images.restore(second)
    assert looks(path) == between
    images.restore(first)
    assert path.read_bytes() == b"first\n"


def test_a_missing_file_takes_its_missing_directories_with_it(place: Path, images: PreImages) -> None:
    before = tree(place)
    deep = place / "a" / "b" / "file"
    image = images.capture(str(deep))
    make_directory(deep.parent)
    write_atomic(str(deep), b"x", 0o644)
    images.restore(image)
    assert tree(place) == before


def test_a_directory_that_somebody_else_uses_by_now_stays(place: Path, images: PreImages) -> None:
    deep = place / "a" / "file"
    image = images.capture(str(deep))
    make_directory(deep.parent)
    (deep.parent / "theirs").write_text("theirs")
    write_atomic(str(deep), b"x", 0o644)
    images.restore(image)
    assert sorted(p.name for p in place.rglob("*")) == ["a", "theirs"]


def test_what_is_neither_file_nor_link_is_left_alone(place: Path, images: PreImages) -> None:
    (place / "dir").mkdir()
    os.mkfifo(place / "pipe")
    before = tree(place / "dir")
    for name in ("dir", "pipe"):
        image = images.capture(str(place / name))
        assert image["kind"] == "other"
        images.restore(image)
    assert tree(place / "dir") == before
    assert (place / "pipe").is_fifo()


def test_a_damaged_copy_is_never_put_back(place: Path, images: PreImages) -> None:
    path = old_file(place / "file")
    image = images.capture(str(path))
    rewritten(path)
    (images.root / image["digest"]).write_bytes(b"rubbish")
    with pytest.raises(WizardError, match="damaged"):
        images.restore({**image, "twin": ""})
    assert path.read_bytes() == b"ours\n"
    images.restore(image)
    assert path.read_bytes() == b"as it was\n", "the second name is still the true file"


def test_a_second_name_that_was_changed_is_never_put_back(place: Path, images: PreImages) -> None:
    path = old_file(place / "file")
    image = images.capture(str(path))
    rewritten(path)
    Path(image["twin"]).write_bytes(b"rubbish")
    images.restore(image)
    assert path.read_bytes() == b"as it was\n"


def test_a_lost_copy_is_said(place: Path, images: PreImages) -> None:
    path = old_file(place / "file")
    image = images.capture(str(path))
    rewritten(path)
    for file in images.root.iterdir():
        file.unlink()
    with pytest.raises(WizardError, match="cannot be read: No such file"):
        images.restore(image)


def test_copies_are_private_and_repaired(place: Path, images: PreImages) -> None:
    path = old_file(place / "file")
    image = images.capture(str(path))
    assert stat.S_IMODE(images.root.stat().st_mode) == 0o700
    assert stat.S_IMODE((images.root / image["digest"]).stat().st_mode) == 0o600
    (images.root / image["digest"]).write_bytes(b"rubbish")
    images.capture(str(path))
    assert images.content(image) == b"as it was\n"


def test_only_what_is_needed_is_kept(place: Path, images: PreImages) -> None:
    one, other = old_file(place / "one"), old_file(place / "other", b"other\n")
    image, _ = images.capture(str(one)), images.capture(str(other))
    rewritten(one)
    images.prune([("step", {"files": [image]})])
    assert len(list(images.root.iterdir())) == 2
    images.restore(image)
    assert one.read_bytes() == b"as it was\n"
