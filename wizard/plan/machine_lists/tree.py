"""The tree that JSON and YAML are parsed into: lists, str, and mappings that know their lines."""

from __future__ import annotations

from typing import Any

DEEPEST = 100
"""Most levels of nesting. No list of machines has ten."""


class NotATree(ValueError):
    """The text is not valid. `line` (from 1) is where parsing stopped."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


class Mapping(dict[str, Any]):
    """An object, the line (from 1) where it begins, and the lines of its keys."""

    line = 0

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


class TreeBuilder:
    """Builds a tree from a parser's events. Lines count from 1."""

    def __init__(self) -> None:
        self._documents: list[Any] = []
        self._open: list[Mapping | list[Any]] = []
        # For each open container the key that waits for its value (None in a list), and that key's line.
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
        """Add a key, a value or an item, whichever is next. A key that is no str (YAML allows it) becomes "?"."""
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
                # YAML's merge key: the mapping's own keys precede.
                for name, held in value.items():
                    parent.setdefault(name, held)
            else:
                parent[key] = value
                parent.lines[key] = self._key_lines[-1]
            self._keys[-1] = None

    def begin(self, container: Mapping | list[Any], line: int) -> None:
        """Open `container`: what follows goes into it, until `end`. Raises NotATree below DEEPEST levels."""
        if len(self._open) >= DEEPEST:
            raise NotATree(line, "nested too deeply")
        if isinstance(container, Mapping):
            container.line = line
        self.put(container, line)
        self._open.append(container)
        self._keys.append(None)
        self._key_lines.append(line)

    def end(self) -> Mapping | list[Any] | None:
        """Close the container opened last and return it; None if none is open."""
        if not self._open:
            return None
        self._keys.pop()
        self._key_lines.pop()
        return self._open.pop()

    def result(self, line: int) -> Any:
        """The tree, or a list of trees if there are several. Raises NotATree, at `line`, if a container is open."""
        if self._open:
            raise NotATree(line, "it ends before every bracket is closed")
        return self._documents[0] if len(self._documents) == 1 else self._documents
