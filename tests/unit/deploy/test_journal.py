"""The journal: whatever a power cut or a disk makes of it, what is read is true, and what is lost is said."""

from __future__ import annotations

import json
import os
import stat
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tiny_disk import on_tiny_disk
from wizard.deploy.journal import Journal, JournalContents, parse
from wizard.host import processes
from wizard.plan.findings import WizardError

Record = dict[str, Any]

ABSENT = {"path": "/etc/x", "kind": "absent", "missing_parents": []}


def line(record: Record) -> bytes:
    """A record as the journal has it; written down here, so that the format cannot change unnoticed."""
    body = json.dumps(record, separators=(",", ":"), sort_keys=True)
    return f"{zlib.crc32(body.encode()):08x} {body}\n".encode()


def apply(steps: str, end: str, **begin: Any) -> list[Record]:
    """The records of an apply of these steps that came to `end`."""
    records: list[Record] = [{"t": "begin", "kind": "apply", "boot": "b", **begin}]
    for step in steps:
        records.append({"t": "before", "step": step, "image": {**ABSENT, "of": f"{step}{begin.get('n', '')}"}})
        records.append({"t": "done", "step": step})
    return [*records, *({"t": word} for word in end.split())]


def text(*records: Record) -> bytes:
    return b"".join(line(record) for record in records)


def meaning(reading: JournalContents) -> list[tuple[Record, list[tuple[str, Record]], str]]:
    return [(t.begin, t.steps, t.phase) for t in reading.transactions]


FULL = [*apply("ab", "trial kept applied", n=1), *apply("bc", "reverting reverted", n=2), *apply("d", "", n=3)]
RAW = text(*FULL)


# What it says


def test_what_is_appended_is_read_and_private(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "state"))
    journal.begin(kind="apply", source="x")
    for record in apply("ab", "trial")[1:]:
        journal.append(record)
    (one,) = journal.read().transactions
    assert (one.begin["kind"], one.begin["boot"], one.open) == ("apply", processes.boot_id(), True)
    assert [step for step, _ in one.steps] == ["a", "b"]
    assert one.same_boot
    assert stat.S_IMODE(journal.root.stat().st_mode) == 0o700
    assert {stat.S_IMODE(f.stat().st_mode) for f in journal.root.iterdir()} == {0o600}


def test_the_directory_comes_to_be_with_its_first_record_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that is missing is then always one that was lost, and never one that was not yet written."""
    journal = Journal(str(tmp_path / "state"))
    seen: list[bool] = []
    monkeypatch.setattr(Path, "rename", lambda self, _to: seen.append((self / "journal").stat().st_size > 0))
    journal.begin(kind="apply")
    assert seen == [True]
    assert not journal.exists()


@pytest.mark.parametrize(
    ("records", "in_force", "settled", "is_open"),
    [
        (apply("a", "trial"), None, False, True),
        (apply("a", "kept"), None, False, True),
        (apply("a", "kept applied", n=1), 1, True, False),
        (apply("a", "reverted"), None, False, False),
        ([*apply("a", "applied", n=1), *apply("b", "reverted", n=2)], 1, True, False),
        ([*apply("a", "applied", n=1), *apply("b", "kept", n=2)], 1, False, True),
        ([*apply("a", "applied", n=1), {"t": "begin", "kind": "reset"}], 1, False, True),
        ([*apply("a", "applied", n=1), {"t": "begin", "kind": "reset"}, {"t": "reverted"}], None, False, False),
    ],
)
def test_what_is_in_force(records: list[Record], in_force: int | None, settled: bool, is_open: bool) -> None:
    reading = parse(text(*records))
    assert (reading.in_force.begin["n"] if reading.in_force else None) == in_force
    assert (reading.settled, reading.last is not None and reading.last.open) == (settled, is_open)
    assert reading.damage == ()


def test_the_first_image_of_each_step_counts_but_not_of_what_was_taken_back() -> None:
    records = [*apply("ab", "applied", n=1), *apply("bc", "reverted", n=2), *apply("ac", "applied", n=3)]
    images = parse(text(*records)).first_images()
    assert [(step, image["of"]) for step, image in images] == [("a", "a1"), ("b", "b1"), ("c", "c3")]


def test_what_was_written_is_that_of_the_last_apply_in_force() -> None:
    records = [*apply("a", ""), {"t": "applied", "files": {"/etc/x": "older"}}]
    records += [*apply("a", ""), {"t": "applied", "files": {"/etc/x": "newer"}}]
    records += apply("a", "reverted")
    assert parse(text(*records)).written() == {"/etc/x": "newer"}
    assert parse(text(*apply("a", "trial"))).written() == {}


# A power cut at any byte


def test_cut_at_any_byte_what_was_whole_is_read() -> None:
    for cut in range(len(RAW)):
        reading = parse(RAW[:cut])
        whole = RAW[:cut].count(b"\n")
        # A record whose line end alone is missing is whole.
        whole += RAW[:cut] + b"\n" == RAW[: cut + 1]
        assert meaning(reading) == meaning(parse(text(*FULL[:whole]))), cut
        inside = RAW[:cut] not in (text(*FULL[:whole]), text(*FULL[:whole])[:-1])
        assert reading.torn == inside, cut
        assert bool(reading.damage) == (whole == 0), cut


def test_what_is_appended_after_a_cut_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _fd: None)
    journal = Journal(str(tmp_path))
    for cut in range(len(RAW)):
        journal.path.write_bytes(RAW[:cut])
        before = parse(RAW[:cut])
        journal.append({"t": "begin", "kind": "reset"})
        after = journal.read()
        assert meaning(after) == [*meaning(before), ({"t": "begin", "kind": "reset"}, [], "begin")], cut
        assert not after.torn, cut
        assert after.damage == (), cut


def test_a_tail_of_zeros_is_a_torn_one(tmp_path: Path) -> None:
    """What some filesystems leave of a write that a power cut caught."""
    journal = Journal(str(tmp_path))
    journal.path.write_bytes(RAW + bytes(100))
    assert journal.read().torn
    assert journal.read().damage == ()
    journal.append({"t": "applied"})
    assert meaning(journal.read()) == meaning(parse(RAW + line({"t": "applied"})))


# Damage


def test_a_changed_byte_never_goes_unnoticed() -> None:
    def told(reading: JournalContents) -> set[str]:
        return {json.dumps(r) for t in reading.transactions for r in (t.begin, *(i for _, i in t.steps))}

    for at in range(len(RAW)):
        changed = parse(RAW[:at] + bytes([RAW[at] ^ 0x01]) + RAW[at + 1 :])
        assert changed.damage or changed.torn or meaning(changed) == meaning(parse(RAW)), at
        assert told(changed) <= told(parse(RAW)) | {json.dumps({"t": "begin"})}, "something was read that nobody wrote"


@pytest.mark.parametrize("which", range(len(FULL) - 1))
def test_a_lost_line_is_named(which: int) -> None:
    lines = RAW.splitlines(keepends=True)
    lines[which] = b"x" * (len(lines[which]) - 1) + b"\n"
    assert f"line {which + 1} of the journal is damaged" in parse(b"".join(lines)).damage


def test_what_follows_a_lost_beginning_does_not_hide_behind_what_was_kept() -> None:
    """The machine is in the middle of something, although the last thing that can be read is an end."""
    lines = text(*apply("a", "applied"), *apply("b", "")).splitlines(keepends=True)
    at = next(n for n, one in enumerate(lines) if n and b'"t":"begin"' in one)
    reading = parse(b"".join([*lines[:at], b"garbage\n", *lines[at + 1 :]]))
    assert reading.last is not None
    assert reading.last.open
    assert [step for step, _ in reading.last.steps] == ["b"]
    assert not reading.last.same_boot
    assert not reading.settled
    assert len(reading.damage) == 2


def test_a_lost_image_is_named() -> None:
    records = apply("ab", "applied")
    reading = parse(text(*(r for r in records if r.get("step") != "a" or r["t"] != "before")))
    assert reading.damage == ("the journal does not say what was there before a",)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "the journal is empty"),
        (b"\n\n\n", "nothing in the journal can be read"),
        (bytes(range(1, 250)) * 20, "nothing in the journal can be read"),
        (line({"t": "before", "step": "a", "image": ABSENT}), "no beginning"),
        (line({"t": "before"}), "nothing in the journal can be read"),
        (line({"t": "begin"}) + line({"t": "before", "step": "a", "image": 7}) + b"\n", "line 2"),
        (line({"t": "begin"}) + line({"t": "done", "step": {}}) + b"\n", "line 2"),
        (line({"t": "begin"}) + line({"t": ["x"]}) + b"\n", "line 2"),
        (line({"t": "begin"}) + line({"t": "strange"}) + b"\n", "line 2"),
        (line({"t": "begin"}) + line({"t": "applied", "files": [1]}) + b"\n", "line 2"),
    ],
)
def test_damage_is_said_in_words(raw: bytes, words: str) -> None:
    assert words in "; ".join(parse(raw).damage)


def test_missing_and_unreadable_are_said(tmp_path: Path) -> None:
    assert Journal(str(tmp_path / "none")).read() == JournalContents(())
    assert Journal(str(tmp_path)).read().damage == ("the journal is missing",)
    (tmp_path / "journal").mkdir()
    assert Journal(str(tmp_path)).read().damage == ("the journal cannot be read: Is a directory",)


@given(st.binary(max_size=400))
def test_no_bytes_whatever_are_too_much(raw: bytes) -> None:
    reading = parse(raw)
    assert reading.damage or reading.transactions or reading.torn


WORDS = st.sampled_from(["begin", "before", "done", "trial", "kept", "applied", "reverting", "reverted"])
STEPS = st.sampled_from(["one", "another", "file:/etc/x"])


@given(st.lists(st.tuples(WORDS, STEPS), max_size=30), st.integers(0, 4000), st.binary(max_size=30))
def test_any_history_cut_and_soiled_anywhere(history: list[tuple[str, str]], at: int, soil: bytes) -> None:
    records = [{"t": word, "step": step, "image": {**ABSENT, "n": n}} for n, (word, step) in enumerate(history)]
    raw = text(*records)
    reading = parse(raw[:at] + soil + raw[at:])
    known = [r["image"] for r in records]
    assert all(image in known for _, image in reading.first_images())
    if raw[:at] + soil + raw[at:] == raw:
        assert not any("line" in d for d in reading.damage)
        assert sum(len(t.steps) for t in reading.transactions) == sum(r["t"] == "before" for r in records)


# Room


def test_on_a_full_disk_the_end_can_still_be_written() -> None:
    script = """
from wizard.deploy.journal import Journal
from wizard.plan.findings import WizardError
journal = Journal(f"{DISK}/state")
journal.begin(kind="apply")
fill()
for _ in range(100):
    journal.append({"t": "reverting", "why": "x" * 100})
journal.append({"t": "reverted"})
say(journal.read().last.phase, journal.reserve.exists())
journal.remove()
say(os.listdir(DISK) == ["ballast"])
"""
    assert on_tiny_disk(script) == "reverted False\nTrue\n"


def test_without_room_nothing_begins_and_nothing_is_left() -> None:
    script = """
from wizard.deploy.journal import Journal
from wizard.plan.findings import WizardError
fill()
try:
    Journal(f"{DISK}/state").begin(kind="apply")
except WizardError as error:
    say(error.message)
say(os.listdir(DISK) == ["ballast"])
"""
    said = on_tiny_disk(script).splitlines()
    assert "journal cannot be written: No space left on device" in said[0]
    assert said[1] == "True"


def test_a_journal_that_cannot_be_written_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(WizardError, match="cannot be written") as refused:
        Journal(str(tmp_path / "state")).begin(kind="apply")
    assert "Nothing is changed" in refused.value.remedy


# Its end


def test_forgetting_leaves_nothing_and_may_be_cut_off(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "state"))
    journal.begin(kind="apply")
    (tmp_path / "file").write_text("x")
    journal.images.capture(str(tmp_path / "file"))
    journal.images.root.joinpath("other").write_text("half")
    journal.remove()
    journal.remove()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_only_what_can_still_be_gone_back_to_is_kept(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "state"))
    target = tmp_path / "file"
    target.write_text("first")
    for content in ("second", "third"):
        journal.begin(kind="apply")
        journal.append({"t": "before", "step": "x", "image": {"inner": [journal.images.capture(str(target))]}})
        target.unlink()
        target.write_text(content)
        journal.append({"t": "applied"})
        journal.prune()
    ((_, first),) = journal.read().first_images()
    journal.images.restore(first["inner"][0])
    assert target.read_text() == "first"
    assert len(list(journal.images.root.iterdir())) == 1
