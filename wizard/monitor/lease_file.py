"""dnsmasq's lease file. dnsmasq rewrites it in place; half of it is never returned."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wizard.plan.lease_parser import Lease, parse_leases, parse_line

MAX_BYTES = 32 * 1024 * 1024
# dnsmasq empties the file, then writes it in pieces: what is younger than this may be half of it.
_FRESH_SECONDS = 0.03
_TRIES = 10
# A file that stays empty, torn or missing this long is not being rewritten.
SETTLED_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Stamp:
    """Identifies one state of a file; all zero where there is no file."""

    inode: int = 0
    size: int = 0
    changed_ns: int = 0


_NOTHING = _Stamp()


class LeaseFile:
    """A lease file, for repeated reading.

    `read` never raises. While the file is empty, torn, gone, too large or not a plain file it returns the last good
    leases, until that state has lasted for SETTLED_SECONDS; `problem` says what is wrong, "" where nothing is.
    `unparsed`: the lines that are no lease.
    """

    def __init__(self, path: str | Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = Path(path)
        self.problem = ""
        self.unparsed: tuple[str, ...] = ()
        self._clock = clock
        self._leases: tuple[Lease, ...] = ()
        self._text = ""
        self._seen: _Stamp | None = None
        self._unsettled: tuple[_Stamp, float] | None = None

    def changed(self) -> bool:
        """Whether `read` may return something new; costs one stat."""
        if self._unsettled is not None or self._seen is None:
            return True
        try:
            return _stamp(self.path.lstat()) != self._seen
        except OSError:
            return self._seen != _NOTHING

    def read(self) -> tuple[Lease, ...]:
        """The leases as of now, or the last good ones."""
        try:
            text, stamp, quiet = _read_quietly(self.path)
        except FileNotFoundError:
            text, stamp, quiet = "", _NOTHING, True
        except _Unreadable as error:
            self.problem = str(error)
            self._seen = None
            return self._leases
        self.problem = _problem(text, stamp)
        if stamp == self._seen:
            self._unsettled = None
        elif self._is_whole(text, quiet) or not self._leases or self._has_settled(stamp):
            if not self._parse_difference(text):
                self._leases, self.unparsed = parse_leases(text, self._leases_by_line())
            self._text = text
            self._seen = stamp if quiet else None
            self._unsettled = None
        return self._leases

    def _leases_by_line(self) -> dict[str, Lease]:
        """Line -> lease. Built on demand: keeping it for 65,000 leases would cost 13 MB."""
        lines = self._text.split("\n")[:-1]
        if len(lines) == len(self._leases):
            return dict(zip(lines, self._leases, strict=True))
        known, leases = {}, iter(self._leases)
        lease = next(leases, None)
        for line in lines:
            if lease is not None and parse_line(line) == lease:
                known[line] = lease
                lease = next(leases, None)
        return known

    def _parse_difference(self, text: str) -> bool:
        """Parse only the lines that differ; False, with nothing done, where all have to be parsed.

        If one of 65,000 leases is renewed, comparing memory is a hundred times as fast as parsing each line.
        """
        old, leases = self._text, self._leases
        if not (text.endswith("\n") and leases and len(leases) == old.count("\n") and old.endswith("\n")):
            return False
        start, end = common_ends(old, text)
        start = old.rfind("\n", 0, start) + 1
        # Where the end begins within a line of either, that line counts as different.
        if not (_begins_line(old, len(old) - end) and _begins_line(text, len(text) - end)):
            end = len(old) - old.index("\n", len(old) - end) - 1
        before, after = old[start : len(old) - end], text[start : len(text) - end]
        first = old.count("\n", 0, start)
        last = len(leases) - old.count("\n", len(old) - end)
        # Between two lines that differ there may be thousands that are the same.
        known = dict(zip(before.split("\n")[:-1], leases[first:last], strict=True))
        found: list[Lease] = []
        for line in after.split("\n")[:-1]:
            lease = known.get(line) or parse_line(line)
            if lease is None:
                return False
            found.append(lease)
        self._leases = (*leases[:first], *found, *leases[last:])
        return True

    def _is_whole(self, text: str, quiet: bool) -> bool:
        """Whether the text is certainly not the beginning of a rewrite."""
        return text.endswith("\n") and (quiet or len(text) >= len(self._text))

    def _has_settled(self, stamp: _Stamp) -> bool:
        """Whether the file has been in this state for SETTLED_SECONDS."""
        now = self._clock()
        if self._unsettled is None or self._unsettled[0] != stamp:
            self._unsettled = (stamp, now)
        return now - self._unsettled[1] >= SETTLED_SECONDS


def _begins_line(text: str, place: int) -> bool:
    return place == 0 or text[place - 1] == "\n"


def common_ends(old: Sequence[Any], new: Sequence[Any]) -> tuple[int, int]:
    """The lengths of the common prefix of two sequences, and of the common suffix of the rest."""
    shorter = min(len(old), len(new))
    start = _longest(shorter, lambda low, high: old[low:high] == new[low:high])
    left, ends = shorter - start, (len(old), len(new))
    return start, _longest(
        left, lambda low, high: old[ends[0] - high : ends[0] - low] == new[ends[1] - high : ends[1] - low]
    )


def _longest(limit: int, alike: Callable[[int, int], bool]) -> int:
    """The largest number up to `limit` such that [0, number) is alike; nothing is compared more than twice."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if alike(low, middle):
            low = middle
        else:
            high = middle - 1
    return low


class _Unreadable(Exception):
    pass


def _problem(text: str, stamp: _Stamp) -> str:
    if stamp == _NOTHING:
        return "there is no lease file"
    return "the lease file ends within a line" if text and not text.endswith("\n") else ""


def _read_quietly(path: Path) -> tuple[str, _Stamp, bool]:
    """Text, stamp, and whether the file was not being written while it was read or just before.

    Waits a little for such a moment. Raises FileNotFoundError or _Unreadable.
    """
    for _ in range(_TRIES):
        data, before, after = _read_once(path)
        quiet = before == after and not 0 <= time.time() - after.changed_ns / 1e9 < _FRESH_SECONDS
        if quiet:
            break
        time.sleep(_FRESH_SECONDS / 3)
    if before != after:
        # Old and new text may be mixed within a line.
        raise _Unreadable(f"the lease file {path} is being written to all the time")
    return data.decode("utf-8", "replace"), after, quiet


def _stamp(status: os.stat_result) -> _Stamp:
    return _Stamp(status.st_ino, status.st_size, status.st_mtime_ns)


def _read_once(path: Path) -> tuple[bytes, _Stamp, _Stamp]:
    """The file's bytes, and its stamps before and after. Raises FileNotFoundError or _Unreadable."""
    try:
        # Root reads where others may write: follow no link, wait for no pipe.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise
        why = "is a symbolic link" if error.errno == errno.ELOOP else f"cannot be read: {error.strerror}"
        raise _Unreadable(f"the lease file {path} {why}") from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _Unreadable(f"the lease file {path} is not a plain file")
        if status.st_size > MAX_BYTES:
            raise _Unreadable(f"the lease file {path} is larger than {MAX_BYTES >> 20} MiB")
        parts = []
        left = MAX_BYTES
        while left > 0 and (part := os.read(fd, min(left, 1 << 20))):
            parts.append(part)
            left -= len(part)
        return b"".join(parts), _stamp(status), _stamp(os.fstat(fd))
    except OSError as error:
        raise _Unreadable(f"the lease file {path} cannot be read: {error.strerror}") from None
    finally:
        os.close(fd)
