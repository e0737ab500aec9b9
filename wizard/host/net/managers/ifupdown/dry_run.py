"""Checks on a copy, with ifquery, what ifupdown would read from its files after our change."""

from __future__ import annotations

import contextlib
import os
import re
import resource
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wizard.host.commands import CommandFailed, run
from wizard.host.net.managers.ifupdown import interfaces_file
from wizard.host.net.managers.ifupdown.interfaces_tree import DEEPEST, named_by, read_tree
from wizard.host.net.managers.ifupdown.main_file import main_file_bytes
from wizard.host.net.managers.ifupdown.own_stanza import is_our_file
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.ifupdown import is_of
from wizard.plan.text import clean

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.:][A-Za-z0-9_.:-]*")
_STAND_IN_ADDRESS = "192.0.2.1"
_STAND_IN = f"allow-hotplug {{nic}}\niface {{nic}} inet static\n    address {_STAND_IN_ADDRESS}/24\n"
"""Stands in for our own file, which is not rendered yet."""


def refuse_to_break(before: Mapping[str, str], after: Mapping[str, str], nic: str, ours: set[str]) -> None:
    """Raises WizardError if ifupdown would read the files `after` differently than `before` for any interface but
    `ours`, or would give `nic` more than our address. Both map a file's real path to its text."""
    remedy = f"Nothing was changed. Take {nic} out of {paths.INTERFACES_MAIN} by hand, then run it again."
    _refuse_unknown_files()
    names: set[str] = set()
    classes: set[str] = set()
    for text in before.values():
        names |= set(interfaces_file.ifaces(text))
        classes |= set(interfaces_file.classes(text))
    others = sorted(name for name in names if not any(is_of(name, own) for own in ours))
    with private_copy(before, None) as (file, read):
        seen = _read_by_ifupdown(file, read, others, sorted(classes), ours, "as it is", "Fix it, then run this again.")
    with private_copy(after, _STAND_IN.format(nic=nic)) as (file, read):
        coming = _read_by_ifupdown(file, read, others, sorted(classes), ours, f"without {nic}", remedy)
        given = _query(file, nic) or ""
    changed = [what for what in seen if seen[what] != coming[what]]
    if changed:
        raise WizardError(
            f"{paths.INTERFACES_MAIN}: to take {nic} out of it would change {', '.join(changed)} for others", remedy
        )
    if given.count(f"address: {_STAND_IN_ADDRESS}\n") > 1:
        raise WizardError(
            f"{paths.INTERFACES_FILE} would be read twice, under two paths, and ifup fails at the second",
            f"Take out one of the `source` lines in {paths.INTERFACES_MAIN} and the files that it reads.",
        )
    keys = [line.partition(":")[0] for line in given.splitlines()]
    if keys.count("address") != 1 or f"address: {_STAND_IN_ADDRESS}\n" not in given or "gateway" in keys:
        raise WizardError(
            f"{paths.INTERFACES_MAIN}: with our file beside it ifupdown would give {nic} something else than the "
            f"gateway's address alone ({clean(', '.join(given.splitlines()) or 'nothing at all')})",
            remedy,
        )


def _refuse_unknown_files() -> None:
    """Raises WizardError if ifupdown reads a file that we do not."""
    try:
        output = run("sh", "-c", 'exec ifquery -v --list -i "$1" 2>&1', "sh", paths.INTERFACES_MAIN, ok=(0, 1))
    except CommandFailed:
        return
    read = {line.partition(": parsing file ")[2] for line in output.splitlines()} - {""}
    known = {os.path.realpath(file.path) for file in read_tree(paths.INTERFACES_MAIN).files()}
    for path in sorted(read):
        if Path(path).is_file() and os.path.realpath(path) not in known and not is_our_file(path):
            raise WizardError(
                f"ifupdown reads {clean(path)} too, by a line that ciao-wizard cannot follow",
                "Name that file in full in a `source` line of its own.",
            )


class CopiedFile(NamedTuple):
    """A file that ifupdown reads: its path, its text, and the path of its copy, whose `source` lines name copies."""

    path: str
    text: str
    copy: str


@contextlib.contextmanager
def private_copy(texts: Mapping[str, str], ours: str | None) -> Iterator[tuple[str, list[CopiedFile]]]:
    """A copy of what ifupdown reads, with these texts (by real path) and our file as given, in memory.

    Nothing is left of it if we are killed. Yields the path of the first copy, and each file that is read. Raises
    WizardError if it cannot be written.
    """
    with _descriptors_for(len(texts)), contextlib.ExitStack() as files:
        copy = _Copy(files, texts, ours)
        try:
            first = copy.of(paths.INTERFACES_MAIN, 0)
        except OSError as error:
            raise WizardError(
                f"{paths.INTERFACES_MAIN}: its {len(copy.read)} files cannot be copied: {error.strerror}",
                "Merge some of the files that it reads, or free some memory.",
            ) from error
        yield first, copy.read


@contextlib.contextmanager
def _descriptors_for(count: int) -> Iterator[None]:
    """Allow for `count` more open files than usual, where the hard limit does: each copy takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A file may be read under two names.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft + 2 * count, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class _Copy:
    """A copy being made. `read` grows in the order in which ifupdown reads."""

    def __init__(self, files: contextlib.ExitStack, texts: Mapping[str, str], ours: str | None) -> None:
        self.files = files
        self.texts = texts
        self.ours = ours
        self.read: list[CopiedFile] = []
        self.copies: dict[str, str] = {}

    def of(self, path: str, depth: int) -> str:
        """Copy the file at `path`, and all that it reads. Returns the path of the copy, "" if it is not read."""
        text = self.ours if is_our_file(path) else self.texts.get(os.path.realpath(path))
        if text is None or depth > DEEPEST:
            return ""
        # ifupdown takes a file that it reads twice by one path only once.
        if path in self.copies:
            return self.copies[path]
        descriptor = os.memfd_create("interfaces")
        file = self.files.enter_context(os.fdopen(descriptor, "wb"))
        copy = f"/proc/{os.getpid()}/fd/{descriptor}"
        self.copies[path] = copy
        self.read.append(CopiedFile(os.path.normpath(path), text, copy))
        sources: dict[int, list[str]] = {}
        for place, line in enumerate(interfaces_file.lines_of(text)):
            if line.words[:1] in (("source",), ("source-directory",)):
                named = named_by(line.words, path)
                named += [name for name in interfaces_file.ours_as_named(line, path) if name not in named]
                sources[place] = [file for file in (self.of(name, depth + 1) for name in named) if file]
        file.write(main_file_bytes(interfaces_file.with_sources(text, sources)))
        file.flush()
        return copy


def _read_by_ifupdown(
    file: str,
    read: Sequence[CopiedFile],
    names: list[str],
    classes: list[str],
    ours: set[str],
    state: str,
    remedy: str,
) -> dict[str, Any]:
    """What ifupdown reads from a copy: class -> its interfaces, interface -> its stanza; without `ours`."""
    try:
        return _query_all(file, names, classes, ours)
    except CommandFailed as error:
        reason = next(iter(error.stderr.splitlines()), error.message)
        for copied in read:
            reason = reason.replace(f"{copied.copy}:", f"{copied.path}:")
        raise WizardError(
            f"{paths.INTERFACES_MAIN}: ifupdown cannot read it {state}: {clean(reason)}", remedy
        ) from error


def _query_all(file: str, names: list[str], classes: list[str], ours: set[str]) -> dict[str, Any]:
    try:
        run("ifquery", "--list", "-i", file)
    except CommandFailed as error:
        # An `auto` line without a stanza does no harm.
        if not all("unknown interface" in line for line in error.stderr.splitlines() or [""]):
            raise
    found: dict[str, Any] = {}
    for name in filter(_PLAIN_NAME.fullmatch, classes):
        listed = run("ifquery", "--list", "--all", "--allow", name, "-i", file, ok=(0, 1))
        others = {one for one in listed.split() if not any(is_of(one, own) for own in ours)}
        found["auto" if name == "auto" else f"allow-{name}"] = others
    for name in filter(_PLAIN_NAME.fullmatch, names):
        found[f"iface {name}"] = _query(file, name)
    return found


def _query(file: str, name: str) -> str | None:
    """The stanza of an interface, or None if ifupdown has none."""
    try:
        # Without mappings: ifquery, like ifup --no-act, would run their scripts.
        return run("ifquery", "--no-mappings", "-i", file, name)
    except CommandFailed:
        return None
