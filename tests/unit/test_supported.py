"""The table that booted laptops write into docs/supported.md."""

from __future__ import annotations

from tests.boot.supported import BEGIN, DOCUMENT, END, Run, with_rows

LAPTOP = {"system": "Debian 12", "manager": "networkd (252)", "firewall": "ufw (0.36)", "kernel": "6.18"}
TEXT = f"# Words\n\n{BEGIN}\n\n{END}\n\nMore words\n"


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| Debian")]


def test_a_row_has_what_was_seen_and_keeps_what_was_not_run_again() -> None:
    job = Run(True, [{"job": "whole job", **LAPTOP}, {"served": 0.1, "event": "x"}, {"served": 3.4, "event": "boot"}])
    trial = Run(False, [{"job": "trial not kept", **LAPTOP}])

    once = with_rows(TEXT, [job])
    assert rows(once) == ["| Debian 12 | networkd (252) | ufw (0.36) | 6.18 | passed | 3.4 s (boot) | not run |"]

    twice = with_rows(once, [trial, Run(True)])
    assert rows(twice) == ["| Debian 12 | networkd (252) | ufw (0.36) | 6.18 | passed | 3.4 s (boot) | failed |"]
    assert twice.startswith("# Words\n\n")
    assert twice.endswith("\n\nMore words\n")


def test_the_document_has_its_table() -> None:
    text = DOCUMENT.read_text()
    assert with_rows(text, []) == text
