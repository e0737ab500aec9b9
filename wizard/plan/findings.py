"""The result of a check: findings, each with a remedy; and the errors that a person can fix."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NotRequired, TypedDict


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class FindingRecord(TypedDict):
    """A finding as JSON."""

    severity: str
    code: str
    field: str
    message: str
    remedy: str
    stops: NotRequired[list[str]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check. `code` is stable; `field` is the plan's key path, such as "nodes[2].mac".

    `stops`: what an apply stops to settle it where a person agrees, a service first and then what would start it again.
    """

    severity: Severity
    code: str
    field: str
    message: str
    remedy: str
    stops: tuple[str, ...] = ()

    def as_json(self) -> FindingRecord:
        record: FindingRecord = {
            "severity": str(self.severity),
            "code": self.code,
            "field": self.field,
            "message": self.message,
            "remedy": self.remedy,
        }
        return {**record, "stops": list(self.stops)} if self.stops else record


def error(code: str, field: str, message: str, remedy: str) -> Finding:
    return Finding(Severity.ERROR, code, field, message, remedy)


def warning(code: str, field: str, message: str, remedy: str) -> Finding:
    return Finding(Severity.WARNING, code, field, message, remedy)


def note(code: str, field: str, message: str, remedy: str) -> Finding:
    return Finding(Severity.NOTE, code, field, message, remedy)


class WizardError(Exception):
    """An error that a person can fix: `message` says what is wrong, `remedy` what to do, `status` how to exit."""

    status = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class NeedsRoot(WizardError):
    """The command needs root."""

    status = 4
