"""Whether what the gateway forwards answers, at the node and through the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.reactive import reactive

from wizard.widgets.page import plain
from wizard.widgets.words import Words

if TYPE_CHECKING:
    from wizard.monitor.forwards import ForwardHealth

_SIGNS = {True: "✓", False: "✗", None: "?"}
_MOST = 20


class ForwardHealthPanel(Words):
    """`health` is None until it has been asked for the first time."""

    health: reactive[tuple[ForwardHealth, ...] | None] = reactive(None)

    def on_mount(self) -> None:
        self.border_title = "forwards: at the node, through the gateway"
        self.watch_health()

    def watch_health(self) -> None:
        if self.health is None:
            self.update("Asking…")
        elif not self.health:
            self.update("The plan forwards no port.")
        else:
            lines = [_line(one) for one in self.health[:_MOST]]
            more = len(self.health) - _MOST
            self.update(Text("\n").join([*lines, *([Text(f"… and {more} more")] if more > 0 else [])]))


def _line(one: ForwardHealth) -> Text:
    both = f"{_SIGNS[one.at_node]} {_SIGNS[one.through_gateway]}  "
    port = f"{one.port}/{one.protocol}" if one.protocol != "tcp" else str(one.port)
    return Text.assemble((both, "bold"), f"{port:<9} ").append_text(plain(one.words, limit=160))
