"""A boot's row in cells and in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from wizard.monitor.boot_stages import Boot
from wizard.monitor.boot_words import clock, signs, took
from wizard.plan.netboot import Stage
from wizard.widgets.page import plain
from wizard.widgets.virtual_table import Column

WIDE = 120
"""Columns of a terminal that has room for durations too."""
MARK = "◆"

_NARROW = (
    Column("node", 16),
    Column("image", 16),
    Column("armed", 6),
    Column("stages", len(Stage)),
    Column("stage", 8),
    Column("at", 12, right=True),
)
_WIDE = (
    Column("node", 24),
    Column("image", 24),
    Column("armed", 8),
    Column("stages", 2 * len(Stage)),
    Column("stage", 9),
    Column("at", 14, right=True),
    Column("for", 12, right=True),
)


def columns(width: int) -> tuple[Column, ...]:
    return _WIDE if width >= WIDE else _NARROW


def cells(boot: Boot, now: datetime, wide: bool, marked: bool) -> Sequence[Text]:
    name = plain(boot.node, limit=65)
    row = signs(boot)
    reached = boot.reached if boot.begun else None
    at = clock(reached[1], now.timestamp()) if reached else "–"
    found = [
        Text.assemble((MARK, "bold"), name) if marked else name,
        plain(boot.image or (f"({boot.planned})" if boot.planned else "–"), limit=65),
        plain(boot.times or "–", limit=10),
        Text(" ".join(row) if wide else row),
        plain(reached[0].value if reached else "–", "bold" if boot.hint else "", limit=10),
        Text(at),
    ]
    return [*found, Text(took(now.timestamp() - reached[1]) if reached else "–")] if wide else found


def details(boot: Boot, now: datetime, in_columns: int) -> Text:
    """What the table has no room for: with what it is armed, every stage with its time, why it is stuck."""
    text = Text.assemble(plain(boot.node, "bold", limit=65), plain(f" · {_armed(boot, now)}", limit=200))
    if boot.begun:
        text.append("\n").append_text(_stages(boot, now, in_columns))
    if said := _said(boot):
        text.append("\n").append_text(said)
    return text


def _armed(boot: Boot, now: datetime) -> str:
    if not boot.times:
        planned = f"; the plan has the image {boot.planned} for it" if boot.planned else ""
        return f"not armed: it boots from its disk{planned}"
    since = datetime.fromisoformat(boot.since).timestamp() if boot.since else None
    at = f", armed {clock(since, now.timestamp())}" if since is not None else ""
    memory = f", needs {boot.memory} MiB" if boot.memory else ""
    often = "at every boot" if boot.times == "always" else boot.times
    return f"{boot.image}, {often}{at}{memory}"


def _stages(boot: Boot, now: datetime, in_columns: int) -> Text:
    """Every stage, to be read downwards."""
    known = {each.stage: each for each in boot.timeline}
    parts = []
    for sign, stage in zip(signs(boot), Stage, strict=True):
        each = known.get(stage)
        words = f"{sign} {stage.value:<9}"
        if each is not None:
            words += clock(each.at, now.timestamp()) + (f" +{took(each.after)}" if each.after is not None else "")
        parts.append(words)
    rows = (len(parts) + in_columns - 1) // in_columns
    lines = ["".join(f"{part:<36}" for part in parts[row::rows]).rstrip() for row in range(rows)]
    return Text("\n".join(lines))


def _said(boot: Boot) -> Text:
    if boot.hint:
        return Text.assemble(("! ", "bold"), plain(f"{boot.hint[:1].upper()}{boot.hint[1:]}", limit=600))
    if boot.times and not boot.stages:
        return Text(
            "Nothing heard from it since. Is it set to boot over the network?\n"
            "If it is off, w wakes it; if it is on, restart it."
        )
    if Stage.REPORTED in boot.stages and Stage.ANSWERS not in boot.stages:
        return Text("It has reported; its ssh port does not answer yet.")
    if not boot.times and Stage.ANSWERS in boot.stages:
        return Text("Done: it answers on its ssh port.")
    return Text()
