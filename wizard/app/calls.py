"""Blocking calls, so that the screen never waits for one."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from textual.app import App
from textual.message import Message
from textual.worker import Worker, WorkerState, WorkType

from wizard.plan.findings import WizardError

_Value = TypeVar("_Value")

ACTS = frozenset({"answer", "arm", "recover", "release", "start"})
"""The groups that change the machine: nobody leaves in the middle of them."""
ENDS_WITHIN_S = 2.0
# A thread that computes hands over to the screen's this often; Python's own 5 ms add up to a wait at the keys.
_SWITCH_S = 0.001


@dataclass
class CallFinished(Message):
    """`value` for `then`, of call `number` in `group`: what it returned, raised, or told on the way."""

    group: str
    number: int
    then: Callable[[Any], None]
    value: Any


class _End:
    """Passes the end of a thread to the task that awaits it: its exception, if any."""

    def __init__(self, waiting: asyncio.Future[None]) -> None:
        self._waiting = waiting

    def __enter__(self) -> None:
        return

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> bool:
        # Where the screen is gone already nobody waits.
        with suppress(RuntimeError):
            self._waiting.get_loop().call_soon_threadsafe(self._finish, error)
        return True

    def _finish(self, error: BaseException | None) -> None:
        if self._waiting.done():
            return
        if error is None:
            self._waiting.set_result(None)
        else:
            self._waiting.set_exception(error)


class BackgroundCalls:
    """Runs blocking calls in threads; a newer call in a group supersedes the older ones.

    The app hands on each CallFinished to `deliver`, and what becomes of its workers to `take_worker_state`.
    """

    def __init__(self, app: App[Any], show_error: Callable[[WizardError], None]) -> None:
        self._app = app
        self._show_error = show_error
        self._numbers: dict[str, int] = {}
        self._otherwise: dict[str, Callable[[WizardError], None]] = {}
        self._threads: list[tuple[str, threading.Thread]] = []
        sys.setswitchinterval(_SWITCH_S)

    def call(
        self,
        group: str,
        work: Callable[[], _Value],
        then: Callable[[_Value], None],
        otherwise: Callable[[WizardError], None] | None = None,
    ) -> None:
        """Run `work` in a thread; `then` gets what it returns, `otherwise` its WizardError, which else is shown."""
        self._run(group, lambda _number: work(), then, otherwise)

    def stream(
        self,
        group: str,
        work: Callable[[Callable[[_Value], None]], None],
        each: Callable[[_Value], None],
        done: Callable[[], None] | None = None,
        otherwise: Callable[[WizardError], None] | None = None,
    ) -> None:
        """Run `work` in a thread; `each` gets every value that it hands over to the function it is given."""

        def run(number: int) -> None:
            work(lambda value: self._post(CallFinished(group, number, each, value)))

        self._run(group, run, lambda _: done() if done is not None else None, otherwise)

    def _run(
        self,
        group: str,
        work: Callable[[int], _Value],
        then: Callable[[_Value], None],
        otherwise: Callable[[WizardError], None] | None,
    ) -> None:
        number = self._numbers[group] = self._numbers.get(group, 0) + 1
        failed = self._otherwise[group] = otherwise or self._show_error

        def answer() -> None:
            try:
                finished = CallFinished(group, number, then, work(number))
            except WizardError as error:
                finished = CallFinished(group, number, failed, error)
            self._post(finished)

        # Not the coroutine itself: nobody would await that of a worker that is cancelled before it begins.
        begin: WorkType[None] = partial(self._in_thread, group, answer)
        self._app.run_worker(begin, name=group, group=group, exit_on_error=False)

    def _post(self, finished: CallFinished) -> None:
        self._app.post_message(finished)

    async def _in_thread(self, group: str, work: Callable[[], None]) -> None:
        """A thread of our own for each: those of a pool are few, and one that hangs would keep the process for ever."""
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def run() -> None:
            with _End(end):
                work()

        thread = threading.Thread(target=run, name=group, daemon=True)
        self._threads = [(of, each) for of, each in self._threads if each.is_alive()]
        self._threads.append((group, thread))
        thread.start()
        await end

    def drop(self, group: str) -> None:
        """Whatever answer is still to come in this group, nobody waits for it any more."""
        self._numbers[group] = self._numbers.get(group, 0) + 1

    def deliver(self, finished: CallFinished) -> None:
        if self._numbers.get(finished.group) == finished.number:
            finished.then(finished.value)

    def take_worker_state(self, event: Worker.StateChanged) -> None:
        """A defect of ours in a thread must not look like a wait without end."""
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            told = WizardError(f"{event.worker.name}: {type(error).__name__}: {error}.", "This is a bug in the wizard.")
            self._otherwise.get(event.worker.group, self._show_error)(told)

    def await_threads(self) -> None:
        """Once the screen is gone: give what goes on a moment to end, and what changes the machine all of its time."""
        until = time.monotonic() + ENDS_WITHIN_S
        for group, thread in self._threads:
            thread.join(None if group in ACTS else max(until - time.monotonic(), 0))
