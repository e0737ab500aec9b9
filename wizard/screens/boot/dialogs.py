"""The dialog that says what nodes are armed with."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from wizard.actions.boot import ArmOrder
from wizard.plan.findings import WizardError
from wizard.plan.images import FROM_DISK
from wizard.plan.netboot import Times, ToDisk
from wizard.screens.boot import messages
from wizard.widgets.choice import Choice
from wizard.widgets.field import Field
from wizard.widgets.form_dialog import FormDialog
from wizard.widgets.modal import Question
from wizard.widgets.page import plain, plain_lines, plural
from wizard.widgets.plain_text import PlainText
from wizard.widgets.sign_checkbox import SignCheckbox

if TYPE_CHECKING:
    from wizard.monitor.boot_board import ArmableImage

_MOST_NAMED = 6
AS_PLANNED = "as planned"


class ArmDialog(FormDialog[None]):
    """Posts ArmingConfirmed with what was chosen, and stays until dismissed; `refuse` shows an error.

    `planned`: the images that the plan has for these nodes, "" for the disk.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "accept", "arm"),
        Binding("escape", "cancel", "cancel"),
    ]
    HELP = (
        "Left, right and space choose; tab goes on.\n\n"
        "once: until it has reported, so it is never installed twice by mistake. always: at every boot, until you "
        "disarm it.\n\n"
        "To disk: how iPXE goes on to the disk. Firmware differs in what works.\n\n"
        "Secure Boot: Debian's signed shim and GRUB are served in place of iPXE, which such firmware refuses.\n\n"
        "Whoever logs in to what is installed does so as this user, with one of these public keys; there is no "
        "password. Several files are separated by spaces."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#arm-image"
    PREFIX = "arm"

    def __init__(
        self,
        names: Sequence[str],
        images: Sequence[ArmableImage],
        planned: Collection[str],
        key_files: Sequence[str],
    ) -> None:
        super().__init__()
        self._names = tuple(names)
        self.title = f"Arm {count(self._names)}"
        self._images = tuple(images)
        self._as_planned = len(planned) > 1
        words = [image.name for image in self._images]
        self._words = [AS_PLANNED, *words] if self._as_planned else words
        own = next(iter(planned)) if len(planned) == 1 else ""
        self._first = self._words.index(own) if own in self._words else 0
        self._key_files = " ".join(key_files)

    def body(self) -> Iterable[Widget]:
        if len(self._names) > 1:
            yield PlainText(named(self._names), id="arm-names")
        yield from _row("Image", Choice(self._words, self._first, id="arm-image"))
        yield from _row("Boots it", Choice(("once, until it has reported", "always"), id="arm-times"))
        yield from _row("To disk by", Choice([way.value for way in ToDisk], id="arm-disk"), "of-disk")
        yield Field("arm.keys", "SSH keys", self._key_files, "the plan's; or files of public keys")
        yield Field("arm.user", "User", "", "ciao", "who logs in with them")
        yield from _row("Firmware", SignCheckbox("has Secure Boot on", id="arm-secure"), "of-image")
        yield from _row("Then", SignCheckbox("wake by Wake-on-LAN", id="arm-wake"))
        yield PlainText()
        yield PlainText(id="arm-warning")
        yield self.findings_panel()

    def on_mount(self) -> None:
        self._draw()

    @property
    def _image(self) -> str:
        """The name of the chosen image, "" for each node's own."""
        word = self._words[self.query_one("#arm-image", Choice).number]
        return "" if self._as_planned and self.query_one("#arm-image", Choice).number == 0 else word

    @property
    def _installs(self) -> bool:
        name = self._image
        return not name or any(image.name == name and image.installs for image in self._images)

    @property
    def _loses(self) -> str:
        return next((image.overwrites for image in self._images if image.name == self._image), "")

    @property
    def _times(self) -> Times:
        return list(Times)[self.query_one("#arm-times", Choice).number]

    def _draw(self) -> None:
        from_disk = self._image == FROM_DISK
        self.query_one(".of-disk").display = from_disk
        self.query_one(".of-image").display = not from_disk
        for key in ("keys", "user"):
            self._field(f"arm.{key}").display = not from_disk
        warning = Text("It overwrites no disk.")
        if self._installs:
            warning = Text.assemble(("! ", "bold"), "It overwrites a disk without asking.")
        if any(image.name == self._image and not image.reports for image in self._images):
            warning.append(" It never reports: it stays armed until you disarm it.")
        self.query_one("#arm-warning", PlainText).update(warning)

    @on(Choice.Changed)
    def _redraw(self, event: Choice.Changed) -> None:
        event.stop()
        self.show_findings_text(Text())
        self._draw()

    @on(Choice.Accepted)
    def _accept_choice(self, event: Choice.Accepted) -> None:
        event.stop()
        self.action_accept()

    @on(Input.Changed)
    def _clear(self) -> None:
        self.show_findings_text(Text())

    def action_accept(self) -> None:
        if not self._installs:
            self._confirm(True)
            return
        told = question_text(self._names, self._image, self._loses, self._times)
        question = Question(f"Arm {count(self._names)}?", told, "[ y  Arm ]", "[ n  Do not ]")
        self.app.push_screen(question, self._confirm)

    def _confirm(self, sure: bool | None) -> None:
        if not sure:
            return
        to_disk = list(ToDisk)[self.query_one("#arm-disk", Choice).number]
        from_disk = self._image == FROM_DISK
        keys = () if from_disk else tuple(self.typed("keys").replace(",", " ").split())
        user = "" if from_disk else self.typed("user")
        secure = not from_disk and self.query_one("#arm-secure", SignCheckbox).value
        order = ArmOrder(self._image, self._times, to_disk, keys, user, secure_boot=secure)
        wake = self.query_one("#arm-wake", SignCheckbox).value
        self.post_message(messages.ArmingConfirmed(self, self._names, order, wake))

    def refuse(self, error: WizardError) -> None:
        if self.is_mounted:
            self.show_findings_text(plain_lines(f"✗ {error.message}\n{error.remedy}"))


def _row(label: str, widget: Widget, classes: str = "") -> Iterable[Widget]:
    with Horizontal(classes=f"field {classes}"):
        yield PlainText(label, classes="label")
        yield PlainText(" ", classes="sign")
        yield widget


def count(names: Sequence[str]) -> str:
    """One node by its name, several by their number."""
    return plain(names[0], limit=63).plain if len(names) == 1 else plural(len(names), "node")


def named(names: Sequence[str]) -> str:
    """Nodes by their names, or of many the first ones."""
    more = len(names) - _MOST_NAMED
    return plain(", ".join(names[:_MOST_NAMED]), limit=300).plain + (f" and {more} more" if more > 0 else "")


def question_text(names: Sequence[str], image: str, overwrites: str, times: Times) -> str:
    """What is asked before nodes are armed with what may overwrite a disk. `overwrites`: what, "" where it depends."""
    each = "it boots" if len(names) == 1 else "each of them boots"
    what = plain(image, limit=63).plain if image else "the image that the plan has for it, if any"
    told = [named(names)] if len(names) > 1 else []
    told += [f"The next time that {each} over the network it gets {what}."]
    told.append(f"It overwrites {(overwrites or 'what that says, perhaps all of a disk').upper()}, without asking.")
    if times is Times.ALWAYS:
        told.append("And again at EVERY boot, until you disarm it: 'always' was chosen.")
    return "\n\n".join([*told, "y arms. Enter, n and esc change nothing."])
