"""An app that asks the machine in threads and never waits for an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from textual.message import Message
from textual.worker import Worker, WorkerState

from wizard.plan.findings import WizardError
from wizard.widgets.keys import OrderedKeysApp

_Value = TypeVar("_Value")


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

        self.run_worker(answer, name=group, group=group, thread=True, exit_on_error=False)

    def drop(self, group: str) -> None:
        """Whatever answer is still to come in this group, nobody waits for it any more."""
        self._asked[group] = self._asked.get(group, 0) + 1

    def on_asking_app_told(self, message: Told) -> None:
        if self._asked.get(message.group) == message.number:
            message.then(message.value)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A defect of ours in a thread must not look like a wait without end."""
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            told = WizardError(
                f"{event.worker.name}: {type(error).__name__}: {error}.", "This is a defect of the wizard."
            )
            self._otherwise.get(event.worker.group, self.complain)(told)

    def complain(self, error: WizardError) -> None:
        self.notify(f"{error.message} {error.remedy}".strip(), severity="error", timeout=10, markup=False)
