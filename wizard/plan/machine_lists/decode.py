"""The bytes of a list -> text -> lines, whatever its encoding."""

from __future__ import annotations

import codecs
import re

# The longer marks first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SNIFFED = 4096
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# Tabs and line ends are all that a list needs of these.
_CONTROLS = {code: " " for code in (*range(1, 32), *range(127, 160)) if chr(code) not in "\t\n\r"}


def decode(raw: bytes) -> str:
    """UTF-8, UTF-16 or UTF-32 with a byte order mark, else UTF-16, else UTF-8, else Windows-1252. Never fails."""
    for mark, name in _MARKS:
        if raw.startswith(mark):
            return raw[len(mark) :].decode(name, "replace")
    head = raw[:_SNIFFED]
    # Every other byte of plain text in UTF-16 is zero.
    for name, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if len(zeros) > 1 and zeros.count(0) * 2 > len(zeros):
            return raw.decode(name, "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def is_text(text: str) -> bool:
    """True unless more than 1 in 20 characters is a control character, as in an image or a workbook."""
    strange = sum(1 for char in text[:65536] if (char < " " and char not in "\t\n\r\x1b\f") or char == "\ufffd")
    return strange * 20 <= len(text[:65536])


def split_lines(text: str) -> list[str]:
    """Lines as an editor counts them, without ANSI colours and control characters."""
    text = text.removeprefix("\ufeff").replace("\x00", "")
    if "\x1b" in text:
        text = _COLOUR.sub("", text)
    lines = re.split(r"\r\n|\n|\r", text)
    if lines and not lines[-1]:
        lines.pop()
    return [line if line.isprintable() else line.translate(_CONTROLS) for line in lines]
