"""An app that asks the machine in threads and never waits for an answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from textual import on
from textual.message import Message
from textual.worker import Worker, WorkerState

from wizard.plan.findings import WizardError
from wizard.widgets.keys import OrderedKeysApp

_Value = TypeVar("_Value")

ACTS = frozenset({"answer", "recover", "release", "start"})
"""The groups that change the machine: nobody leaves in the middle of them."""
ENDS_WITHIN_S = 2.0


class _End:
    """Tells the task that waits for a thread how that ended, a defect too."""

    def __init__(self, waiting: asyncio.Future[None]) -> None:
        self._waiting = waiting

    def __enter__(self) -> None:
        return

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> bool:
        # Where the screen is gone already nobody waits.
        with suppress(RuntimeError):
            self._waiting.get_loop().call_soon_threadsafe(self._tell, error)
        return True

    def _tell(self, error: BaseException | None) -> None:
        if self._waiting.done():
            return
        if error is None:
            self._waiting.set_result(None)
        else:
            self._waiting.set_exception(error)


class AskingApp(OrderedKeysApp):
    """Questions come in groups; only the answer to a group's latest question counts."""

    @dataclass
    class Told(Message):
        """The answer to question `number` of `group`, for `then`."""

        group: str
        number: int
        then: Callable[[Any], None]
        value: Any

    def __init__(self, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self._asked: dict[str, int] = {}
        self._otherwise: dict[str, Callable[[WizardError], None]] = {}
        self._threads: list[tuple[str, threading.Thread]] = []

    def ask(
        self,
        group: str,
        question: Callable[[], _Value],
        then: Callable[[_Value], None],
        otherwise: Callable[[WizardError], None] | None = None,
    ) -> None:
        """Have `question` answered in a thread; `then` gets the answer, `otherwise` a WizardError."""
        number = self._asked.get(group, 0) + 1
        self._asked[group] = number
        self._otherwise[group] = otherwise or self.complain

        def answer() -> None:
            try:
                told = self.Told(group, number, then, question())
            except WizardError as error:
                told = self.Told(group, number, self._otherwise[group], error)
            self.post_message(told)

        self.run_worker(self._in_thread(group, answer), name=group, group=group, exit_on_error=False)

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

    def await_threads(self) -> None:
        """Once the screen is gone: give what goes on a moment to end, and what changes the machine all of its time."""
        until = time.monotonic() + ENDS_WITHIN_S
        for group, thread in self._threads:
            thread.join(None if group in ACTS else max(until - time.monotonic(), 0))

    def drop(self, group: str) -> None:
        """Whatever answer is still to come in this group, nobody waits for it any more."""
        self._asked[group] = self._asked.get(group, 0) + 1

    @on(Told)
    def _deliver(self, message: Told) -> None:
        if self._asked.get(message.group) == message.number:
            message.then(message.value)

    @on(Worker.StateChanged)
    def _report_defect(self, event: Worker.StateChanged) -> None:
        """A defect of ours in a thread must not look like a wait without end."""
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            told = WizardError(
                f"{event.worker.name}: {type(error).__name__}: {error}.", "This is a defect of the wizard."
            )
            self._otherwise.get(event.worker.group, self.complain)(told)

    def complain(self, error: WizardError) -> None:
        self.notify(f"{error.message} {error.remedy}".strip(), severity="error", timeout=10, markup=False)
