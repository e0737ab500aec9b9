"""What came of one verification of a gateway that runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict


class Outcome(StrEnum):
    """`UNTRIED` could not be tried here, or not to its end; `UNSEEN` needs rights that we lack."""

    OK = "ok"
    FAILED = "failed"
    UNTRIED = "untried"
    UNSEEN = "unseen"


OK, FAILED, UNTRIED, UNSEEN = Outcome

LONGEST_DETAIL = 800
"""Characters shown of a detail or a remedy. What comes next, such as when the guard tries again, stands at the end."""


class CheckRecord(TypedDict):
    """A check in `status --json`, in the events of an apply and in path.json."""

    name: str
    ok: bool | None
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Check:
    """One verification, or one part of a node's path.

    `name` is a stable slug. `blocks`: whether a failure is held against the gateway; where it is not, nothing goes
    back for it.
    """

    name: str
    outcome: Outcome
    detail: str
    remedy: str = ""
    blocks: bool = True

    @property
    def ok(self) -> bool | None:
        """True, or False where it failed and that counts; None where that is not known."""
        if self.outcome is Outcome.FAILED:
            return False if self.blocks else None
        return True if self.outcome is Outcome.OK else None

    def as_json(self) -> CheckRecord:
        return {"name": self.name, "ok": self.ok, "detail": self.detail, "remedy": self.remedy}


def from_record(record: object) -> Check:
    """The check of an `as_json` record; an `ok` of None was not tried. Raises TypeError, KeyError for anything else."""
    if not isinstance(record, dict):
        raise TypeError
    name, ok, detail, remedy = (record[key] for key in ("name", "ok", "detail", "remedy"))
    if not all(isinstance(text, str) for text in (name, detail, remedy)) or not isinstance(ok, bool | None):
        raise TypeError
    outcomes = {True: Outcome.OK, False: Outcome.FAILED, None: Outcome.UNTRIED}
    return Check(name, outcomes[ok], detail, remedy)
