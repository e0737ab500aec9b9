"""The texts of each alarm: what must never be seen on the cluster wire, by the slug in `LeaseRow.alarms`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AlarmWords:
    """One alarm, as each view names it.

    `note`: beside a machine in the topology, `brief` where there is little room. `narrow` and `wide`: in the state
    column of the lease table. `search_terms`: by which a search finds it there. `sentence`: the text of its event.
    """

    note: str
    brief: str
    narrow: str
    wide: str
    search_terms: str
    sentence: str


ALARMS = {
    "one-mac": AlarmWords(
        note="cloned",
        brief="cloned",
        narrow="! cloned",
        wide="! duplicate MAC",
        search_terms="clone duplicate mac",
        sentence="there are two machines with its MAC",
    ),
    "one-address": AlarmWords(
        note="doubled",
        brief="doubled",
        narrow="! double",
        wide="! duplicate IP",
        search_terms="double duplicate ip address",
        sentence="two machines say that this address is theirs",
    ),
    "tenant-mac": AlarmWords(
        note="a tenant's MAC",
        brief="tenant",
        narrow="! tenant",
        wide="! tenant's MAC",
        search_terms="tenant leak",
        sentence="a tenant's MAC was seen on this wire",
    ),
}


def alarm_words(slug: str) -> AlarmWords:
    """The texts of an alarm; its slug where it has none."""
    return ALARMS.get(slug) or AlarmWords(slug, slug, f"! {slug}", f"! {slug}", slug, slug)
