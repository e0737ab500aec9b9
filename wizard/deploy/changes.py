"""What an apply would change on this machine, as unified diffs."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from wizard.host import dnsmasq, network
from wizard.host.files import read_text
from wizard.plan import paths
from wizard.plan.model import Plan
from wizard.plan.render import File, render


@dataclass(frozen=True, slots=True)
class Change:
    """One file: `before` is None where there is none yet, `diff` empty where nothing changes."""

    path: str
    before: str | None
    after: str
    diff: str


def files_of(plan: Plan, plan_text: str) -> tuple[File, ...]:
    """The plan's files as this machine would get them."""
    return render(plan, plan_text, dnsmasq.user_id())


def read_changes(plan: Plan, plan_text: str) -> tuple[Change, ...]:
    """Every file that the plan stands for, against what is there now."""
    found = [_change(f.path, read_text(f.path), f.text) for f in files_of(plan, plan_text)]
    main = read_text(paths.INTERFACES_MAIN) or ""
    edited = network.main_file_for(main, plan.interfaces.cluster)
    if edited != main:
        found.append(_change(paths.INTERFACES_MAIN, main or None, edited))
    return tuple(found)


def _change(path: str, before: str | None, after: str) -> Change:
    lines = difflib.unified_diff(
        (before or "").splitlines(keepends=True),
        after.splitlines(keepends=True),
        fromfile=path if before is not None else "/dev/null",
        tofile=path,
    )
    return Change(path, before, after, "".join(line if line.endswith("\n") else f"{line}\n" for line in lines))
