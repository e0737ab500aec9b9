"""An escape that is felt at once.

Textual tells an escape from the beginning of another key's sequence by waiting, and looks whether it has waited long
enough only when something is read or a tenth of a second is over. Here it waits less, and looks oftener.
"""

from __future__ import annotations

import os
import selectors
from typing import Any

from textual import constants
from textual.drivers import linux_driver

# A terminal here sends the whole of a sequence at once; over a network one may come in pieces, and Textual's own
# patience is needed. $ESCDELAY, in milliseconds, is for whoever knows better.
DELAY_S = 0.03


class Impatient(selectors.SelectSelector):
    """Waits for nothing longer than an escape may take."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(DELAY_S if timeout is None else min(timeout, DELAY_S))


class _Selectors:
    """What the driver finds under the name of the standard library's module."""

    SelectSelector = Impatient

    def __getattr__(self, name: str) -> Any:
        return getattr(selectors, name)


class QuickEscapeDriver(linux_driver.LinuxDriver):
    def run_input_thread(self) -> None:
        if not over_network():
            vars(linux_driver)["selectors"] = _Selectors()
            if "ESCDELAY" not in os.environ:
                vars(constants)["ESCAPE_DELAY"] = DELAY_S
        super().run_input_thread()


def over_network() -> bool:
    """Whether whoever types sits at another machine. sudo takes away what ssh says of it in the environment."""
    if "SSH_CONNECTION" in os.environ:
        return True
    import psutil

    try:
        return any(parent.name().startswith(("sshd", "mosh-server")) for parent in psutil.Process().parents())
    except psutil.Error:
        return False
