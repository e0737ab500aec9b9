"""Checks JSON that was read back from disk, before it is used: another version may have written it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Predicate = Callable[[Any], bool]


def is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def is_text(value: Any) -> bool:
    """Whether it is text that may be a path: encodable, and without a NUL byte."""
    try:
        return isinstance(value, str) and b"\0" not in value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False


def is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def is_number(value: Any, below: int = 1 << 63) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below


def are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_text, value))


def has(value: Any, **keys: Predicate) -> bool:
    """Whether it is a mapping with all of these keys, each passing its check."""
    return is_mapping(value) and all(key in value and check(value[key]) for key, check in keys.items())


def may_have(value: dict[str, Any], **keys: Predicate) -> bool:
    """Whether each of these keys passes its check, or is absent."""
    return all(key not in value or check(value[key]) for key, check in keys.items())
