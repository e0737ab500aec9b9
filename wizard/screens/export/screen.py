"""The export page: the plan in formats for other tools, to view, copy or save."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import DataTable

from wizard.screens.export import messages
from wizard.widgets.page import SHOWN_BACK, Page, plain, plural
from wizard.widgets.plain_text import PlainText
from wizard.widgets.save_dialog import SaveDialog
from wizard.widgets.spinner import Spinner
from wizard.widgets.table import KeyedTable

if TYPE_CHECKING:
    from wizard.services.protocols import ExportedFile

MOST_LINES = 400


class ExportPage(Page):
    TITLE = "Export"
    QUESTION = "The plan in force, in formats for other tools."
    HELP = (
        "The formats are above; below is the complete file in the selected one. Fill in the lines marked BLANK. No "
        "format contains secrets.\n\n"
        "s saves it to a file, and asks before it overwrites one. c copies it to your terminal's clipboard, if the "
        "terminal allows it: a plain console does not, nor do tmux and screen by default (tmux: set -g set-clipboard "
        "on). The wizard cannot tell: if a paste brings nothing, save it with s. pgup and pgdn scroll the text.\n\n"
        "On the command line: ciao-wizard export FORMAT [-o FILE]."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "save", "save"),
        Binding("c", "copy", "copy"),
        Binding("pagedown", "scroll(1)", "scroll", show=False, priority=True),
        Binding("pageup", "scroll(-1)", "scroll back", show=False, priority=True),
        SHOWN_BACK,
    ]

    exported_files: reactive[tuple[ExportedFile, ...] | None] = reactive(None)

    def body(self) -> Iterable[Widget]:
        yield Spinner("Rendering…", id="working")
        yield KeyedTable((("format", 15), ("purpose", 57)), id="formats")
        yield VerticalScroll(PlainText(id="text"), id="preview", can_focus=False)

    def on_mount(self) -> None:
        self.query_one("#formats").focus()

    def watch_exported_files(self) -> None:
        self.redraw()

    @property
    def current(self) -> ExportedFile | None:
        key = self.query_one("#formats", KeyedTable).current
        return next((one for one in self.exported_files or () if one.form == key), None)

    def draw(self) -> None:
        found = self.exported_files
        self.query_one("#working").display = found is None
        for part in ("#formats", "#preview"):
            self.query_one(part).display = bool(found)
        if found is not None and not found:
            self.set_prompt("No plan is in force: nothing to export.")
        table = self.query_one("#formats", KeyedTable)
        table.sync([(one.form, (Text(one.form), Text(one.about))) for one in found or ()])
        self._draw_preview()
        self.refresh_bindings()

    @on(DataTable.RowHighlighted)
    def _show_format(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self.query_one("#preview", VerticalScroll).scroll_home(animate=False)
        self.set_status("")
        self._draw_preview()

    def _draw_preview(self) -> None:
        one = self.current
        if one is None:
            return
        lines = one.text.splitlines()
        text = Text("\n").join(_line(line) for line in lines[:MOST_LINES])
        if len(lines) > MOST_LINES:
            text.append(f"\n… and {plural(len(lines) - MOST_LINES, 'line')} more", "bold")
        self.query_one("#text", PlainText).update(text)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("save", "copy") and not self.exported_files:
            return None
        return super().check_action(action, parameters)

    def action_scroll(self, pages: int) -> None:
        preview = self.query_one("#preview", VerticalScroll)
        preview.scroll_relative(y=pages * max(preview.size.height - 1, 1), animate=False)

    def action_copy(self) -> None:
        one = self.current
        if one is not None:
            self.app.copy_to_clipboard(one.text)
            said = f"{one.form}: copied, if your terminal allows it. If nothing is pasted, save it with s."
            self.notify(said, markup=False)

    def action_save(self) -> None:
        one = self.current
        if one is not None:
            self.app.push_screen(SaveDialog(f"Save {one.form}", one.file), lambda path: self._save(path, one.text))

    def _save(self, path: str | None, text: str) -> None:
        if path:
            self.post_message(messages.ExportSaveRequested(path, text))


def _line(line: str) -> Text:
    """Comments are dim, lines to fill in are bold."""
    return plain(line, "bold" if "BLANK" in line else "dim" if line.startswith("#") else "", limit=400)
