"""JSON as configurations have it: with comments and trailing commas, and each object knowing its line."""

from __future__ import annotations

import json
import re
from typing import Any

DEEPEST = 100
"""Objects within objects. No list of machines has ten."""

_TOKEN = re.compile(
    r"[ \t\r\ufeff]+|(?P<newline>\n)|//[^\n]*|\#[^\n]*|(?P<block>/\*.*?\*/)|(?P<include><\?[^\n]*\?>)|"
    r'(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<sign>[{}\[\]:,])|(?P<word>[A-Za-z0-9_+.\-]+)',
    re.DOTALL,
)


class NotJson(ValueError):
    """`line` is where it ceases to be."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


class Mapping(dict[str, Any]):
    """An object, the line that it begins on, and where known those of its keys."""

    line = 0

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


def parse(text: str) -> Any:
    """Objects are Mappings, numbers and literals of no other use are text. Raises NotJson."""
    line, last, position = 1, 1, 0
    stack: list[Any] = []
    keys: list[str | None] = []
    top: list[Any] = []

    def put(value: Any) -> None:
        if not stack:
            top.append(value)
        elif isinstance(stack[-1], Mapping):
            key = keys[-1]
            if key is None:
                if not isinstance(value, str):
                    raise NotJson(line, "a key that is no text")
                keys[-1] = value
            else:
                stack[-1][key] = value
                keys[-1] = None
        else:
            stack[-1].append(value)

    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise NotJson(line, "a sign that does not belong there, or a text without its end")
        position = token.end()
        kind = token.lastgroup
        last = line if kind not in (None, "newline") else last
        if kind == "newline":
            line += 1
        elif kind == "block":
            line += token[0].count("\n")
        elif kind == "string":
            try:
                put(json.loads(token[0], strict=False))
            except ValueError:
                raise NotJson(line, "a text that is none") from None
        elif kind == "word":
            put({"null": None, "true": True, "false": False}.get(token[0], token[0]))
        elif kind == "sign" and token[0] in "{[":
            if len(stack) >= DEEPEST:
                raise NotJson(line, "nested too deeply")
            value: Any = Mapping() if token[0] == "{" else []
            if isinstance(value, Mapping):
                value.line = line
            put(value)
            stack.append(value)
            keys.append(None)
        elif kind == "sign" and token[0] in "}]":
            if not stack or isinstance(stack[-1], Mapping) != (token[0] == "}"):
                raise NotJson(line, f"a {token[0]} too many")
            stack.pop()
            keys.pop()
    if stack:
        raise NotJson(last, "it ends before all that was opened is closed")
    # One object a line is a list as well.
    return top[0] if len(top) == 1 else top
