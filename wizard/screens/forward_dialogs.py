"""One forward in a form; the ports of a preset."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from wizard.plan.draft import Draft, ForwardText
from wizard.plan.findings import Finding
from wizard.plan.judge import check_forward
from wizard.plan.machine import Facts
from wizard.plan.presets import PRESETS, Offer, offers
from wizard.widgets.field import Field, field_id
from wizard.widgets.modal import Dialog
from wizard.widgets.page import finding_text, plain
from wizard.widgets.words import Words

_KEYS = ("port", "to", "to_port", "protocol", "from")
_NAMES = {
    "forward.port": "Port",
    "forward.to": "To",
    "forward.to_port": "Its port",
    "forward.protocol": "Protocol",
    "forward.from": "Who may",
}
_WHAT = 30


class ForwardDialog(Dialog[ForwardText | None]):
    """Gives back the forward as typed, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "accept", "take"),
        Binding("escape", "cancel", "cancel"),
    ]
    HELP = (
        "Port: of this machine, as the company network sees it. To: a node by name, or an address in the cluster's "
        "subnet. Its port: where it leads there.\n\n"
        "Who may: networks with commas between, such as 10.0.0.0/8; blank lets the whole company network in."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#field-forward-port Input"

    def __init__(self, title: str, draft: Draft, number: int, forward: ForwardText, facts: Facts | None) -> None:
        """`number` is the place in `draft` that the forward has or will have."""
        super().__init__()
        self._facts = facts
        self._told: tuple[Finding, ...] = ()
        self._draft = draft
        self._number = number
        self.title = title
        self._forward = forward

    def body(self) -> Iterable[Widget]:
        forward = self._forward
        yield Field("forward.port", "Port", forward.port, "8889", "of this machine")
        yield Field("forward.to", "To", forward.to, "controller", "a node or an address")
        yield Field("forward.to_port", "Its port", forward.to_port, "", "blank: the same")
        yield Field("forward.protocol", "Protocol", forward.protocol, "tcp", "tcp or udp")
        yield Field("forward.from", "Who may", forward.sources, "corporate", "blank: the company")
        yield Words(id="dialog-findings")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_accept()

    def action_accept(self) -> None:
        """Refused while a text is no value of its field; what the machine has against it is said once before."""
        value = [self.query_one("#" + field_id(f"forward.{key}"), Field).value.strip() for key in _KEYS]
        forward = ForwardText(value[0], value[1], value[2], value[3] or "tcp", value[4])
        refused = check_forward(forward, "forward", self._draft, self._number)
        problems = refused or check_forward(forward, "forward", self._draft, self._number, self._facts)
        wrong = {problem.field for problem in problems}
        for field in self.query(Field):
            field.mark(field.key in wrong)
        lines = [finding_text(problem, _NAMES.get(problem.field, "")) for problem in problems]
        if problems and not refused:
            lines.append(Text("  ctrl+n again takes it all the same; it must be mended before an apply.", "bold"))
        self.query_one("#dialog-findings", Words).update(Text("\n").join(lines))
        if problems and (refused or problems != self._told):
            self._told = problems
            self.query_one("#" + field_id(problems[0].field), Field).point()
        else:
            self.dismiss(forward)

    def action_cancel(self) -> None:
        self.dismiss(None)


class PresetDialog(Dialog[tuple[Offer, ...] | None]):
    """Gives back what the chosen preset offers, or None."""

    DEFAULT_CSS = """
    PresetDialog #presets { height: auto; max-height: 6; border: none; background: $surface; padding: 0; }
    PresetDialog #ports { height: auto; margin-top: 1; padding: 0 1; max-height: 10; }
    """
    TITLE: ClassVar[str | None] = "The ports of what?"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "accept", "take these"),
        Binding("ctrl+n", "accept", "take these", show=False),
        Binding("escape", "cancel", "cancel"),
    ]
    HELP = (
        "Each set has the ports by which people reach that cloud or cluster. They lead to the first controller node. "
        "What is marked ✗ is left out, with the reason; f2 then adds it on another port of this machine."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#presets"

    def __init__(self, draft: Draft, facts: Facts | None) -> None:
        super().__init__()
        self._offers = [offers(preset, draft, facts) for preset in PRESETS]

    def body(self) -> Iterable[Widget]:
        lines = [Text.assemble((f"{preset.name:<12}", "bold"), preset.about) for preset in PRESETS]
        yield OptionList(*[Option(line) for line in lines], id="presets", compact=True)
        yield Words(id="ports")

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self.query_one("#ports", Words).update(Text("\n").join(_offered(self._offers[event.option_index])))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._offers[event.option_index])

    def action_accept(self) -> None:
        chosen = self.query_one("#presets", OptionList).highlighted
        if chosen is not None:
            self.dismiss(self._offers[chosen])

    def action_cancel(self) -> None:
        self.dismiss(None)


def _offered(found: tuple[Offer, ...]) -> list[Text]:
    """A line a port: whether it is taken, its number, what it is, and where it leads or what is against it."""
    lines = []
    for offer in found:
        line = Text.assemble(("✗ " if offer.against else "+ ", "bold"), f"{offer.port.port:<6} ")
        what = Text(f"{offer.port.what:<{_WHAT}} ")
        lines.append(line.append_text(what).append_text(plain(offer.against or f"→ {offer.forward.to}", limit=160)))
    taken = sum(not offer.against for offer in found)
    lines.append(Text(f"Enter takes {'all' if taken == len(found) else f'{taken} of'} {len(found)}.", "bold"))
    return lines
