"""How old an answer may be and still be shown as current."""

from __future__ import annotations

STALE_S = 6.0
"""Three looks of a page that looks every 2 s."""
