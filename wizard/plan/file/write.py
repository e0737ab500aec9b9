"""Plan -> TOML, from scratch or as an edit of the user's own text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT

from wizard.plan.file.read import PlanUnreadable, load_plan
from wizard.plan.file.rows import (
    SECTION_ROWS,
    Row,
    cluster_rows,
    forward_rows,
    has_rows,
    interface_rows,
    network_rows,
    node_rows,
    plain_toml,
    table_rows,
)
from wizard.plan.model import ClusterKind, Plan

_Entry = TypeVar("_Entry")

_IDENTITIES: dict[str, tuple[Callable[[Any], Hashable], ...]] = {
    "devices": (lambda d: d.name, lambda d: d.mac),
    "dns": (lambda d: d.domain,),
    "records": (lambda r: r, lambda r: (r.name, r.kind)),
    "options": (lambda o: o, lambda o: (o.option, o.to)),
    "images": (lambda i: i.name,),
}
"""By what an entry of a section is known again, the surest first."""


def dump_plan(plan: Plan, original: str | None = None) -> str:
    """The plan as TOML: `load_plan(dump_plan(plan))` equals `plan`.

    With `original` (a plan file's text) that text is edited, so that its comments, its order and its
    notation survive wherever the plan did not change. Values that equal their default are left out
    unless `original` has them.
    """
    if original is None:
        return plain_toml(plan)
    try:
        before = load_plan(original, "the original")
    except PlanUnreadable:
        return _with_comments_of(original, plain_toml(plan))
    if before == plan:
        return original
    try:
        edited = _with_comments_of(original, _edited_toml(plan, before, original))
        if load_plan(edited, "the edited plan") == plan:
            return edited
    except (PlanUnreadable, TOMLKitError, ValueError):
        # tomlkit cannot edit this layout. The plan matters more than the layout.
        pass
    return _with_comments_of(original, plain_toml(plan))


def _edited_toml(plan: Plan, before: Plan, original: str) -> str:
    """`original`, the text of `before`, edited into the text of `plan`."""
    # What is appended must not continue an unterminated last line.
    text = original.removeprefix("\ufeff")
    document = tomlkit.parse(text if text.endswith("\n") else text + "\n")
    _edit(document["interfaces"], interface_rows(before.interfaces), interface_rows(plan.interfaces))
    _edit(document["network"], network_rows(before.network), network_rows(plan.network))
    if "cluster" in document or plan.kind is not ClusterKind.CIAO:
        # At the end, where it is the section of no key that follows.
        _edit(document.setdefault("cluster", tomlkit.table()), cluster_rows(before), cluster_rows(plan))
    _edit_list(document, "nodes", before.nodes, plan.nodes, node_rows, (lambda n: n.name, lambda n: n.mac))
    for name, rows in SECTION_ROWS.items():
        _edit_list(document, name, getattr(before, name), getattr(plan, name), rows, _IDENTITIES[name])
    _edit_list(
        document,
        "forwards",
        before.forwards,
        plan.forwards,
        forward_rows,
        (lambda f: (f.protocol, f.port), lambda f: (f.to, f.to_port)),
    )
    for (name, old), (_, new) in zip(table_rows(before), table_rows(plan), strict=True):
        if not has_rows(new):
            document.pop(name, None)
        elif name in document:
            _edit(document[name], old, new)
        else:
            document[name] = tomlkit.table()
            _edit(document[name], old, new)
    return tomlkit.dumps(document)


def _with_comments_of(original: str, text: str) -> str:
    """`text`, below those comments of `original` that it lacks: a comment that lost its place is not lost."""
    present = Counter(_comments(text))
    lost = []
    for comment in _comments(original):
        present[comment] -= 1
        if present[comment] < 0:
            lost.append(comment)
    return "\n".join([*lost, "", text]) if lost else text


def _comments(text: str) -> list[str]:
    """The comments on lines of their own, without characters that TOML forbids."""
    lines = [line.strip() for line in text.split("\n")]
    return ["".join(c for c in line if c == "\t" or c.isprintable()) for line in lines if line.startswith("#")]


def _edit(table: Any, before: Sequence[Row], after: Sequence[Row]) -> None:
    """Change in `table` what differs between the two, and nothing else."""
    for (key, old, _), (_, new, default) in zip(before, after, strict=True):
        if key not in table:
            if new is not None and not default:
                table[key] = new
        elif new is None:
            del table[key]
        elif new != old:
            table[key] = new


def _edit_list(
    document: tomlkit.TOMLDocument,
    key: str,
    before: Sequence[_Entry],
    after: Sequence[_Entry],
    rows: Callable[[_Entry], list[Row]],
    identities: Sequence[Callable[[_Entry], Hashable]],
) -> None:
    """Make the tables under `key` those of `after`, each edited from the one of `before` that it was."""
    origin = _origins(before, after, identities)
    held: Any = document.get(key)
    if held is None and not after:
        return
    if held is None:
        held = document[key] = tomlkit.aot()
    tables: list[Any] = []
    for entry, old in zip(after, origin, strict=True):
        if old is not None:
            _edit(held[old], rows(before[old]), rows(entry))
            tables.append(held[old])
            continue
        table = tomlkit.table() if isinstance(held, AoT) else tomlkit.inline_table()
        for name, value, default in rows(entry):
            if value is not None and not default:
                table.append(name, value)
        tables.append(table)
    if origin == list(range(len(before))):
        return
    rest = _rearranged(held, tables, origin) if isinstance(held, AoT) else ""
    del held[:]
    for table in tables:
        held.append(table)
    if not tables:
        del document[key]
        document.add(tomlkit.ws(rest))
    elif rest:
        tables[-1].add(tomlkit.ws(rest))


def _origins(
    before: Sequence[_Entry], after: Sequence[_Entry], identities: Sequence[Callable[[_Entry], Hashable]]
) -> list[int | None]:
    """For each entry of `after` its index in `before`, None for a new one."""
    origin: list[int | None] = [None] * len(after)
    used: set[int] = set()
    for identity in identities:
        known = {identity(entry): place for place, entry in enumerate(before) if place not in used}
        for number, entry in enumerate(after):
            if origin[number] is None and identity(entry) in known:
                place = known.pop(identity(entry))
                origin[number] = place
                used.add(place)
    return origin


def _rearranged(held: AoT, tables: Sequence[Any], origin: Sequence[int | None]) -> str:
    """Place the comments above each of `tables`; return what belongs below the last.

    tomlkit counts all that stands above a header to the table before it. Here a comment right above a
    header goes where its table goes, and one with a blank line below it keeps its place in the file.
    """
    between = [_cut_tail(table) for table in held.body]
    last = between.pop() if between else ""
    # What is above the first table belongs to another section and stays there.
    headings, own = [held.body[0].trivia.indent if held.body else ""], [""]
    for text in between:
        blank = text.rfind("\n\n") + 2 if "\n\n" in text else int(text.startswith("\n"))
        headings.append(text[:blank])
        own.append(text[blank:])
    for place, (table, old) in enumerate(zip(tables, origin, strict=True)):
        above = headings[place] if place < len(headings) else "\n"
        table.trivia.indent = above + (own[old] if old is not None else "")
    orphans = headings[len(tables) :] + [own[old] for old in set(range(len(own))) - set(origin)]
    return "".join(text for text in orphans if "#" in text) + last


def _cut_tail(table: Any) -> str:
    """Take off the comments below a table's last key, from the first blank line on."""
    body = table.value.body
    start = len(body)
    while start and body[start - 1][0] is None:
        start -= 1
    while start < len(body) and body[start][1].as_string().strip(" \t\r\n"):
        start += 1
    text = "".join(item.as_string() for _, item in body[start:])
    del body[start:]
    return text
