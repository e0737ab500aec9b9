"""Text that an attacker might send, and what may never come of it."""

from __future__ import annotations

from tests.tui.driver import Driver

HOSTILE = {
    "closing markup": "[/foo]",
    "a link": "[@click=app.quit]x[/]",
    "open markup": "[bold red",
    "an escape sequence": "\x1b]0;pwned\x07\x1b[2J",
    "a C1 control": "\x9b2Jx",
    "right to left": "\u202egnp.exe",
    "a new line": "one\ntwo\rthree",
    "zero width": "a\u200bb\u2066c",
    "much": "A" * 10_000,
    "wide": "漢字" * 40,
    "a lone surrogate": "x\udc80y",
}
ALL = "".join(evil for evil in HOSTILE.values() if len(evil) < 1000) + HOSTILE["much"]
FORBIDDEN = "\x1b\x9b\x07\r\u202e\u200b\u2066\udc80"


def assert_harmless(driver: Driver) -> None:
    text = driver.text()
    assert not set(text) & set(FORBIDDEN)
    lines = text.splitlines()
    assert len(lines) == driver.app.size.height
    # Where markup was shown at all it was shown as it is, so nothing of it was obeyed.
    assert "ciao-wizard ─" in lines[0]
