"""One node's outcome, and doing something to many nodes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from wizard.plan.findings import WizardError
from wizard.plan.model import Node
from wizard.plan.text import clean

MOST_AT_ONCE = 16
DONE = {"wake": "is switched on", "reboot": "restarts", "off": "powers off"}
"""What a node does that took an order."""


@dataclass(frozen=True, slots=True)
class NodeOutcome:
    """What became of one node. `detail` and `remedy` are for people; `output`: what a command there wrote, as it is."""

    node: str
    ok: bool
    detail: str
    remedy: str = ""
    output: str = ""

    def as_json(self, action: str) -> dict[str, Any]:
        return {
            "node": self.node,
            "action": action,
            "ok": self.ok,
            "detail": self.detail,
            "remedy": self.remedy,
            "output": self.output,
        }


def failed(node: Node, error: WizardError) -> NodeOutcome:
    return NodeOutcome(node.name, False, clean(error.message, 300), clean(error.remedy, 300))


def on_each(nodes: Sequence[Node], act: Callable[[Node], NodeOutcome]) -> Iterator[NodeOutcome]:
    """The outcome of each node, in the order of completion, whatever `act` raises: no node may hide the others'."""
    if not nodes:
        return

    def tried(node: Node) -> NodeOutcome:
        try:
            return act(node)
        except WizardError as error:
            return failed(node, error)
        except OSError as error:
            return NodeOutcome(node.name, False, clean(f"{node.name}: {error.strerror or error}", 300))
        except Exception as error:  # noqa: BLE001 - a BMC may answer anything, and libraries raise what they like
            # Without its words, which may hold a password.
            what = f"{node.name} gave an answer that nobody understands ({type(error).__name__})"
            return NodeOutcome(node.name, False, what, "Try it by hand, and look at the machine.")

    with ThreadPoolExecutor(min(len(nodes), MOST_AT_ONCE)) as pool:
        for done in as_completed([pool.submit(tried, node) for node in nodes]):
            yield done.result()
