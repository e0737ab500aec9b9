"""The result of a check: findings, each with a remedy; and the errors that a person can fix."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check. `code` is stable; `field` is the plan's key path, such as "nodes[2].mac"."""

    severity: Severity
    code: str
    field: str
    message: str
    remedy: str

    def as_json(self) -> dict[str, str]:
        return {
            "severity": str(self.severity),
            "code": self.code,
            "field": self.field,
            "message": self.message,
            "remedy": self.remedy,
        }


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
