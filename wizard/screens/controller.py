"""What the screens' controllers have in common: each asks the services, and hands its page what they answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from wizard.plan.findings import WizardError
from wizard.widgets.page import Page, PageMessage, StepPage

if TYPE_CHECKING:
    from wizard.plan.draft.check import DraftCheck
    from wizard.screens.shell import Shell

_Message = TypeVar("_Message", bound=PageMessage)
_MARK = "handles"


def handles(kind: type[_Message]) -> Callable[[Callable[[Any, _Message], None]], Callable[[Any, _Message], None]]:
    """Marks the method of a controller that carries out messages of this kind."""

    def mark(method: Callable[[Any, _Message], None]) -> Callable[[Any, _Message], None]:
        setattr(method, _MARK, kind)
        return method

    return mark


class Controller:
    """One for each screen: made when its page is first shown, and kept for as long as the app runs."""

    handlers: ClassVar[dict[type[PageMessage], Callable[[Any, Any], None]]] = {}
    """The method that carries out each kind of message."""

    def __init_subclass__(cls) -> None:
        found = {getattr(method, _MARK): method for method in vars(cls).values() if hasattr(method, _MARK)}
        cls.handlers = {**cls.handlers, **found}

    def __init__(self, shell: Shell) -> None:
        self.shell = shell

    def open(self) -> Page | None:
        """The page, to be shown now; None where the one on the screen stays."""
        raise NotImplementedError

    def open_at(self, _field: str) -> Page | None:
        """The same, pointing at a field of the plan where it has one of that name."""
        return self.open()

    def shown(self) -> None:
        """The page is on its way to the screen."""

    def left(self) -> None:
        """Another page takes the place of this one, or the app ends."""

    def back(self) -> str:
        """The name of the page before; "" where that is as the order of the pages says."""
        return ""

    def look_again(self) -> None:
        self.shell.read_facts()

    def facts_read(self) -> None:
        """The machine was read while this page is on the screen."""

    def handle(self, message: PageMessage) -> None:
        """Raises KeyError for a message that no method is marked for."""
        self.handlers[type(message)](self, message)


class StepController(Controller):
    """Of a page that edits the draft."""

    def open(self) -> Page | None:
        return self.open_at("")

    @handles(StepPage.CheckRequested)
    def check(self, message: StepPage.CheckRequested) -> None:
        def check() -> DraftCheck:
            from wizard.plan.draft.check import check_draft

            return check_draft(message.draft, message.facts)

        def take(found: DraftCheck) -> None:
            # The review need not check the same draft again.
            self.shell.drafts.latest_check = found
            message.page.take_judgement(found)

        self.shell.calls.call("judge", check, take)


def words_of(error: WizardError) -> str:
    """What is wrong and what to do, in one line."""
    return f"{error.message} {error.remedy}".strip()


def change_under_way() -> WizardError:
    return WizardError("A change is already running.", "Wait until it ends.")
