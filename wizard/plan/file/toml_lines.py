"""Line numbers of the keys of a TOML text, which tomllib does not report."""

from __future__ import annotations

import re

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_PATH = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_STATEMENT = re.compile(
    rf"[ \t]*(?:\[\[[ \t]*(?P<array>{_PATH})[ \t]*\]\]|\[[ \t]*(?P<table>{_PATH})[ \t]*\]|(?P<key>{_PATH})[ \t]*=)"
)
_PART = re.compile(_KEY)
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|'
    r"'''.*?'{3,5}|"
    r'"(?:\\.|[^"\\\n])*"|'
    r"'[^'\n]*'|"
    r"#[^\n]*|"
    r"[\[{]|[\]}]|\n|"
    r"""[^"'#\[\]{}\n]+|.""",
    re.DOTALL,
)

MOST_DOTS = 16
"""Parts of a dotted key. A plan has two; tomllib takes minutes for a hundred thousand."""
_DOTTED = re.compile(
    rf"(?P<dotted>{_KEY}(?:[ \t]*\.[ \t]*{_KEY}){{{MOST_DOTS}}})|"
    r'"""(?:\\.|[^\\])*?"""|'
    r"'''.*?'''|"
    r'"(?:\\.|[^"\\\n])*"|'
    r"'[^'\n]*'|"
    r"#[^\n]*|"
    r"[A-Za-z0-9_-]+|"
    r"""[^"'#A-Za-z0-9_-]+|.""",
    re.DOTALL,
)


def too_dotted(text: str) -> int | None:
    """The line (from 1) of the first key with more than MOST_DOTS parts, or None."""
    for token in _DOTTED.finditer(text):
        if token["dotted"] is not None:
            return text.count("\n", 0, token.start()) + 1
    return None


def key_lines(text: str) -> dict[str, int]:
    """Line (from 1) of every table, array element and key of a valid TOML text, by path: "nodes[2].mac".

    What stands inside an inline table or an array has no line of its own; `line_of` finds the nearest.
    """
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    position, line, prefix = 0, 1, ""
    while position < len(text):
        statement = _STATEMENT.match(text, position)
        if statement is not None:
            position = statement.end()
            if statement["key"]:
                lines.setdefault(_join(prefix, statement["key"], counts), line)
            elif statement["table"]:
                prefix = _join("", statement["table"], counts)
                lines.setdefault(prefix, line)
            else:
                name = _join("", statement["array"], counts, last=False)
                counts[name] = counts.get(name, -1) + 1
                prefix = f"{name}[{counts[name]}]"
                lines.setdefault(name, line)
                lines[prefix] = line
        position, newlines = _skip_statement(text, position)
        line += newlines
    return lines


def line_of(path: str, lines: dict[str, int]) -> int | None:
    """The line of `path`, or of its nearest parent that has one; None without any."""
    while path not in lines:
        shorter = re.sub(r"(?:\[[0-9]+\]|\.[^.\[\]]*)$", "", path)
        if shorter == path:
            return None
        path = shorter
    return lines[path]


def _skip_statement(text: str, position: int) -> tuple[int, int]:
    """The position after the statement's last newline, and how many newlines that passed."""
    depth = newlines = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            return len(text), newlines
        position = token.end()
        newlines += token[0].count("\n")
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
        elif token[0] == "\n" and depth <= 0:
            break
    return position, newlines


def _join(prefix: str, dotted: str, counts: dict[str, int], last: bool = True) -> str:
    """The path of a dotted key below `prefix`; an array's name on the way stands for its latest element."""
    parts = [part.strip("\"'") for part in _PART.findall(dotted)]
    path = prefix
    for number, part in enumerate(parts):
        path = f"{path}.{part}" if path else part
        if path in counts and (last or number < len(parts) - 1):
            path = f"{path}[{counts[path]}]"
    return path
