"""Reads the seed template that a person puts in the place of ours."""

from __future__ import annotations

import os
import stat

from wizard.plan.fields import printable
from wizard.plan.findings import WizardError
from wizard.plan.seeds import LONGEST_TEMPLATE, OwnTemplate


def read_template(path: str) -> OwnTemplate:
    """The template at a path. Raises WizardError where it is not there, is no text, or others may write to it."""
    shown = printable(path, 300)
    try:
        # A FIFO would wait for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            info = os.fstat(fd)
            # Longer than a template may be: who fills it says so.
            raw = os.read(fd, 4 * LONGEST_TEMPLATE + 1) if stat.S_ISREG(info.st_mode) else None
        finally:
            os.close(fd)
    except OSError as error:
        raise WizardError(f"the template {shown}: {error.strerror}", "Put it there, or remove template.") from None
    if raw is None:
        raise WizardError(f"the template {shown} is no regular file", "Give the path of a file.")
    if info.st_mode & 0o022:
        # What it makes runs as root on every node.
        raise WizardError(f"others may write to the template {shown}", f"Make it yours alone: chmod go-w {shown}.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WizardError(f"the template {shown} is not UTF-8 text (byte {error.start})", "Save it as UTF-8.") from None
    return OwnTemplate(path, text.replace("\r\n", "\n"))
