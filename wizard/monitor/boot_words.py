"""What is said of boots: times, how long a stage took, and what has changed between two looks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from wizard.monitor.boot_stages import Boot, StageTime
from wizard.plan.netboot import Stage
from wizard.plan.text import clean


def clock(at: float, now: float) -> str:
    """The time of day of a Unix time, with the day where that was another."""
    there, here = datetime.fromtimestamp(at), datetime.fromtimestamp(now)
    return f"{there:%H:%M:%S}" if there.date() == here.date() else f"{there:%d %b %H:%M}"


def took(seconds: float) -> str:
    """A duration: "42 s", "3:07 min", "1:02:11 h", "3 d"."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    if whole < 100 * 3600:
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02} h"
    return f"{whole // 86400} d"


def stage_words(each: StageTime, now: float) -> str:
    """ "initrd 14:03:12 (+36 s)"."""
    after = f" (+{took(each.after)})" if each.after is not None else ""
    return f"{each.stage.value} {clock(each.at, now)}{after}"


def armed_words(boot: Boot) -> str:
    return f"armed with {clean(boot.image, 63)}, {boot.times}" if boot.times else "disarmed"


def changes(before: Iterable[Boot], after: Iterable[Boot], now: float) -> tuple[str, ...]:
    """A line for each thing that has changed, in the nodes' order and each node's own."""
    known = {boot.node: boot for boot in before}
    lines = []
    for boot in after:
        old = known.get(boot.node, Boot(boot.node))
        again = old.since != boot.since and bool(boot.times)
        said = []
        if (old.image, old.times) != (boot.image, boot.times) or again:
            said.append((_armed_at(boot) or now, armed_words(boot)))
        for each in boot.timeline if boot.begun else ():
            if again or old.stages.get(each.stage) != each.at:
                said.append((each.at, f"{each.stage.value}{f' after {took(each.after)}' if each.after else ''}"))
        if boot.hint and boot.hint != old.hint:
            said.append((now, f"stuck: {boot.hint}"))
        # Reported, and so disarmed: in the order in which it happened.
        said.sort(key=lambda each: each[0])
        lines += [f"{clock(at, now):8}  {clean(boot.node, 63)}: {words}" for at, words in said]
    return tuple(lines)


def _armed_at(boot: Boot) -> float | None:
    return datetime.fromisoformat(boot.since).timestamp() if boot.since else None


def signs(boot: Boot) -> str:
    """A sign a stage: ● it came to it, · it was passed over, ! it is stuck before it, ○ it is still to come.

    "" for a node that is not armed and has fetched nothing.
    """
    if not boot.begun:
        return ""
    stages = list(Stage)
    last = max((stages.index(stage) for stage in boot.stages), default=-1)
    row = ["●" if stage in boot.stages else "·" if number < last else "○" for number, stage in enumerate(stages)]
    if boot.hint and last + 1 < len(row):
        row[last + 1] = "!"
    return "".join(row)
