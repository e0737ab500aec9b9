"""Machines in XML, from expat's events: no entity is resolved."""

from __future__ import annotations

from xml.parsers import expat

from wizard.plan.machine_lists.row import Row, fields_of, row_of
from wizard.plan.machine_lists.tree import DEEPEST, NotATree


def read_xml(text: str) -> list[Row]:
    """The elements with a MAC, as an attribute or a child: pfSense's, libvirt's, nmap's. Raises NotATree."""
    rows: list[Row] = []
    stack: list[tuple[str, int, dict[str, str]]] = []
    words: list[str] = []
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(stack) >= DEEPEST:
            raise NotATree(parser.CurrentLineNumber, "nested too deeply")
        words.clear()
        own = dict(attributes)
        if stack and tag == "address" and "addrtype" in own:
            kind = {"mac": "mac", "ipv4": "ip"}.get(own["addrtype"], "")
            if kind:
                stack[-1][2][kind] = own.get("addr", "")
            own = {}
        elif tag == "hostname" and len(stack) > 1 and stack[-1][0] == "hostnames":
            stack[-2][2].setdefault("name", own.get("name", ""))
            own = {}
        elif stack and tag == "mac" and "address" in own:
            stack[-1][2]["mac"] = own.pop("address")
        stack.append((tag, parser.CurrentLineNumber, own))

    def end(tag: str) -> None:
        _, line, own = stack.pop()
        text = "".join(words).strip()
        words.clear()
        fields = fields_of(own.items())
        if "mac" in fields or (tag in ("host", "staticmap") and "name" in fields and "ip" in fields):
            rows.append(row_of(fields, line))
        elif text and stack:
            stack[-1][2].setdefault(tag, text)

    def refuse(*_: object) -> None:
        raise NotATree(parser.CurrentLineNumber, "entities of its own")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = words.append
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise NotATree(error.lineno, expat.errors.messages.get(error.code, "not well formed")) from None
    return rows
