"""The app as a controller knows it: what it may ask of it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from textual.screen import Screen
from textual.timer import Timer

from wizard.plan.findings import WizardError

if TYPE_CHECKING:
    from wizard.deploy.apply.preview import StepPreview
    from wizard.deploy.status import Status
    from wizard.plan.draft.check import DraftCheck
    from wizard.plan.draft.model import Draft
    from wizard.plan.model import Plan
    from wizard.services.protocols import ChangeProcess, LeaseFeed, Services
    from wizard.widgets.page import Page
    from wizard.widgets.synced import SyncedState

_Value = TypeVar("_Value")
_Answer = TypeVar("_Answer")

Refused = Callable[[WizardError], None]
Outcome = Callable[["Status", "str | None"], str]
"""The result of a change that ended unseen, from what is applied now and the text of the plan in force."""


@dataclass(frozen=True, slots=True)
class LeftOver:
    """A draft that an earlier run has left: its file's text, when that was written, and what to say of it."""

    draft: Draft
    text: str
    at: datetime
    said: str


@dataclass(frozen=True, slots=True)
class PreparedApply:
    """What the review has found: the text of the plan, the steps of its apply where these are known, and the services
    that it is to stop."""

    plan_text: str
    steps: tuple[StepPreview, ...] = ()
    stop: tuple[str, ...] = ()


class Calls(Protocol):
    """Blocking calls, run in threads. A newer call in a group supersedes the older ones."""

    def call(
        self,
        group: str,
        work: Callable[[], _Value],
        then: Callable[[_Value], None],
        otherwise: Refused | None = None,
    ) -> None:
        """Run `work`; `then` gets what it returns, `otherwise` its WizardError, which else is shown."""
        ...

    def stream(
        self,
        group: str,
        work: Callable[[Callable[[_Value], None]], None],
        each: Callable[[_Value], None],
        done: Callable[[], None] | None = None,
        otherwise: Refused | None = None,
    ) -> None:
        """Run `work`, which hands over one value after the other to the function that it is given; `each` gets them."""
        ...

    def drop(self, group: str) -> None:
        """Nobody waits for an answer in this group any more."""
        ...


class Changes(Protocol):
    """A change of the machine, made by another process and followed here; `SyncedState.progress` tells of it."""

    @property
    def under_way(self) -> bool: ...

    def when_privileged(self, then: Callable[[], None], refused: Refused | None = None) -> None:
        """Do `then` once sudo needs no password, which it asks for outside the screen."""
        ...

    def start(
        self,
        begin: Callable[[], ChangeProcess],
        outcome: Outcome,
        ended: Callable[[], None] | None = None,
        refused: Refused | None = None,
    ) -> None:
        """Start a change, or join one, and follow it to its end; `ended` is called once there is a result."""
        ...


class Drafts(Protocol):
    """What was typed; it is saved by itself."""

    draft: Draft
    begun_from: tuple[Plan | None, str]
    original: str | None
    """The text that the draft began with, whose comments are kept."""
    prepared: PreparedApply | None
    latest_check: DraftCheck | None
    """Of a draft so large that it is checked in a thread."""

    @property
    def changed(self) -> bool:
        """Whether anything was typed since it was begun."""
        ...

    def save_now(self) -> None: ...
    def left_over(self) -> LeftOver | None:
        """What an earlier run has left, if it is something to go on with. May block."""
        ...

    def answer(self, left: LeftOver, taken: bool | None) -> None:
        """Go on with what was left, or forget it; None does neither."""
        ...

    def applied(self) -> None:
        """The draft is in force: there is nothing more to keep of it."""
        ...


class WatchedGateway(Protocol):
    """What is known of the gateway in force."""

    lease_feed: LeaseFeed | None
    """The one that is open, if one is: what it knows already is shown elsewhere too."""

    def look(self) -> None:
        """Look once more, unless a look is under way."""
        ...

    def take_status(self, status: Status) -> None:
        """The status alone was read."""
        ...

    def drop_if_old(self) -> None:
        """Better to say for a moment that one looks than to show what may no longer be so."""
        ...


class Saver(Protocol):
    """The person's files."""

    def save(self, path: str, text: str) -> None:
        """Write a file, and say where it is; over one that is there already only once that was asked."""
        ...


class Shell(Protocol):
    """One page at a time has the screen; dialogs lie over it."""

    @property
    def services(self) -> Services: ...
    @property
    def calls(self) -> Calls: ...
    @property
    def changes(self) -> Changes: ...
    @property
    def drafts(self) -> Drafts: ...
    @property
    def gateway(self) -> WatchedGateway: ...
    @property
    def saver(self) -> Saver: ...
    @property
    def state(self) -> SyncedState:
        """What every page is kept in step with."""
        ...

    @state.setter
    def state(self, state: SyncedState) -> None: ...
    @property
    def page(self) -> Page | None: ...
    @property
    def page_name(self) -> str: ...
    @property
    def screen(self) -> Screen[Any]:
        """What has the keyboard: the page, or a dialog over it."""
        ...

    def go(self, name: str, field: str = "") -> None:
        """To a page by its name, or one of the ways on: "begin", "edit", "again". `field` is what to point at there."""
        ...

    def gateway_applied(self) -> None:
        """A plan was applied from here, and kept."""
        ...

    def read_facts(self) -> None:
        """Read the machine; the page on the screen is told of it."""
        ...

    def open_dialog(self, dialog: Screen[_Answer], then: Callable[[_Answer | None], None] | None = None) -> None: ...
    def after(self, seconds: float, call: Callable[[], None]) -> Timer: ...
    def after_refresh(self, call: Callable[[], None]) -> None: ...
    def show_error(self, error: WizardError) -> None: ...
    def set_status(self, message: str, severity: str = "information") -> None:
        """In the status line of the page."""
        ...
