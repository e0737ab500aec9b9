"""What may be written into a file through a template."""

from __future__ import annotations

from wizard.plan.findings import WizardError


class Quoted(str):
    """Text already quoted for its file."""

    __slots__ = ()


def plain(value: object) -> object:
    """Let only plain text and numbers through: a list or None in a root-run file is our own mistake.

    Raises TypeError, and WizardError for text that would break out of its place.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError(f"a template was given {value!r}, which is neither text nor a number")
    if isinstance(value, str) and not isinstance(value, Quoted) and any(c in value for c in "\n\r\0\"'`$\\;&|"):
        raise WizardError(
            f"{value!r} cannot be written into a configuration file", "Use letters, digits and . - _ only."
        )
    return value
