"""JSON as configuration files have it: with comments, trailing commas and unquoted words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from wizard.plan.machine_lists.tree import Mapping, NotATree, TreeBuilder

_TOKEN = re.compile(
    r"(?P<passed>[ \t\r\n\ufeff]+|//[^\n]*|\#[^\n]*|/\*.*?\*/|<\?[^\n]*\?>)|"
    r'(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<sign>[{}\[\]:,])|(?P<word>[A-Za-z0-9_+.\-]+)',
    re.DOTALL,
)
_LITERALS = {"null": None, "true": True, "false": False}


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def parse(text: str) -> Any:
    """Parse; numbers and other unquoted words become str. Raises NotATree."""
    builder = TreeBuilder()
    line = 1
    for kind, word, line in _tokens(text):
        if kind != "sign":
            value = _text_of(word, line) if kind == "string" else _LITERALS.get(word, word)
            if builder.wants_key and not isinstance(value, str):
                raise NotATree(line, "a key that is not a string")
            builder.put(value, line)
        elif word in "{[":
            if builder.wants_key:
                raise NotATree(line, "a key that is not a string")
            builder.begin(Mapping() if word == "{" else [], line)
        elif word in "}]":
            closed = builder.end()
            if closed is None or isinstance(closed, Mapping) != (word == "}"):
                raise NotATree(line, f"an unexpected {word}")
    return builder.result(line)


def _tokens(text: str) -> Iterator[_Token]:
    position, line = 0, 1
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise NotATree(line, "an unexpected character, or a string without its end")
        kind = token.lastgroup or ""
        if kind != "passed":
            yield _Token(kind, token[0], line)
        line += token[0].count("\n")
        position = token.end()


def _text_of(quoted: str, line: int) -> str:
    try:
        return str(json.loads(quoted, strict=False))
    except ValueError:
        raise NotATree(line, "an invalid string") from None
