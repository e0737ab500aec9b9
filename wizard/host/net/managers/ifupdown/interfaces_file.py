"""Edits the text of /etc/network/interfaces, and undoes the edit. Pure functions.

Texts hold every byte of the file: bytes that are not UTF-8 as surrogates, line ends as they are. Lines that are not
ours to change are returned unchanged.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from wizard.plan import paths
from wizard.plan.ifupdown import begins_stanza, is_of, is_own_stanza

SOURCE_LINE = f"source {paths.INTERFACES_FILE}"
"""Our file only: ifupdown may not have read the other files of that directory, and must not because of us."""
_MARK = "# ciao-wizard: "
_ADDED = "# added by ciao-wizard"
_ADDED_AT_END = "# added by ciao-wizard, and the end of the line before"
# White space as C defines it: str.split() takes more.
_SPACE = re.compile(r"[ \t\r\n\v\f]+")


@dataclass(frozen=True, slots=True)
class Line:
    """A logical line: `parts` are the lines of the file that backslashes join, `words` the words of all of them."""

    parts: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def begins_stanza(self) -> bool:
        return begins_stanza(self.words)

    @property
    def raises(self) -> bool:
        """Whether it lists interfaces to bring up: `auto` or `allow-…`."""
        return bool(self.words) and (self.words[0] == "auto" or self.words[0].startswith("allow-"))


def parts_of(text: str) -> list[str]:
    """The lines of the file with their line ends. Only a newline ends one, unlike in str.splitlines()."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def lines_of(text: str) -> list[Line]:
    """The logical lines. Blank lines and comments have no words; a backslash does not continue a comment."""
    found: list[Line] = []
    pending: list[str] = []
    for part in parts_of(text):
        if not pending and (not (words := _words(part)) or words[0].startswith("#")):
            found.append(Line((part,), ()))
            continue
        pending.append(part)
        if not _goes_on(part):
            found.append(_joined(pending))
            pending = []
    return [*found, _joined(pending)] if pending else found


def _goes_on(part: str) -> bool:
    return part.removesuffix("\n").endswith("\\")


def _joined(parts: list[str]) -> Line:
    whole = "".join(p.removesuffix("\n")[:-1] if _goes_on(p) else p for p in parts)
    return Line(tuple(parts), _words(whole))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in _SPACE.split(text) if word)


def edited(text: str, nic: str) -> str:
    """The text with a `source` line for our file, and with the cluster NIC's own stanzas commented out, line by line.

    Returns the same text if there is nothing to do.
    """
    result = without_nic(text, nic)
    return result if reads_ours(result) else _with_source(result)


def without_nic(text: str, nic: str) -> str:
    """The text with everything that is for this NIC alone commented out, line by line."""
    found: list[str] = []
    inside = False
    for line in lines_of(text):
        if line.begins_stanza:
            inside = is_own_stanza(line.words, nic)
        if line.raises and any(is_of(word, nic) for word in line.words[1:]):
            found += _without(line, nic)
        elif inside and line.words:
            found += [_MARK + part for part in line.parts]
        else:
            found += line.parts
    return "".join(found)


def without_nic_again(text: str, nic: str) -> str:
    """Undo our earlier edit, for whichever NIC, then take this one out (`without_nic`)."""
    return without_nic(restored(text), nic)


def _without(line: Line, nic: str) -> list[str]:
    """The `auto` line commented out; if it names other interfaces too, followed by one for those."""
    marked = [_MARK + part for part in line.parts]
    others = [word for word in line.words if not is_of(word, nic)]
    if len(others) == 1:
        return marked
    content, end = _split_end(marked[-1])
    indent = line.parts[0][: len(line.parts[0]) - len(line.parts[0].lstrip(" \t"))]
    return [*marked[:-1], content + (end or "\n"), indent + " ".join(others) + end]


def _split_end(part: str) -> tuple[str, str]:
    content = part.removesuffix("\n").removesuffix("\r") if part.endswith("\n") else part
    return content, part[len(content) :]


def _with_source(text: str) -> str:
    if not text:
        return f"{_ADDED}\n{SOURCE_LINE}\n"
    # The empty line also ends a last line that ends in a backslash.
    if text.endswith("\n"):
        return f"{text}\n{_ADDED}\n{SOURCE_LINE}\n"
    return f"{text}\n\n{_ADDED_AT_END}\n{SOURCE_LINE}\n"


def restored(text: str) -> str:
    """The text without what `edited` did to it. Changes that others made since are kept."""
    return _unmarked(_without_source(text))


def edited_again(text: str, nic: str) -> str:
    """Undo our earlier edit, for whichever NIC, then edit for this one (`edited`)."""
    bare = _without_source(text)
    if bare != text and not text.endswith(f"\n{SOURCE_LINE}\n") and not reads_ours(bare) and reads_ours(text):
        # Our line stays where it is, before what others appended.
        bare = text
    return edited(_unmarked(bare), nic)


def _without_source(text: str) -> str:
    parts = parts_of(text)
    while (at := next((i for i, p in enumerate(parts) if p.strip() in (_ADDED, _ADDED_AT_END)), None)) is not None:
        last = at + 1 if parts[at + 1 : at + 2] and parts[at + 1].strip() == SOURCE_LINE else at
        first = at - 1 if at and parts[at - 1] == "\n" else at
        at_end = parts[at].strip() == _ADDED_AT_END and last == len(parts) - 1
        del parts[first : last + 1]
        if at_end and parts:
            parts[-1] = parts[-1].removesuffix("\n")
    return "".join(parts)


def _unmarked(text: str) -> str:
    found: list[str] = []
    back: list[str] = []
    for part in parts_of(text):
        if part.startswith(_MARK):
            back.append(part.removeprefix(_MARK))
            found.append(back[-1])
            continue
        if back and _stands_for(part, lines_of("".join(back))[-1]):
            found[-1] = found[-1] if part.endswith("\n") else found[-1].removesuffix("\n")
        else:
            found.append(part)
        back = []
    return "".join(found)


def _stands_for(part: str, line: Line) -> bool:
    """Whether this is the line that we wrote below an `auto` line we commented out."""
    words = _words(part)
    names = {re.split("[=:]", word)[0] for word in line.words[1:] if word not in words}
    return line.raises and any(words == tuple(w for w in line.words if not is_of(w, nic)) for nic in names)


def reads_ours(text: str, path: str = "") -> bool:
    """Whether an interfaces file at `path` (default: /etc/network/interfaces) sources our file directly."""
    return any(line_reads_ours(line, path) for line in lines_of(text))


def line_reads_ours(line: Line, path: str = "") -> bool:
    """Whether this line sources our file, by `source` or `source-directory`."""
    return bool(ours_as_named(line, path))


def ours_as_named(line: Line, path: str = "") -> list[str]:
    """The paths under which this line of the file at `path` sources our file."""
    # `source-directory` skips names with characters other than letters, digits, "_" and "-": ours has none.
    directory, name = posixpath.split(paths.INTERFACES_FILE)
    wanted = {"source": paths.INTERFACES_FILE, "source-directory": directory}.get(line.words[0] if line.words else "")
    if wanted is None:
        return []
    patterns = [p for p in _patterns(line, path) if _matches(posixpath.normpath(p), wanted)]
    parents = [p if wanted == directory else posixpath.dirname(p) for p in patterns]
    # What a pattern for directories expands to is not known here.
    return [f"{directory if re.search('[*?[]', parent) else parent}/{name}" for parent in parents]


def _patterns(line: Line, path: str) -> list[str]:
    """The patterns of a `source` line, as full paths. ifupdown puts the file's directory before the first only."""
    words = " ".join(line.words[1:])
    try:
        named = shlex.split(words)
    except ValueError:
        return []
    named[:1] = [posixpath.join(posixpath.dirname(path or paths.INTERFACES_MAIN), n) for n in named[:1]]
    return [n for n in named if n.startswith("/")]


def _matches(pattern: str, path: str) -> bool:
    """Match as the shell does: no wildcard matches a slash."""
    wanted, given = pattern.replace("[^", "[!").split("/"), path.split("/")
    return len(wanted) == len(given) and all(fnmatchcase(g, w) for g, w in zip(given, wanted, strict=True))


def ifaces(text: str) -> list[str]:
    """The names with an `iface` stanza, sorted."""
    return sorted({line.words[1] for line in lines_of(text) if line.words[:1] == ("iface",) and line.words[1:]})


def classes(text: str) -> list[str]:
    """The classes that the text names (`allow-hotplug` is "hotplug"), and auto and hotplug; sorted."""
    found = {line.words[0].removeprefix("allow-") for line in lines_of(text) if line.raises}
    return sorted({*found, "auto", "hotplug"})


def with_sources(text: str, files: Mapping[int, Sequence[str]]) -> str:
    """The text with each `source` line, by its index among the logical lines, reading the given files only."""
    found: list[str] = []
    for place, line in enumerate(lines_of(text)):
        if place in files:
            found.append(" ".join(["source", *(files[place] or ["/dev/null"])]) + "\n" * len(line.parts))
        else:
            found += line.parts
    return "".join(found)
