"""Following a file that is written anew in place."""

import itertools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from wizard.monitor import lease_file
from wizard.monitor.lease_file import SETTLED_SECONDS, LeaseFile

ONE = "0 b8:ae:ed:7b:51:50 192.168.0.101 controller *\n"
TWO = ONE + "0 c0:3f:d5:63:ea:dd 192.168.0.104 compute1 *\n"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tenant_dns.leases"


STAMPS = itertools.count(1_000_000, 1_000_000)
"""No two writes are of one moment, in nanoseconds."""


def write(path: Path, text: str, age: float = 60) -> None:
    """In place, as dnsmasq does, and as if some time ago."""
    with path.open("r+" if path.exists() else "w") as file:
        file.truncate()
        file.write(text)
    at = time.time_ns() - int(age * 1e9) + next(STAMPS)
    os.utime(path, ns=(at, at))


def macs(file: LeaseFile) -> list[str]:
    return [lease.mac[-2:] for lease in file.read()]


def test_a_change_is_seen_and_read(path: Path) -> None:
    write(path, ONE)
    file = LeaseFile(path)
    assert file.changed()
    assert macs(file) == ["50"]
    assert not file.changed()

    write(path, TWO)

    assert file.changed()
    assert macs(file) == ["50", "dd"]
    assert not file.changed()


@pytest.mark.parametrize("torn", ["", TWO[:70], ONE + "0 c0:3f"])
def test_a_moment_of_a_rewrite_loses_nothing(path: Path, torn: str) -> None:
    clock = Clock()
    write(path, TWO)
    file = LeaseFile(path, clock)
    assert macs(file) == ["50", "dd"]

    write(path, torn)
    assert macs(file) == ["50", "dd"]
    clock.now += SETTLED_SECONDS / 2
    assert macs(file) == ["50", "dd"]
    assert file.changed()

    write(path, ONE)
    assert macs(file) == ["50"]
    assert file.problem == ""


@pytest.mark.parametrize(("lasting", "left"), [("", []), (ONE + "0 c0:3f", ["50"])])
def test_what_lasts_is_believed(path: Path, lasting: str, left: list[str]) -> None:
    clock = Clock()
    write(path, TWO)
    file = LeaseFile(path, clock)
    file.read()

    write(path, lasting)
    file.read()
    clock.now += SETTLED_SECONDS

    assert macs(file) == left
    assert not file.changed()
    assert bool(file.unparsed) == bool(file.problem) == bool(lasting)


def test_a_file_that_goes_is_missed_at_once_and_believed_gone_later(path: Path) -> None:
    clock = Clock()
    write(path, ONE)
    file = LeaseFile(path, clock)
    file.read()

    path.unlink()
    assert macs(file) == ["50"]
    assert file.problem == "there is no lease file"
    clock.now += SETTLED_SECONDS
    assert macs(file) == []
    assert not file.changed()

    write(path, TWO)
    assert file.changed()
    assert macs(file) == ["50", "dd"]
    assert file.problem == ""


def test_no_file_at_all(path: Path) -> None:
    file = LeaseFile(path)

    assert file.read() == ()
    assert file.problem == "there is no lease file"


def _link(path: Path) -> None:
    path.with_suffix(".other").write_text(TWO)
    path.symlink_to(path.with_suffix(".other"))


def _large(path: Path) -> None:
    path.touch()
    os.truncate(path, lease_file.MAX_BYTES + 1)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: path.mkdir(), "not a plain file"),
        (os.mkfifo, "not a plain file"),
        (_link, "symbolic link"),
        (_large, "larger than"),
    ],
)
def test_what_is_no_lease_file_is_not_read(path: Path, make: Callable[[Path], None], problem: str) -> None:
    write(path, ONE)
    file = LeaseFile(path)
    file.read()
    path.unlink()
    make(path)

    assert macs(file) == ["50"]
    assert problem in file.problem
    assert file.changed()


def test_while_dnsmasq_writes_no_reader_sees_less(path: Path) -> None:
    whole = "".join(f"0 02:11:22:33:44:{i:02x} 192.168.0.{i} vm{i} *\n" for i in range(250))
    path.write_text(whole)
    file = LeaseFile(path)
    assert len(file.read()) == 250
    done = threading.Event()

    def rewrite() -> None:
        while not done.is_set():
            with path.open("r+b", buffering=0) as out:
                out.truncate()
                for start in range(0, len(whole), 4096):
                    out.write(whole[start : start + 4096].encode())
                    time.sleep(0.001)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        seen = {len(file.read()) for _ in range(15)}
    finally:
        done.set()
        writer.join()

    assert seen == {250}
    assert len(file.read()) == 250


def test_lines_are_not_parsed_again(path: Path) -> None:
    write(path, ONE)
    file = LeaseFile(path)
    before = file.read()[0]

    write(path, TWO)

    assert file.read()[0] is before
