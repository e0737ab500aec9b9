"""What JSON, YAML and TOML are all read into: lists, texts, and mappings that know their lines."""

from __future__ import annotations

from typing import Any

DEEPEST = 100
"""Levels of nesting. No list of machines has ten."""


class NotATree(ValueError):
    """The text is not in its notation. `line` (from 1) is where the parser stopped."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


class Mapping(dict[str, Any]):
    """An object, the line that it begins on, and those of its keys where known."""

    line = 0

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


class TreeBuilder:
    """Builds a tree from a parser's events. Lines count from 1."""

    def __init__(self) -> None:
        self._documents: list[Any] = []
        self._open: list[Mapping | list[Any]] = []
        # For each that is open the key that waits for its value, and that key's line; None in a list.
        self._keys: list[str | None] = []
        self._key_lines: list[int] = []

    @property
    def wants_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1], Mapping) and self._keys[-1] is None

    @property
    def wants_value(self) -> bool:
        """True if a key of a mapping waits for its value."""
        return bool(self._open) and self._keys[-1] is not None

    def put(self, value: Any, line: int) -> None:
        """A key, a value or an item, whichever comes next. In YAML a key may be no text: it reads as "?"."""
        if not self._open:
            self._documents.append(value)
            return
        parent, key = self._open[-1], self._keys[-1]
        if isinstance(parent, list):
            parent.append(value)
        elif key is None:
            self._keys[-1] = value if isinstance(value, str) else "?"
            self._key_lines[-1] = line
        else:
            if key == "<<" and isinstance(value, Mapping):
                # YAML's merge key: what the mapping has itself goes first.
                for name, held in value.items():
                    parent.setdefault(name, held)
            else:
                parent[key] = value
                parent.lines[key] = self._key_lines[-1]
            self._keys[-1] = None

    def begin(self, container: Mapping | list[Any], line: int) -> None:
        """What follows is put into `container`, until `end`. Raises NotATree below DEEPEST levels."""
        if len(self._open) >= DEEPEST:
            raise NotATree(line, "nested too deeply")
        if isinstance(container, Mapping):
            container.line = line
        self.put(container, line)
        self._open.append(container)
        self._keys.append(None)
        self._key_lines.append(line)

    def end(self) -> Mapping | list[Any] | None:
        """Close what was opened last and return it; None where nothing is open."""
        if not self._open:
            return None
        self._keys.pop()
        self._key_lines.pop()
        return self._open.pop()

    def result(self, line: int) -> Any:
        """The tree; a list of trees where the text holds several. Raises NotATree while one is open."""
        if self._open:
            raise NotATree(line, "it ends before all that was opened is closed")
        return self._documents[0] if len(self._documents) == 1 else self._documents
