"""Base classes of the controllers: each calls the services and gives its page the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from wizard.plan.findings import WizardError
from wizard.widgets.page import Page, PageMessage, StepPage

if TYPE_CHECKING:
    from wizard.plan.draft.check import DraftCheck
    from wizard.screens.shell import Shell

_Message = TypeVar("_Message", bound=PageMessage)
_MARK = "handles"


def handles(kind: type[_Message]) -> Callable[[Callable[[Any, _Message], None]], Callable[[Any, _Message], None]]:
    """Marks a controller's method as the handler of messages of this kind."""

    def mark(method: Callable[[Any, _Message], None]) -> Callable[[Any, _Message], None]:
        setattr(method, _MARK, kind)
        return method

    return mark


class Controller:
    """One per screen: created when its page is first shown, kept until the app ends."""

    handlers: ClassVar[dict[type[PageMessage], Callable[[Any, Any], None]]] = {}
    """The handler of each kind of message."""

    def __init_subclass__(cls) -> None:
        found = {getattr(method, _MARK): method for method in vars(cls).values() if hasattr(method, _MARK)}
        cls.handlers = {**cls.handlers, **found}

    def __init__(self, shell: Shell) -> None:
        self.shell = shell

    def open(self) -> Page | None:
        """Return the page to show now; None keeps the current one."""
        raise NotImplementedError

    def open_at(self, _field: str) -> Page | None:
        """Like `open`, with the cursor on a field of the plan if the page has it."""
        return self.open()

    def shown(self) -> None:
        """The page is about to be shown."""

    def left(self) -> None:
        """Another page replaces this one, or the app ends."""

    def back(self) -> str:
        """The name of the previous page; "" for the default order."""
        return ""

    def agree_to_stop(self, units: Iterable[str]) -> None:
        """The person agrees, for this run, that an apply stops these services."""
        facts = self.shell.state.facts
        if facts is not None:
            facts = replace(facts, to_stop=facts.to_stop | {*units})
            self.shell.state = replace(self.shell.state, facts=facts)

    def look_again(self) -> None:
        self.shell.read_facts()

    def facts_read(self) -> None:
        """The machine's facts were read while this page was shown."""

    def handle(self, message: PageMessage) -> None:
        """Raises KeyError for a message that no method is marked for."""
        self.handlers[type(message)](self, message)


class StepController(Controller):
    """The controller of a page that edits the draft."""

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
            message.page.take_check(found)

        self.shell.calls.call("check", check, take)


def words_of(error: WizardError) -> str:
    """Message and remedy in one line."""
    return f"{error.message} {error.remedy}".strip()


def change_under_way() -> WizardError:
    return WizardError("A change is already running.", "Wait until it ends.")
