"""Untrusted text, made safe to show."""

from __future__ import annotations


def clean(text: str, limit: int = 200) -> str:
    """`text` without anything that could steer a terminal or mislead the eye, at most `limit` characters long.

    Control characters (C0, DEL, C1), bidirectional marks, line separators, zero-width characters, lone
    surrogates and whatever else does not print become "?". What was cut off shows as "…" at the end.
    """
    if len(text) > limit:
        # Cut first: ten kilobytes of host name need not be looked at one by one.
        text = text[: max(limit - 1, 0)] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "?" for c in text)
