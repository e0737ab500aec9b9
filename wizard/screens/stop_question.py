"""The question whether an apply may stop a server that is in the gateway's way."""

from __future__ import annotations

from collections.abc import Sequence

from wizard.plan.text import clean
from wizard.widgets.modal import Question


def stop_question(units: Sequence[str]) -> Question:
    """`units`: the service, then what is stopped along with it. The answer is True where it may."""
    named = clean(" and ".join(units), 200)
    what = clean(units[0], 60)
    text = (
        f"The apply stops {named}, and disables {'it' if len(units) == 1 else 'them'} at boot. Until a reset, whoever "
        f"asks {what} for names or addresses gets no answer.\n\n"
        "A reset starts and enables what was so before. If you do not keep the apply, it runs again at once."
    )
    return Question(f"Stop {what} until a reset?", text, "[ Stop it ]", "[ Leave it ]")
