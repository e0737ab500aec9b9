"""The commands on images: what nodes can boot over the network."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from wizard.cli.console import coloured, flush_out, out, out_json, say, table
from wizard.deploy.armed import read_armed
from wizard.deploy.images.sources import Given, open_source
from wizard.deploy.images.store import ImageState, ImageStore, StoredImage, mebibytes
from wizard.plan.findings import NeedsRoot, WizardError
from wizard.plan.image_fields import parse_architecture, parse_image_kind, parse_image_name
from wizard.plan.netboot import ArmedDamaged
from wizard.plan.text import clean

if TYPE_CHECKING:
    from wizard.deploy.images.store import Told

_Value = TypeVar("_Value")
_TONES = {ImageState.WHOLE: "good", ImageState.DAMAGED: "error", ImageState.INCOMPLETE: "warning"}


def image(args: argparse.Namespace) -> int:
    """Carry out `image ACTION`."""
    actions = {"add": _add, "list": _list, "check": _check, "remove": _remove}
    return actions[args.action](args)


def _add(args: argparse.Namespace) -> int:
    name = _read("NAME", parse_image_name, args.name)
    given = Given(
        args.source or "",
        args.kernel or "",
        tuple(args.initrd),
        args.script or "",
        None if args.kind is None else _read("--kind", parse_image_kind, args.kind),
        None if args.arch is None else _read("--arch", parse_architecture, args.arch),
    )
    _need_root("image add")
    source = open_source(given)
    if not args.json:
        total = sum(part.size for part in source.parts)
        say(f"Adding {name}: {source.kind}, {source.architecture}, {mebibytes(total)} of {clean(source.label)}.")
    try:
        manifest = ImageStore().add(name, source, _progress())
    except KeyboardInterrupt:
        say(f"\nStopped. What was copied is kept: run it again to go on, or 'sudo ciao-wizard image remove {name}'.")
        raise
    if args.json:
        out_json(manifest.as_json())
    else:
        out(f"{name}: {len(manifest.files)} files, {mebibytes(manifest.size)}")
    return 0


def _list(args: argparse.Namespace) -> int:
    images = ImageStore().images()
    if args.json:
        out_json([_as_json(each) for each in images])
        return 0
    if not images:
        say("No images are here. Add one: sudo ciao-wizard image add NAME SOURCE")
        return 0
    rows = [_row(each) for each in images]
    for line in table(["NAME", "KIND", "ARCH", "SIZE", "STATE", "ADDED", "FROM"], rows):
        out(line)
    return 0


def _row(each: StoredImage) -> list[str]:
    seen = each.manifest
    if seen is None:
        return [each.name, "-", "-", mebibytes(each.size), each.state, "-", "-"]
    size = mebibytes(each.size)
    return [each.name, seen.kind, seen.architecture, size, each.state, _local(seen.added), seen.source or "-"]


def _local(added: str) -> str:
    try:
        return datetime.fromisoformat(added).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):
        return clean(added, 40) or "-"


def _check(args: argparse.Namespace) -> int:
    store = ImageStore()
    names = [_read("NAME", parse_image_name, name) for name in args.name] or [each.name for each in store.images()]
    wrong = False
    found = []
    for name in dict.fromkeys(names):
        seen = _checked(store, name, args.json)
        found.append(seen)
        wrong = wrong or seen.state is not ImageState.WHOLE
        if not args.json:
            out(f"{name}: {coloured(seen.state, _TONES[seen.state], sys.stdout)}")
            for each in seen.problems:
                out(f"  {clean(each.file)}: {clean(each.problem, 300)}")
    if args.json:
        out_json([_as_json(each) for each in found])
    elif wrong:
        flush_out()
        say("Remove what is not whole, and add it again; what is incomplete goes on when it is added again.")
    elif not found:
        say("No images are here.")
    return 1 if wrong else 0


def _checked(store: ImageStore, name: str, quiet: bool) -> StoredImage:
    unfinished = next((each for each in store.images() if each.name == name), None)
    if unfinished is not None and unfinished.state is ImageState.INCOMPLETE:
        return unfinished
    return store.check(name) if quiet else store.check(name, _progress())


def _remove(args: argparse.Namespace) -> int:
    names = [_read("NAME", parse_image_name, name) for name in args.name]
    _need_root("image remove")
    store = ImageStore()
    try:
        armed = read_armed()
    except ArmedDamaged:
        # Then nobody is served.
        armed = ()
    removed = []
    for name in dict.fromkeys(names):
        size = store.remove(name, [node.name for node in armed if node.image == name])
        removed.append({"name": name, "freed": size})
        if not args.json:
            out(f"{name}: removed, {mebibytes(size)} freed")
    if args.json:
        out_json(removed)
    return 0


def _as_json(each: StoredImage) -> dict[str, Any]:
    about: dict[str, Any] = {"name": each.name, "state": each.state.value, "size": each.size}
    about["problems"] = [{"file": problem.file, "problem": problem.problem} for problem in each.problems]
    known = each.manifest.as_json() if each.manifest else {}
    for key in ("kind", "architecture", "kernel", "initrd", "script", "iso", "source", "added", "files"):
        about[key] = known.get(key, [] if key in ("initrd", "files") else None)
    return about


def _read(field: str, parse: Callable[[str], _Value], text: str) -> _Value:
    """A word of the command line. Raises WizardError, status 2."""
    try:
        return parse(text)
    except WizardError as error:
        wrong = WizardError(f"{field}: {error.message}", error.remedy)
        wrong.status = 2
        raise wrong from None


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise NeedsRoot(f"{what} needs root", f"Run it again with sudo: sudo {shlex.join(sys.argv)}")


def _progress() -> Told:
    """Says how far it is: on a terminal in one line that changes, elsewhere once a file."""
    terminal = sys.stderr.isatty()
    shown: list[object] = [None]

    def told(file: str, done: int, total: int) -> None:
        percent = 100 * done // total if total else 100
        now = (file, percent) if terminal else file
        if now == shown[0]:
            return
        shown[0] = now
        if not terminal:
            say(f"  {clean(file)}")
            return
        line = f"  {percent:3} %  {clean(file, 40):40}"
        sys.stderr.write(f"\r{line}" + ("\r" + " " * len(line) + "\r" if done >= total else ""))
        sys.stderr.flush()

    return told
