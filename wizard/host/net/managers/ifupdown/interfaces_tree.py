"""Reads all files that ifupdown reads: /etc/network/interfaces, and what it sources, in reading order."""

from __future__ import annotations

import glob
import os
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wizard.host.net.managers.ifupdown.interfaces_file import lines_of
from wizard.plan.ifupdown import InterfacesLine

DEEPEST = 12
"""How deep files may source each other; deeper counts as a loop."""
# The names that `source-directory` reads; one with a dot is skipped.
_READ_IN_DIRECTORY = re.compile(r"[A-Za-z0-9_-]+")
# A pattern with one of these matches nothing: ifupdown calls wordexp() without an environment or commands.
_NOT_EXPANDED = re.compile(r"[|&;<>(){}`$~]")


@dataclass(frozen=True, slots=True)
class InterfacesFile:
    """A file as it is read at one place. `text` is None if it cannot be read, and `closed` is True if we lack the
    permission. `sources` maps the index of each `source` line to the files that it reads."""

    path: str
    text: str | None
    sources: Mapping[int, tuple[InterfacesFile, ...]]
    closed: bool = False

    def files(self) -> Iterator[InterfacesFile]:
        """This file and all that it sources, in reading order; a file that is read twice comes twice."""
        yield self
        for read in self.sources.values():
            for file in read:
                yield from file.files()


def decoded(content: bytes) -> str:
    """A file's text, byte for byte: bytes that are not UTF-8 become surrogates."""
    return content.decode("utf-8", "surrogateescape")


def read_tree(path: str, root: Path = Path("/"), depth: int = 0) -> InterfacesFile:
    """The file at `path` and all that it sources. `root` is prefixed to every path."""
    try:
        text = decoded(_at(root, path).read_bytes())
    except OSError as error:
        return InterfacesFile(path, None, {}, isinstance(error, PermissionError))
    sources: dict[int, tuple[InterfacesFile, ...]] = {}
    if depth < DEEPEST:
        for place, line in enumerate(lines_of(text)):
            if line.words[:1] in (("source",), ("source-directory",)):
                named = named_by(line.words, path, root)
                sources[place] = tuple(read_tree(name, root, depth + 1) for name in named)
    return InterfacesFile(path, text, sources)


def read_lines(path: str, ours: str, root: Path = Path("/")) -> tuple[InterfacesLine, ...]:
    """All lines that ifupdown reads from `path` on, except those of the file `ours`."""
    files = [f for f in read_tree(path, root).files() if os.path.normpath(f.path) != ours]
    return tuple(line for f in files for line in interfaces_lines(f.path, f.text or ""))


def unreadable(path: str, root: Path = Path("/")) -> tuple[str, ...]:
    """Those of the files that `path` leads to, and the directories of patterns, that we lack the permission to read."""
    return tuple(sorted({f.path for f in read_tree(path, root).files() if f.closed}))


def interfaces_lines(path: str, text: str) -> Iterator[InterfacesLine]:
    """The lines of one file, without blank lines and comments."""
    number = 1
    for line in lines_of(text):
        if line.words:
            yield InterfacesLine(os.path.normpath(path), number, line.words)
        number += len(line.parts)


def named_by(words: tuple[str, ...], path: str, root: Path = Path("/")) -> list[str]:
    """The files that a `source` or `source-directory` line of the file `path` reads, in order."""
    try:
        patterns = shlex.split(" ".join(words[1:])) if not _NOT_EXPANDED.search(" ".join(words[1:])) else []
    except ValueError:
        return []
    # ifupdown puts the file's directory before the first word only; the others are relative to where it runs, /.
    base = posixpath.dirname(path)
    patterns = [p if p.startswith("/") else f"{base if n == 0 else ''}/{p}" for n, p in enumerate(patterns) if p]
    found: list[str] = []
    for pattern in (p.replace("[^", "[!") for p in patterns):
        # Unlike Path.glob it skips names with a leading dot, as the shell does.
        found_here = glob.glob(pattern.lstrip("/"), root_dir=root)  # noqa: PTH207
        matched = sorted(found_here) if glob.has_magic(pattern) else [pattern]
        if (parent := posixpath.dirname(pattern)) and not glob.has_magic(parent) and _is_closed(_at(root, parent)):
            # As a file, it cannot be read either.
            matched = [parent]
        names = ["/" + name.lstrip("/") for name in matched]
        found += names if words[0] == "source" else [file for name in names for file in _in_directory(name, root)]
    return found


def _in_directory(directory: str, root: Path) -> list[str]:
    try:
        names = sorted(entry.name for entry in _at(root, directory).iterdir())
    except OSError:
        return []
    return [f"{directory.rstrip('/')}/{name}" for name in names if _READ_IN_DIRECTORY.fullmatch(name)]


def _is_closed(directory: Path) -> bool:
    return os.path.isdir(directory) and not os.access(directory, os.R_OK | os.X_OK)  # noqa: PTH112


def _at(root: Path, path: str) -> Path:
    return root / path.lstrip("/")
