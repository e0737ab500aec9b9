"""Watches which NICs appear, disappear or have a cable moved, by the kernel's link events. Needs no root."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from wizard.host.facts.nics import shown_name
from wizard.host.net import netlink
from wizard.host.net.link import DELETE_LINK, INFO, LINKS, NEW_LINK, LinkState, read_link
from wizard.plan.findings import WizardError


class NicChange(StrEnum):
    """What happened to a NIC. MOVED: its cable was unplugged and plugged in again."""

    CAME = "came"
    WENT = "went"
    PULLED = "pulled"
    PLUGGED = "plugged"
    MOVED = "moved"
    RENAMED = "renamed"
    SWITCHED = "switched"
    """It was set up or down; the cable may not have moved."""


@dataclass(frozen=True, slots=True)
class NicEvent:
    """One event. `name` is safe to show; `was` is the former name of a renamed NIC, else ""."""

    what: NicChange
    name: str
    was: str = ""

    @property
    def of_cable(self) -> bool:
        return self.what in (NicChange.PULLED, NicChange.PLUGGED, NicChange.MOVED)


class NicWatch:
    """Watches the NICs of this network namespace. Close it when done. Raises WizardError without link events."""

    def __init__(self) -> None:
        try:
            self._kernel = netlink.listen(socket.NETLINK_ROUTE, LINKS)
        except OSError as error:
            raise WizardError(
                f"The kernel reports no link events: {error.strerror}.", "Look again with ctrl+r instead."
            ) from error
        # Only after we listen: a change in between is then seen twice, not missed.
        self._known = {index: link for index, _ in socket.if_nameindex() if (link := read_link(index))}

    def poll(self, timeout_s: float = 0) -> tuple[NicEvent, ...]:
        """The events since the last call; waits up to `timeout_s` for one. Raises WizardError."""
        if not select.select([self._kernel], [], [], timeout_s)[0]:
            return ()
        found = []
        for index in self._changed_indexes():
            before, now = self._known.get(index), read_link(index)
            if now is None:
                self._known.pop(index, None)
            else:
                self._known[index] = now
            found += [event for event in compare(before, now) if event]
        return tuple(found)

    def close(self) -> None:
        self._kernel.close()

    def _changed_indexes(self) -> Iterable[int]:
        """The indexes of the NICs in the queued events, each once."""
        indexes: dict[int, None] = {}
        while True:
            try:
                for kind, body in netlink.drain(self._kernel):
                    if kind in (NEW_LINK, DELETE_LINK) and len(body) >= INFO.size:
                        indexes[INFO.unpack_from(body)[2]] = None
                return indexes
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise WizardError(f"The kernel reports no link events any more: {error.strerror}.") from error
                # The kernel dropped events: any NIC may have changed.
                indexes |= dict.fromkeys([*self._known, *(index for index, _ in socket.if_nameindex())])


def compare(before: LinkState | None, now: LinkState | None) -> Iterable[NicEvent]:
    """The events between two states of a NIC; None is a NIC that does not exist."""
    if before is None and now is None:
        return
    if before is None or now is None:
        link = now or before
        if link is not None:
            yield NicEvent(NicChange.WENT if now is None else NicChange.CAME, shown_name(link.name))
        return
    name = shown_name(now.name)
    if before.name != now.name:
        yield NicEvent(NicChange.RENAMED, name, shown_name(before.name))
    if before.up != now.up:
        yield NicEvent(NicChange.SWITCHED, name)
    elif before.carrier != now.carrier:
        yield NicEvent(NicChange.PLUGGED if now.carrier else NicChange.PULLED, name)
    elif now.up and before.carrier_changes != now.carrier_changes:
        yield NicEvent(NicChange.MOVED if now.carrier else NicChange.PULLED, name)
