"""Whether what the gateway forwards answers, at the node and through the gateway."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.text import Text
from textual.reactive import reactive

from wizard.plan.text import clean
from wizard.widgets.plain_text import PlainText

if TYPE_CHECKING:
    from wizard.monitor.forward_checks import ForwardCheck

_SIGNS = {True: "✓", False: "✗", None: "?"}
_INDENT = 16
_WELL = "answers"


class ForwardHealthPanel(PlainText):
    """`health` is None until it has been asked for the first time. What fails comes first, and is never cut."""

    health: reactive[tuple[ForwardCheck, ...] | None] = reactive(None)
    most: reactive[int] = reactive(8)
    """Lines that there is room for."""

    def on_mount(self) -> None:
        self.border_title = "forwards: at the node, through the gateway"
        self.watch_health()

    def on_resize(self) -> None:
        self.watch_health()

    def watch_most(self) -> None:
        self.watch_health()

    def watch_health(self) -> None:
        if self.health is None:
            self.update("Asking…")
        elif not self.health:
            self.update("The plan has no forwards.")
        else:
            self.update(health_text(self.health, max(self.content_size.width, 40), self.most))


def health_text(health: Sequence[ForwardCheck], width: int, most: int) -> Text:
    """A line for each port that does not answer, then all that do; wrapped between words, in at most `most` lines."""
    by_words: dict[tuple[str, str], list[str]] = {}
    for one in sorted(health, key=_urgency):
        port = f"{one.port_text}/{one.protocol}" if one.protocol != "tcp" else one.port_text
        signs = f"{_SIGNS[one.at_node]} {_SIGNS[one.through_gateway]}"
        by_words.setdefault((signs, one.words), []).append(port)
    lines: list[Text] = []
    for (signs, words), ports in by_words.items():
        said = clean(words, 200) if words != _WELL else _WELL if len(ports) == 1 else "answer"
        ports_said = ", ".join(ports)
        text = f"{ports_said:<9}  {said}" if len(ports) == 1 else f"{ports_said}  {said}"
        for number, line in enumerate(wrap(text, width - 5, subsequent_indent=" " * (_INDENT - 5))):
            lines.append(Text.assemble((f"{signs if not number else '':<5}", "bold"), line))
    if len(lines) > most:
        left = len(lines) - most + 1
        lines = [*lines[: most - 1], Text(f"… and {left} more lines: `ciao-wizard status` lists every port")]
    return Text("\n").join(lines)


def _urgency(one: ForwardCheck) -> int:
    ends = (one.at_node, one.through_gateway)
    return 0 if False in ends else 1 if None in ends else 2
