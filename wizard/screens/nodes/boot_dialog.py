"""The dialog for booting over the network: the images of the plan, and what machines get that are installed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widget import Widget

from wizard.plan.draft.boot import images_of, with_images
from wizard.plan.draft.check import draft_findings
from wizard.plan.draft.model import Draft, field_label
from wizard.plan.findings import Severity
from wizard.plan.image_manifest import BootHere
from wizard.plan.images import ADD, SeedForm
from wizard.plan.machine import Facts
from wizard.widgets.field import Field
from wizard.widgets.form_dialog import FormDialog
from wizard.widgets.page import plain
from wizard.widgets.plain_text import PlainText
from wizard.widgets.table import KeyedTable

_COLUMNS = (("in the plan", 11), ("image", 20), ("kind", 8), ("on this machine", 16))
_NO_IMAGE = f"No image is on this machine yet. {ADD} NAME FILE adds one; f1 says more."


class BootDialog(FormDialog[Draft]):
    """Returns the draft with what was chosen and typed, or None."""

    TITLE: ClassVar[str | None] = "Boot over the network"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "accept", "ok"),
        Binding("space", "choose", "in the plan or not", show=False),
        Binding("enter", "choose", "in the plan or not", show=False),
        Binding("escape", "cancel", "cancel"),
    ]
    HELP = (
        "Nodes can boot an image over the cluster's network: an installer, a rescue system, a memory test. Space takes "
        "an image into the plan, or out of it; which node boots which is chosen at the node.\n\n"
        "An image is added on the command line, from a file that you have; nothing is downloaded:\n\n"
        "    apt-get download debian-installer-12-netboot-amd64\n"
        "    sudo ciao-wizard image add debian12 debian-installer-12-netboot-amd64_*.deb\n\n"
        "An apply installs nothing: afterwards 'sudo ciao-wizard boot arm NODE' lets a node boot its image once.\n\n"
        "The user logs in to what is installed by ssh with your public key; nobody has a password. More of an image, "
        "such as kernel arguments or a seed template of your own: Network, f6, [[images]]."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#images"
    PREFIX = "seeds"

    def __init__(self, draft: Draft, facts: Facts | None, field: str = "") -> None:
        """`field`: where the cursor is to be, "" for the images."""
        super().__init__()
        self._pointed = field
        self._draft = draft
        self._facts = facts
        self._here = (facts.boot if facts else None) or BootHere()
        images = images_of(draft)
        self._unread = images is None
        self._planned = {image.name: image for image in images or ()}
        self._stored = {manifest.name: manifest for manifest in self._here.stored}
        self._names = list(dict.fromkeys([*self._planned, *sorted(self._stored)]))
        self._wanted = set(self._planned)

    def body(self) -> Iterable[Widget]:
        yield PlainText("Images that nodes can boot. Space: in the plan, or not.", id="asked")
        yield KeyedTable(_COLUMNS, id="images")
        found = ", ".join(self._here.keys)
        yield Field("seeds.ssh_key", "ssh key", self._draft.seed_keys, found or "none found", "yours; empty = as shown")
        yield Field("seeds.user", "User", self._draft.seed_user, "ciao", "logs in with it")
        yield Field("seeds.proxy", "Proxy", self._draft.seed_proxy, "none", "http://proxy:3128")
        yield self.findings_panel()

    def on_mount(self) -> None:
        if not self._names:
            self.query_one("#asked", PlainText).update(plain(_NO_IMAGE))
        if self._pointed or not self._names:
            self.call_after_refresh(self.point_at, self._pointed or "seeds.ssh_key")
        self.query_one("#images").display = bool(self._names)
        self._draw()

    def _draw(self) -> None:
        self.query_one("#images", KeyedTable).sync([(name, self._row(name)) for name in self._names])

    def _row(self, name: str) -> tuple[Text, ...]:
        planned, stored = self._planned.get(name), self._stored.get(name)
        kind = planned.kind if planned else stored.kind if stored else ""
        if stored is not None:
            here = Text("yes")
        else:
            state = "incomplete" if name in self._here.incomplete else "damaged" if name in self._here.damaged else "no"
            here = Text.assemble(("! ", "bold"), state)
        return (Text("[x]" if name in self._wanted else "[ ]"), plain(name, limit=40), plain(str(kind)), here)

    def action_choose(self) -> None:
        name = self.query_one("#images", KeyedTable).current
        if name is not None:
            self._wanted ^= {name}
            self._draw()

    def _changed(self) -> Draft:
        draft = with_images(self._draft, self._here.stored, self._wanted)
        keys = self.typed("ssh_key")
        if not keys and any(image.seed_form is not SeedForm.NONE for image in images_of(draft) or ()):
            keys = ", ".join(self._here.keys)
        return replace(draft, seed_keys=keys, seed_user=self.typed("user"), seed_proxy=self.typed("proxy"))

    def action_accept(self) -> None:
        """Refused while a text is no value of its field."""
        if self._unread and self._wanted != set(self._planned):
            self.show_findings_text(
                Text.assemble(("✗ ", "bold"), "The plan's sections cannot be read: Network, f6 shows what is wrong.")
            )
            return
        draft = self._changed()
        problems = [
            finding
            for finding in draft_findings(draft, self._facts)
            if finding.severity is Severity.ERROR and finding.field.startswith(("seeds.", "images"))
        ]
        self.show_problems(problems, {each.field: field_label(draft, each.field) for each in problems})
        if not problems:
            self.dismiss(draft)
        elif problems[0].field.startswith("seeds."):
            self.point_at(problems[0].field)
