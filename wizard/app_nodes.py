"""What the app does for the pages in the middle of the set-up: nodes and forwards."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.message import Message

from wizard import screens
from wizard.screens import messages
from wizard.widgets.page import StepPage
from wizard.widgets.speaking import SpeakingApp

if TYPE_CHECKING:
    import threading

    from wizard.host.listening import Heard
    from wizard.plan.findings import WizardError
    from wizard.plan.judge import Judgement

# A thread that computes hands over to the screen's this often; Python's own 5 ms add up to a wait at the keys.
_SWITCH_S = 0.001


class NodesPages(SpeakingApp):
    """Mixed into the app."""

    @dataclass
    class HeardTold(Message):
        """These ask behind the NIC that `page` listens on until `stop` is set."""

        page: screens.NodesPage
        machines: tuple[Heard, ...]
        until: threading.Event

    def __init__(self, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        sys.setswitchinterval(_SWITCH_S)

    @on(StepPage.JudgeWanted)
    def _judge_draft(self, message: StepPage.JudgeWanted) -> None:
        def judge() -> Judgement:
            from wizard.plan.judge import judgement

            return judgement(message.draft, message.facts)

        self.ask("judge", judge, message.page.take_judgement)

    @on(messages.ListenWanted)
    def _listen_privileged(self, message: messages.ListenWanted) -> None:
        # root hears at once; everybody else is asked for the password outside the screen first.
        self.when_privileged(partial(self._listen, message))

    def _listen(self, message: messages.ListenWanted) -> None:
        page, stop = message.page, message.until

        def tell(machines: tuple[Heard, ...]) -> None:
            self.post_message(self.HeardTold(page, machines, stop))

        def deaf(error: WizardError) -> None:
            page.deaf(f"{error.message} {error.remedy}".strip(), stop)

        self.ask("listen", partial(self.services.listen, message.nic, stop, tell), lambda _: None, deaf)

    @on(HeardTold)
    def _show_heard(self, message: HeardTold) -> None:
        if message.page is self._page:
            message.page.hear(message.machines, message.until)

    @on(messages.ListFileWanted)
    def _read_list_file(self, message: messages.ListFileWanted) -> None:
        dialog = message.dialog
        self.ask("list", partial(self.services.read_list, message.path), dialog.opened, dialog.refused)

    @on(messages.ListReadWanted)
    def _read_list(self, message: messages.ListReadWanted) -> None:
        self.ask("lines", message.read, partial(message.dialog.take, message.text))

    # Vendors

    @on(messages.VendorsWanted)
    def _look_up_vendors(self, message: messages.VendorsWanted) -> None:
        self.ask("vendors", lambda: self.services.vendors(message.macs), self._vendors_told)

    def _vendors_told(self, vendors: dict[str, str]) -> None:
        if isinstance(self._page, screens.NodesPage):
            self._page.vendors = {**self._page.vendors, **vendors}
