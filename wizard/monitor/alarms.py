"""The words for what should never be seen on the cluster's wire, by the slug in `Row.alarms`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AlarmWords:
    """One alarm, as each view of a row names it.

    `note`: beside a machine in the topology picture, `brief` where that has little room. `narrow` and `wide`: in the
    state column of the lease table. `sought`: what a search of that table finds it by. `sentence`: among the events.
    """

    note: str
    brief: str
    narrow: str
    wide: str
    sought: str
    sentence: str


ALARMS = {
    "one-mac": AlarmWords(
        note="cloned",
        brief="cloned",
        narrow="! cloned",
        wide="! duplicate MAC",
        sought="clone",
        sentence="there are two machines with its MAC",
    ),
    "one-address": AlarmWords(
        note="doubled",
        brief="doubled",
        narrow="! double",
        wide="! duplicate IP",
        sought="double",
        sentence="two machines say that this address is theirs",
    ),
    "tenant-mac": AlarmWords(
        note="a tenant's MAC",
        brief="tenant",
        narrow="! tenant",
        wide="! tenant's MAC",
        sought="tenant leak",
        sentence="a tenant's MAC was seen on this wire",
    ),
}


def alarm_words(slug: str) -> AlarmWords:
    """The words for an alarm; one without words of its own goes by its slug."""
    return ALARMS.get(slug) or AlarmWords(slug, slug, f"! {slug}", f"! {slug}", slug, slug)
