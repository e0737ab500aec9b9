"""One at a time, one answer, one who takes it back: locks, marks, decisions and the deadline."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_for
from wizard.deploy import runtime_state
from wizard.deploy.apply import engine, session
from wizard.deploy.apply.engine import ApplyRequest, Engine
from wizard.deploy.apply.lock import BusyMarker, ChangeLock, wait_for_orphans
from wizard.deploy.apply.session import EngineSession
from wizard.deploy.events import EventWriter, read_events
from wizard.host import commands, processes
from wizard.plan.findings import WizardError


def myself() -> processes.Process:
    me = processes.identify(os.getpid())
    assert me is not None
    return me


def elsewhere(code: str, run_dir: Path) -> subprocess.Popen[str]:
    """A process that runs `code` with our modules; it has said "ready" when this returns."""
    beginning = (
        "import os, signal, sys, time\nfrom pathlib import Path\nfrom wizard.plan import paths\n"
        f"paths.RUN = {str(run_dir)!r}\nfrom wizard.deploy.apply import lock\n"
        f"lock.LOCK_FILE = Path({str(run_dir / 'lock')!r})\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", f"{beginning}{code}\nprint('ready', flush=True)\nsignal.pause()"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


# The lock


def test_the_second_is_refused_and_told_who_is_at_it(run_dir: Path) -> None:
    holder = elsewhere("held = lock.ChangeLock('ciao-wizard apply')", run_dir)
    try:
        with pytest.raises(WizardError, match=rf"ciao-wizard apply \(process {holder.pid}\)"):
            ChangeLock("ciao-wizard reset")
    finally:
        end(holder)
    ChangeLock("ciao-wizard reset")


def test_of_twenty_one_gets_it(run_dir: Path) -> None:
    got: list[ChangeLock] = []
    refused: list[str] = []

    def attempt() -> None:
        try:
            got.append(ChangeLock("ciao-wizard apply"))
        except WizardError as error:
            refused.append(error.message)

    threads = [threading.Thread(target=attempt) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 19)


def test_whoever_comes_while_something_is_taken_back_waits_for_it(run_dir: Path) -> None:
    holder = elsewhere("held = lock.ChangeLock('ciao-wizard rollback')", run_dir)
    threading.Timer(0.3, end, (holder,)).start()
    begun = time.monotonic()
    ChangeLock("ciao-wizard apply")
    assert 0.2 < time.monotonic() - begun < 5


def test_whoever_reads_the_result_may_begin_the_next_run(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "installed_state", lambda: "applied")
    monkeypatch.setattr(runtime_state, "ENGINE_STATE", str(run_dir / "work.json"))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    begun: list[ChangeLock] = []

    class Events(EventWriter):
        def result(self, *_: Any, **__: Any) -> None:
            begun.append(ChangeLock("ciao-wizard apply"))

    EngineSession("apply", Events(), ()).run(lambda task: task.end("kept", ""))
    assert len(begun) == 1


def test_no_child_keeps_it(run_dir: Path) -> None:
    holder = elsewhere(
        "held = lock.ChangeLock('x'); import subprocess; subprocess.Popen(['sleep', '5'], stdout=2)", run_dir
    )
    end(holder)
    ChangeLock("ciao-wizard apply")


def test_a_lock_on_a_file_that_was_removed_locks_nobody_out(run_dir: Path) -> None:
    first = ChangeLock("ciao-wizard apply")
    first.remove()
    ChangeLock("ciao-wizard apply")


def test_the_directory_may_go_at_any_moment(run_dir: Path) -> None:
    """A run that leaves nothing takes it away while the next one comes."""
    stop, taken = threading.Event(), 0

    def take_away() -> None:
        nonlocal taken
        # Without a pause it may take the directory away for minutes, each time before the lock is made in it.
        while not stop.wait(0.0001):
            with suppress(OSError):
                run_dir.rmdir()
                taken += 1

    thread = threading.Thread(target=take_away)
    thread.start()
    try:
        for _ in range(200):
            held = ChangeLock("x")
            held.remove()
            os.close(held.fd)
    finally:
        stop.set()
        thread.join()
    assert taken > 0, "nothing was taken away: this test is for nothing"


# What outlives an engine that was killed


@pytest.fixture
def marked(run_dir: Path) -> Iterator[BusyMarker]:
    mark = BusyMarker()
    yield mark
    commands.inherit()


def test_a_command_of_a_dead_run_is_waited_for(run_dir: Path) -> None:
    code = "lock.BusyMarker(); from wizard.host import commands; import threading; from pathlib import Path\n"
    code += "order = 'cd ' + paths.RUN + '; : >begun; sleep 0.7; : >late'\n"
    code += "threading.Thread(target=commands.run, args=('sh', '-c', order)).start()\n"
    dead = elsewhere(code + "while not Path(paths.RUN, 'begun').exists(): time.sleep(0.01)", run_dir)
    end(dead)
    assert not (run_dir / "late").exists()
    wait_for_orphans()
    assert (run_dir / "late").exists()
    assert list(run_dir.glob("busy.*")) == []


def test_what_was_started_to_stay_is_not_waited_for(run_dir: Path) -> None:
    code = "lock.BusyMarker(); from wizard.host import commands\n"
    code += "commands.detach(['sleep', '3'], paths.RUN + '/log')"
    end(elsewhere(code, run_dir))
    begun = time.monotonic()
    wait_for_orphans()
    assert time.monotonic() - begun < 1


def test_what_was_started_to_stay_keeps_no_directory_busy(run_dir: Path, tmp_path: Path) -> None:
    """Whoever starts it may stand on a stick that is to be taken out."""
    run_dir.mkdir(exist_ok=True)
    code = f"import os; os.chdir({str(tmp_path)!r}); from wizard.host import commands\n"
    code += f"commands.detach(['sh', '-c', 'pwd; ls -l /proc/self/fd; echo done'], {str(run_dir / 'log')!r})"
    end(elsewhere(code, run_dir))
    log = run_dir / "log"
    wait_for(lambda: log.exists() and log.read_text().endswith("done\n"), "what was started has told")
    said = log.read_text()
    assert said.startswith("/\n")
    assert str(tmp_path) not in said.replace(str(log), "")


def test_our_own_mark_is_not_waited_for(marked: BusyMarker) -> None:
    begun = time.monotonic()
    wait_for_orphans()
    assert time.monotonic() - begun < 1
    marked.remove()
    assert not marked.path.exists()


def test_a_worker_that_goes_on_without_its_watchman_is_ended(run_dir: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", "import sys; exec(sys.argv[1])", _MARKED.format(run=str(run_dir)), "engine", "apply"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    wait_for_orphans()
    assert other.wait(5) == -signal.SIGKILL
    other.communicate()


_MARKED = """
import signal
from wizard.plan import paths
paths.RUN = {run!r}
from wizard.deploy.apply import lock
mark = lock.BusyMarker()
print("ready", flush=True)
signal.pause()
"""


# Answers


def test_of_all_answers_the_first_counts(run_dir: Path) -> None:
    won: list[str] = []
    start = threading.Barrier(40)

    def answer(word: str) -> None:
        start.wait()
        if runtime_state.record_decision(word, myself()):
            won.append(word)

    threads = [threading.Thread(target=answer, args=(word,)) for word in ["keep", "revert"] * 20]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert runtime_state.read_decision(myself()) == won[0]


def test_an_answer_to_the_one_before_is_none_to_the_next(run_dir: Path) -> None:
    assert runtime_state.record_decision("keep", replace(myself(), started=1))
    assert runtime_state.read_decision(myself()) is None
    runtime_state.forget_decisions()
    assert list(run_dir.iterdir()) == []


def test_there_is_nothing_to_answer_where_nobody_works(run_dir: Path) -> None:
    assert not runtime_state.record_decision("keep")
    runtime_state.write_json(runtime_state.ENGINE_STATE, {"process": {"pid": os.getpid(), "started": 1, "boot": "x"}})
    assert runtime_state.running_engine() is None
    assert not runtime_state.record_decision("keep")


def test_events_that_nobody_reads_any_longer_go(run_dir: Path) -> None:
    runtime_state.run_directory()
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = [f"events-{dead.pid}-1.jsonl", f"order-{dead.pid}-1.json", f"events-{os.getpid()}-1.jsonl", "events-x"]
    for name in names:
        (run_dir / name).touch()
    runtime_state.remove_orphaned_events()
    assert sorted(p.name for p in run_dir.iterdir()) == [f"events-{os.getpid()}-1.jsonl", "events-x"]


# The deadline


class Moments:
    """A clock that goes on by itself a little at every look."""

    def __init__(self, *more: float) -> None:
        self.now = 1000.0
        self.looks = 0
        self.more = more

    def __call__(self) -> float:
        self.looks += 1
        self.now += 0.4
        return self.now


class Waiting:
    """An engine that waits for its answer, and nothing else of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.clock = Moments()
        monkeypatch.setattr(runtime_state, "boottime", self.clock)
        monkeypatch.setattr(engine, "TICK_S", 0)
        monkeypatch.setattr(engine, "trial_health", lambda: "")
        self.engine = Engine(ApplyRequest("", "", confirm_within=seconds))
        monkeypatch.setattr(self.engine.journal, "append", lambda _record: None)
        self.work: dict[str, Any] = {}

        class Run:
            me = myself()
            publish = staticmethod(lambda **more: self.work.update(more))

        self.run: Any = Run()

    def answer(self) -> str | None:
        return self.engine.await_answer(self.run)


def test_the_deadline_counts_seconds_since_boot_and_no_clock_moves_it(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set back by an hour, forward by a day: the time of day is never looked at. Suspend counts."""

    def moved() -> float:
        raise AssertionError("the time of day was asked for")

    monkeypatch.setattr(time, "time", moved)
    monkeypatch.setattr(time, "monotonic", moved)
    waiting = Waiting(monkeypatch, 120)
    assert waiting.answer() == "no answer within 120 s"
    assert 290 <= waiting.clock.looks <= 310
    assert waiting.work["deadline"] == pytest.approx(1120, abs=1)
    assert runtime_state.read_decision(myself()) == "revert"
    assert not runtime_state.record_decision("keep", myself()), "a later one does not count"


def test_boottime_is_the_clock_that_goes_on_through_suspend() -> None:
    assert runtime_state.boottime() == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=1)


@pytest.mark.parametrize(("word", "said"), [("keep", None), ("revert", "taken back on request")])
def test_an_answer_ends_the_waiting(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, word: str, said: str | None
) -> None:
    waiting = Waiting(monkeypatch, 120)
    runtime_state.record_decision(word, myself())
    assert waiting.answer() == said


def test_a_gateway_that_fails_meanwhile_ends_it_too(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(monkeypatch, 120)
    monkeypatch.setattr(engine, "trial_health", lambda: "the gateway ended by itself during the trial")
    assert waiting.answer() == "the gateway ended by itself during the trial"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (None, "ended by itself"),
        ({"mode": "armed", "code": ""}, ""),
        ({"mode": "muted", "code": "no-carrier", "reason": "no cable"}, ""),
        ({"mode": "muted", "code": "unproven", "reason": "asking"}, ""),
        ({"mode": "muted", "code": "nic-gone", "reason": "eth1 is not there"}, "eth1 is not there"),
        ({"mode": "tripped", "code": "foreign-dhcp", "reason": "10.0.0.1 answers"}, "10.0.0.1 answers"),
    ],
)
def test_what_ends_a_trial_by_itself(monkeypatch: pytest.MonkeyPatch, told: dict[str, str] | None, words: str) -> None:
    monkeypatch.setattr(runtime_state, "running_guard", lambda: told)
    found = engine.trial_health()
    assert words in found
    assert bool(words) == bool(found)


# Events


def test_events_reach_every_file_that_can_be_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("trap")
    files = [str(tmp_path / name) for name in ("one", "none/x", "pipe", "link", "two")]
    teller = EventWriter(*files)
    teller.step("rules", "done", "fine")
    teller.result("kept", "done")
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text()
    assert not (tmp_path / "trap").exists()
    with (tmp_path / "one").open("rb") as handle:
        told = list(read_events(handle, lambda: False))
    assert [event and (event.get("step") or event.get("result")) for event in told] == ["rules", "kept"]


@pytest.mark.parametrize(
    ("content", "alive", "seen"),
    [
        (b'{"step": 1}\n{"result": "kept"}\n{"step": 2}\n', True, [{"step": 1}, {"result": "kept"}]),
        (b'rubbish\n[1]\n{"step": 1}\n{"half', False, [{"step": 1}]),
        (b"", False, []),
    ],
)
def test_following_ends_at_the_result_or_with_the_engine(
    tmp_path: Path, content: bytes, alive: bool, seen: list[Any]
) -> None:
    (tmp_path / "events").write_bytes(content)
    with (tmp_path / "events").open("rb") as handle:
        assert list(read_events(handle, lambda: alive)) == seen


def test_events_are_followed_as_they_come(tmp_path: Path) -> None:
    file = tmp_path / "events"
    file.touch()
    with file.open("rb") as handle:
        events = read_events(handle, lambda: True, patience=0)
        assert next(events) is None
        steps: list[Callable[[], object]] = [
            lambda: file.write_bytes(b'{"step"'),
            lambda: file.write_bytes(b'{"step": 1}\n'),
        ]
        steps[0]()
        assert next(events) is None
        steps[1]()
        assert next(event for event in events if event) == {"step": 1}
