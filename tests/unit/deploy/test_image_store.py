"""The store of images: whole or gone whatever kills it, checked against what was added, readable by its server."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.deploy.image_sources import source_of
from tests.unit.tiny_disk import on_tiny_disk
from wizard.deploy import failpoints
from wizard.deploy.images import store as store_module
from wizard.deploy.images.sources import Source
from wizard.deploy.images.store import ImageState, ImageStore
from wizard.plan.findings import WizardError

MIB = 1 << 20
FILES = {"linux": os.urandom(MIB + 17), "initrd.gz": os.urandom(3 * MIB)}


def source(files: dict[str, bytes] = FILES, read: dict[str, bytes] | None = None) -> Source:
    return source_of(files, read)


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(str(tmp_path / "images"))


def states(store: ImageStore) -> dict[str, ImageState]:
    return {image.name: image.state for image in store.images()}


def everything(store: ImageStore) -> dict[str, bytes]:
    return {str(path.relative_to(store.root)): path.read_bytes() for path in store.root.rglob("*") if path.is_file()}


def test_what_was_added_is_there_with_its_checksums(store: ImageStore) -> None:
    assert store.images() == ()
    told: list[tuple[str, int, int]] = []
    manifest = store.add("debian", source(), lambda *progress: told.append(progress))

    assert {file.path: file.sha256 for file in manifest.files} == {
        name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()
    }
    assert (manifest.kernel, manifest.initrd, manifest.source) == ("linux", ("initrd.gz",), "d-i.deb")
    assert {name: (store.directory("debian") / name).read_bytes() for name in FILES} == FILES
    (image,) = store.images()
    assert (image.state, image.manifest) == (ImageState.WHOLE, manifest)
    assert store.manifests() == {"debian": manifest}
    assert store.check("debian").state is ImageState.WHOLE
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert told[-1] == ("initrd.gz", manifest.size, manifest.size)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_whoever_serves_it_can_read_and_not_write(store: ImageStore, umask: int) -> None:
    before = os.umask(umask)
    try:
        store.add("debian", source())
    finally:
        os.umask(before)
    modes = {str(path.relative_to(store.root)): stat.S_IMODE(path.stat().st_mode) for path in store.root.rglob("*")}
    assert modes == {
        ".lock": 0o600,
        "debian": 0o755,
        "debian/linux": 0o644,
        "debian/initrd.gz": 0o644,
        "debian/manifest.json": 0o644,
    }
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_user_of_the_server_reads_it() -> None:
    def succeeds(*argv: str | Path) -> bool:
        done = subprocess.run(argv, user=60868, group=60868, extra_groups=[], capture_output=True, check=False)
        return done.returncode == 0

    with tempfile.TemporaryDirectory() as place:
        # As /var/lib is; pytest's own directories are root's alone.
        Path(place).chmod(0o755)
        store = ImageStore(f"{place}/images")
        store.add("debian", source())
        for name in (*FILES, "manifest.json"):
            path = store.directory("debian") / name
            assert succeeds("cat", path)
            assert not succeeds("dd", "if=/dev/null", f"of={path}")
        assert not succeeds("touch", store.directory("debian") / "new")
        assert not succeeds("cat", store.root / ".lock")


def test_a_name_that_is_taken_is_refused(store: ImageStore) -> None:
    store.add("debian", source())
    before = everything(store)
    with pytest.raises(WizardError, match="an image debian already"):
        store.add("debian", source({"linux": b"other", "initrd.gz": b"x"}))
    assert everything(store) == before


def test_a_disk_without_room_is_told_before_anything_is_copied(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.root.mkdir()
    disk = os.statvfs(store.root)
    monkeypatch.setattr(store_module, "MARGIN_BYTES", disk.f_bavail * disk.f_frsize)
    with pytest.raises(WizardError, match=r"takes 5 MiB, and the disk of .* has .* free"):
        store.add("debian", source())
    assert set(everything(store)) == {".lock"}


def test_a_disk_that_fills_up_on_the_way_keeps_nothing() -> None:
    script = """
from pathlib import Path
from tests.unit.deploy.image_sources import source_of
from wizard.deploy.images import store
from wizard.plan.findings import WizardError

store.MARGIN_BYTES = 0
try:
    images = store.ImageStore(f"{DISK}/images")
    images.add("debian", source_of({"linux": bytes(3 << 20), "initrd.gz": bytes(1 << 20)}), lambda *_: fill())
except WizardError as error:
    say(error.message)
say(sorted(path.name for path in Path(DISK, "images").iterdir()))
"""
    assert on_tiny_disk(script, 8192).splitlines() == ["no room is left on the disk of /mnt/images", "['.lock']"]


PROBLEMS: dict[str, Callable[[Path], object]] = {
    "linux: its content is not what was added": lambda image: flip(image / "linux"),
    "linux: it has 3 bytes, not 1048593": lambda image: (image / "linux").write_bytes(b"cut"),
    "linux: it is missing": lambda image: (image / "linux").unlink(),
    "linux: it is a link": lambda image: replaced(image / "linux").symlink_to("/etc/passwd"),
    "linux: it is no regular file": lambda image: make_fifo(replaced(image / "linux")),
    "linux: the netboot server may not read it": lambda image: (image / "linux").chmod(0o600),
    "linux: others may write to it": lambda image: (image / "linux").chmod(0o666),
    "extra: it was not added with the image": lambda image: (image / "extra").write_bytes(b""),
    "manifest.json: it cannot be read": lambda image: (image / "manifest.json").write_text("{"),
    "manifest.json: it is of an image debian": lambda image: image.rename(image.with_name("other")),
}


def replaced(path: Path) -> Path:
    path.unlink()
    return path


def make_fifo(path: Path) -> None:
    os.mkfifo(path, 0o644)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[MIB // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_check_says_which_file_is_damaged_and_how(store: ImageStore, problem: str) -> None:
    store.add("debian", source())
    PROBLEMS[problem](store.directory("debian"))
    (name,) = states(store)
    found = store.check(name)
    assert found.state is ImageState.DAMAGED
    assert [f"{each.file}: {each.problem}" for each in found.problems] == [problem]
    # What a look can see without reading, a list shows too.
    assert states(store)[name] is (ImageState.WHOLE if "content" in problem else ImageState.DAMAGED)
    if "content" not in problem:
        assert store.manifests() == {}


def test_what_is_not_there_is_told_with_what_is(store: ImageStore) -> None:
    store.add("debian", source())
    for ask in (store.check, store.remove):
        with pytest.raises(WizardError, match="no image other") as raised:
            ask("other")
        assert "debian" in raised.value.remedy


def test_remove(store: ImageStore) -> None:
    store.add("debian", source())
    store.add("other", source())
    assert store.remove("debian") > sum(map(len, FILES.values()))
    assert states(store) == {"other": ImageState.WHOLE}
    store.remove_all()
    assert not store.root.exists()
    assert list(store.root.parent.iterdir()) == []


def test_an_image_that_is_armed_stays(store: ImageStore) -> None:
    store.add("debian", source())
    before = everything(store)
    with pytest.raises(WizardError, match="armed for node1, node2"):
        store.remove("debian", ("node1", "node2"))
    assert everything(store) == before


@pytest.mark.parametrize(
    "read",
    [
        {"linux": FILES["linux"], "initrd.gz": FILES["initrd.gz"] + b"more"},
        {"linux": FILES["linux"], "initrd.gz": FILES["initrd.gz"][:-1]},
        {"linux": FILES["linux"]},
    ],
    ids=["longer", "shorter", "gone"],
)
def test_a_source_that_changes_while_it_is_read_leaves_nothing(store: ImageStore, read: dict[str, bytes]) -> None:
    with pytest.raises(WizardError, match="changed while it was read"):
        store.add("debian", source(read=read))
    assert set(everything(store)) == {".lock"}


def test_two_at_a_time_are_refused(store: ImageStore) -> None:
    def second(*_: object) -> None:
        with pytest.raises(WizardError, match="another image is being added"):
            ImageStore(str(store.root)).add("other", source())

    store.add("debian", source(), second)
    assert states(store) == {"debian": ImageState.WHOLE}


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_directory_that_others_may_write_to_is_refused(store: ImageStore, mode: int) -> None:
    store.root.mkdir()
    store.root.chmod(mode)
    with pytest.raises(WizardError, match="only root can write"):
        store.add("debian", source())


def test_what_lies_about_is_no_image(store: ImageStore, tmp_path: Path) -> None:
    store.add("debian", source())
    (store.root / "file").write_text("x")
    (store.root / "link").symlink_to(tmp_path)
    assert states(store) == {"debian": ImageState.WHOLE}


# --- Killed. The child dies by itself at the named moment, and no code of its own runs after that.


def killed_at(moment: str, action: Callable[[], object]) -> bool:
    """Run `action` in a child that is killed at a moment; False where it came to its end before."""
    child = os.fork()
    if child == 0:

        def hit(name: str) -> None:
            if name == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        failpoints.hit = hit
        try:
            action()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def moments(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> list[str]:
    passed: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(failpoints, "hit", passed.append)
        action()
    return list(dict.fromkeys(passed))


def test_killed_anywhere_while_adding_it_is_whole_or_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = moments(monkeypatch, lambda: ImageStore(str(tmp_path / "first")).add("debian", source()))
    assert passed == [
        "image:begun",
        "image:copying:linux",
        "image:copied:linux",
        "image:copying:initrd.gz",
        "image:copied:initrd.gz",
        "image:manifest",
        "image:named",
    ]
    for number, moment in enumerate(passed):
        store = ImageStore(str(tmp_path / str(number)))
        assert killed_at(moment, lambda at=store: at.add("debian", source()))  # type: ignore[misc]
        whole = moment == "image:named"
        assert states(store) == {"debian": ImageState.WHOLE if whole else ImageState.INCOMPLETE}, moment
        assert store.manifests().keys() == ({"debian"} if whole else set())
        if not whole:
            store.add("debian", source())
        assert store.check("debian").state is ImageState.WHOLE
        assert set(everything(store)) == {".lock", "debian/linux", "debian/initrd.gz", "debian/manifest.json"}


def test_killed_while_removing_it_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ImageStore(str(tmp_path / "first"))
    first.add("debian", source())
    passed = moments(monkeypatch, lambda: first.remove("debian"))
    assert passed == ["image:gone", "image:removed"]
    for number, moment in enumerate(passed):
        store = ImageStore(str(tmp_path / str(number)))
        store.add("debian", source())
        assert killed_at(moment, lambda at=store: at.remove("debian"))  # type: ignore[misc]
        assert states(store) == {}
        store.add("other", source())
        assert {name.split("/")[0] for name in everything(store)} == {".lock", "other"}


def test_it_goes_on_where_it_was_and_trusts_nothing(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut a file may have its length, and zeros in it."""
    assert killed_at("image:copied:initrd.gz", lambda: store.add("debian", source()))
    left = store.root / ".adding-debian" / "initrd.gz"
    content = left.read_bytes()
    left.write_bytes(content[:MIB] + bytes(MIB) + content[2 * MIB :] + b"too long")
    written: list[int] = []
    pwrite = os.pwrite

    def counted(fd: int, data: memoryview, at: int) -> int:
        written.append(at)
        return pwrite(fd, data, at)

    monkeypatch.setattr(os, "pwrite", counted)
    store.add("debian", source())
    assert written == [MIB]
    assert store.check("debian").state is ImageState.WHOLE


def test_of_another_source_nothing_is_left(store: ImageStore) -> None:
    assert killed_at("image:manifest", lambda: store.add("debian", source()))
    draft = store.root / ".adding-debian"
    (draft / "vmlinuz").symlink_to("/etc/passwd")
    (draft / "folder").mkdir()
    store.add("debian", replace(source({"vmlinuz": b"k"}), kernel="vmlinuz"))
    assert set(everything(store)) == {".lock", "debian/vmlinuz", "debian/manifest.json"}
    assert (store.directory("debian") / "vmlinuz").read_bytes() == b"k"


def test_what_is_incomplete_can_be_removed(store: ImageStore) -> None:
    assert killed_at("image:copied:linux", lambda: store.add("debian", source()))
    store.remove("debian")
    assert set(everything(store)) == {".lock"}


def test_every_failpoint_of_the_store_is_killed_at() -> None:
    text = Path(store_module.__file__ or "").read_text()
    assert len(re.findall(r"failpoints\.hit\(", text)) == 10
