"""Messages are handled by `@on(Class.Message)`, so that whoever renames a class or a message renames its handlers too.

Textual also calls a method by its name (`on_nodes_page_listen_wanted`); no tool finds such a name again, and after a
rename nothing calls it and nothing fails. Only Textual's own events are handled by name: those names stay.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from textual import events, messages
from textual.message import Message

ROOT = Path(__file__).parents[2]
OWN_EVENTS = {
    kind.handler_name
    for module in (events, messages)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
} | {"on_event"}
"""What Textual itself sends to every widget, and the method through which all of that comes."""


def called_by_name(source: str) -> list[str]:
    """The methods in `source` that Textual would call by their name for anything but its own events.

    `_on_x` is as good as `on_x` to Textual; elsewhere such a name may mean something else.
    """
    tree = ast.parse(source)
    textual = any("textual" in ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom))
    return [
        f"{node.name}.{part.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for part in node.body
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)
        and (part.name.startswith("on_") or (textual and part.name.startswith("_on_")))
        and part.name.removeprefix("_") not in OWN_EVENTS
    ]


def test_every_message_is_handled_by_the_decorator() -> None:
    files = [file for top in ("wizard", "tests") for file in sorted((ROOT / top).rglob("*.py"))]
    assert len(files) > 200
    found = {str(file.relative_to(ROOT)): called_by_name(file.read_text(encoding="utf-8")) for file in files}
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("method", "found"),
    [
        ("on_mount", []),
        ("_on_key", []),
        ("on_event", []),
        ("on_input_changed", ["Page.on_input_changed"]),
        ("_on_button_pressed", ["Page._on_button_pressed"]),
        ("on_nodes_page_listen_wanted", ["Page.on_nodes_page_listen_wanted"]),
        ("_read_typed", []),
    ],
)
def test_names_that_textual_would_call(method: str, found: list[str]) -> None:
    source = f"from textual.widget import Widget\nclass Page(Widget):\n    async def {method}(self): ...\n"
    assert called_by_name(source) == found
