"""Follows nodes that boot for their page; arms, disarms and wakes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual.timer import Timer

from wizard.plan.findings import WizardError
from wizard.screens.boot import messages
from wizard.screens.boot.screen import BootPage
from wizard.screens.controller import Controller, handles, words_of
from wizard.widgets.page import plural

if TYPE_CHECKING:
    from wizard.actions.outcome import NodeOutcome
    from wizard.monitor.boot_board import BootBoard
    from wizard.screens.shell import Shell

EVERY_S = 1.0
AGAIN_S = 3.0


class BootController(Controller):
    def __init__(self, shell: Shell) -> None:
        super().__init__(shell)
        self._looking = False
        self._next_look: Timer | None = None

    @property
    def page(self) -> BootPage | None:
        page = self.shell.page
        return page if isinstance(page, BootPage) else None

    def open(self) -> BootPage:
        self.shell.after_refresh(self._look)
        return BootPage(self.shell.services.now)

    # Looking

    def _look(self) -> None:
        if self._looking:
            return
        if self._next_look is not None:
            self._next_look.stop()
        if self.page is not None:
            self._looking = True
            self.shell.calls.call("boots", self._look_once, self._looked, self._not_looked)

    def _look_once(self) -> tuple[BootBoard, str]:
        return self.shell.services.boots(), self.shell.services.held_back()

    def _looked(self, found: tuple[BootBoard, str]) -> None:
        self._looking = False
        page = self.page
        if page is not None:
            page.take(*found)
            self._next_look = self.shell.after(EVERY_S, self._look)

    def _not_looked(self, error: WizardError) -> None:
        self._looking = False
        if self.page is not None:
            self.page.failure = words_of(error)
            self._next_look = self.shell.after(AGAIN_S, self._look)

    # Arming

    @handles(messages.ArmDialogRequested)
    def ask(self, message: messages.ArmDialogRequested) -> None:
        ask = partial(self._ask, message.names)
        self.shell.calls.call("offer", self.shell.services.usual_key_files, ask)

    def _ask(self, names: tuple[str, ...], key_files: tuple[str, ...]) -> None:
        from wizard.screens.boot.dialogs import ArmDialog

        page = self.page
        if page is not None and page.board is not None:
            planned = {boot.planned for boot in page.board.nodes if boot.node in names}
            self.shell.open_dialog(ArmDialog(names, page.board.images, planned, key_files))

    @handles(messages.ArmingConfirmed)
    def arm(self, message: messages.ArmingConfirmed) -> None:
        arm = partial(self.shell.services.arm_nodes, message.names, message.order)
        self.shell.calls.call("arm", arm, partial(self._armed, message), message.dialog.refuse)

    def _armed(self, message: messages.ArmingConfirmed, _: None) -> None:
        if message.dialog.is_attached:
            message.dialog.dismiss(None)
        if self.page is not None:
            self.page.forget_marks()
        self.shell.set_status(f"{_said(message.names)} armed, for the next boot over the network.")
        self._look()
        if message.wake:
            self._wake(message.names)

    @handles(messages.DisarmRequested)
    def disarm(self, message: messages.DisarmRequested) -> None:
        disarm = partial(self.shell.services.disarm_nodes, message.names)
        self.shell.calls.call("arm", disarm, partial(self._disarmed, message.names))

    def _disarmed(self, names: tuple[str, ...], _: None) -> None:
        if self.page is not None:
            self.page.forget_marks()
        self.shell.set_status(f"{_said(names)} disarmed: boots from disk. Transfers were stopped.")
        self._look()

    # Waking

    @handles(messages.WakeRequested)
    def wake(self, message: messages.WakeRequested) -> None:
        self._wake(message.names)

    def _wake(self, names: tuple[str, ...]) -> None:
        from wizard.screens.outcomes import OutcomesDialog

        dialog, services = OutcomesDialog(f"Wake {_said(names)}", len(names)), self.shell.services

        def act(tell: Callable[[NodeOutcome], None]) -> None:
            for outcome in services.act_on_nodes("wake", names):
                tell(outcome)

        self.shell.open_dialog(dialog)
        self.shell.calls.stream("power", act, dialog.take, otherwise=lambda e: dialog.refuse(words_of(e)))


def _said(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else plural(len(names), "node")
