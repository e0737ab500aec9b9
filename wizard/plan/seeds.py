"""Plan -> the seeds of a node: what its installer is told, as text.

A seed is made from a template: ours (templates/seeds), or one that a person puts in its place. Both see the same
`variables`. A seed is its own node's alone: it is served to that node, while it is armed, and to nobody else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote

import jinja2
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment
from netaddr import EUI

from wizard.plan import addresses, paths
from wizard.plan.fields import format_mac, printable
from wizard.plan.findings import WizardError
from wizard.plan.images import BootUrls, Image, SeedForm, url_mac
from wizard.plan.model import Node, Plan
from wizard.plan.seed_fields import Answers

LONGEST_TEMPLATE = 1 << 20
LONGEST_SEED = 4 << 20
"""Characters, of a template and of what is made of it."""

_MAIN = {
    SeedForm.PRESEED: ("preseed.cfg", "preseed.cfg"),
    SeedForm.AUTOINSTALL: ("user-data", "autoinstall.yaml"),
    SeedForm.NOCLOUD: ("user-data", "nocloud.yaml"),
    # A whole configuration holds the cluster's secrets: it can be the person's alone.
    SeedForm.TALOS: ("config.yaml", ""),
    SeedForm.IGNITION: ("config.ign", "config.ign"),
}
"""The seed that a template of a person's own replaces: its name, and our template."""
_BESIDE = {
    SeedForm.AUTOINSTALL: (("meta-data", "meta-data"), ("vendor-data", "vendor-data")),
    SeedForm.NOCLOUD: (("meta-data", "meta-data"), ("vendor-data", "vendor-data")),
    SeedForm.TALOS: (("patch.yaml", "talos-patch.yaml"),),
}
"""What the installer asks for besides."""


class TemplateWrong(WizardError):
    """A template of a person's own that cannot be used. The message names its file and, where it is known, the line."""


@dataclass(frozen=True, slots=True)
class OwnTemplate:
    """A template of a person's own: where it is from, and its text."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Seed:
    """A file that an installer fetches: its name below the node's address of seeds, and its text."""

    name: str
    text: str


def main_seed(form: SeedForm) -> str:
    """The name of the seed that an installer asks for first, "" for a form without."""
    return "" if form is SeedForm.NONE else _MAIN[form][0]


def variables(
    plan: Plan, node: Node, image: Image, answers: Answers, urls: BootUrls, mac: EUI | None = None
) -> dict[str, Any]:
    """What every template can use. `plan` must have passed the rules; `mac`: as in `render_seeds`."""
    mac = node.mac if mac is None else mac
    plan = addresses.assign(plan)
    network = plan.network
    address = next(each.ip for each in plan.nodes if each.name == node.name)
    return {
        "plan_path": paths.PLAN_IN_FORCE,
        "name": node.name,
        "domain": network.domain,
        "fqdn": f"{node.name}.{network.domain}",
        "address": str(address),
        "mac": format_mac(mac),
        "roles": [str(role) for role in node.roles],
        "gateway": str(network.gateway),
        "dns": str(network.gateway),
        "cidr": str(network.cidr),
        "prefix": int(network.cidr.prefixlen),
        "netmask": str(network.cidr.netmask),
        "image": image.name,
        "architecture": str(image.architecture),
        "user": answers.user,
        "ssh_keys": list(answers.ssh_keys),
        "time_servers": list(answers.time_servers),
        "proxy": answers.proxy,
        "no_proxy": f"localhost,127.0.0.1,{network.cidr},.{network.domain}",
        "disk": answers.disk,
        "seed_url": urls.seed(mac),
        "report_url": urls.report(mac),
        # cloud-init takes a machine for a new one where this is another than before.
        "instance_id": f"{node.name}-{url_mac(node.mac)}",
    }


def render_seeds(
    plan: Plan,
    node: Node,
    image: Image,
    answers: Answers,
    urls: BootUrls,
    own: OwnTemplate | None = None,
    mac: EUI | None = None,
) -> tuple[Seed, ...]:
    """The node's seeds, in the image's form. `plan` must have passed the rules; `own` replaces the main one.

    `mac`: the NIC that it boots by, where it has several; None for the first.

    Raises TemplateWrong, for `own` alone.
    """
    form = image.seed_form
    if form is SeedForm.NONE:
        return ()
    filled = variables(plan, node, image, answers, urls, mac)
    filled["report_unit"] = _ours("report.service", filled)
    name, template = _MAIN[form]
    seeds = [Seed(each, _ours(theirs, filled)) for each, theirs in _BESIDE.get(form, ())]
    if own is not None:
        seeds.insert(0, Seed(name, _of_own(own, filled, form)))
    elif template:
        seeds.insert(0, Seed(name, _ours(template, filled)))
    return tuple(seeds)


def _ours(template: str, filled: Mapping[str, Any]) -> str:
    return _OURS.get_template(template).render(filled)


def _data_url(text: str) -> str:
    return "data:," + quote(text)


def _given(value: object) -> object:
    """Nothing of what a template has left out is written as "None"."""
    if value is None:
        raise ValueError("a value is not set")
    return value


# Part of the program, as in `render`.
_PACKAGE = __file__.rsplit("/", 2)[0]
_SETTINGS: dict[str, Any] = {
    "undefined": jinja2.StrictUndefined,
    "finalize": _given,
    "keep_trailing_newline": True,
    "trim_blocks": True,
    "lstrip_blocks": True,
    # No HTML. Values are validated where they are read, and quoted in YAML and JSON.
    "autoescape": False,
}
_OURS = jinja2.Environment(  # noqa: S701
    loader=jinja2.FileSystemLoader([f"{_PACKAGE}/templates/seeds", f"{_PACKAGE}/../templates/seeds"]), **_SETTINGS
)
_OURS.filters["data_url"] = _data_url

_WRONG = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a template may raise while it is read or filled."""


def _compiled(own: OwnTemplate) -> jinja2.Template:
    if len(own.text) > LONGEST_TEMPLATE:
        raise TemplateWrong(
            f"{printable(own.path, 300)} is larger than 1 MB", "That is no template; give the path of one."
        )
    # It sees no file, changes no value, and calls nothing of Python.
    loader = jinja2.FunctionLoader(lambda name: (own.text, own.path, None) if name == own.path else None)
    environment = ImmutableSandboxedEnvironment(loader=loader, **_SETTINGS)
    environment.filters["data_url"] = _data_url
    try:
        return environment.get_template(own.path)
    except _WRONG as error:
        raise _wrong(own, error) from None


def _of_own(own: OwnTemplate, filled: Mapping[str, Any], form: SeedForm) -> str:
    template = _compiled(own)
    pieces, length = [], 0
    try:
        for piece in template.generate(filled):
            length += len(piece)
            if length > LONGEST_SEED:
                raise ValueError("what it makes is larger than 4 MB")
            pieces.append(piece)
    except _WRONG as error:
        raise _wrong(own, error) from None
    text = "".join(pieces)
    problem = _not_in_form(text, form)
    if problem:
        raise TemplateWrong(
            f"{printable(own.path, 300)}: what it makes for {filled['name']} {problem}", "Mend the template."
        )
    return text


def _wrong(own: OwnTemplate, error: BaseException) -> TemplateWrong:
    line = error.lineno if isinstance(error, jinja2.TemplateSyntaxError) else _line_in(own.path, error.__traceback__)
    where = f"{printable(own.path, 300)}, line {line}" if line else printable(own.path, 300)
    reason = printable(str(error) or type(error).__name__, 200)
    remedy = "Mend it there."
    if isinstance(error, jinja2.UndefinedError):
        remedy = f"Known are: {', '.join(KNOWN)}."
    elif isinstance(error, jinja2.TemplateNotFound):
        reason, remedy = f"it wants the template {reason}", "A template includes no other: put both into one."
    return TemplateWrong(f"{where}: {reason}", remedy)


def _line_in(path: str, traceback: TracebackType | None) -> int | None:
    """The innermost line of a template in a traceback: jinja2 writes the template's lines into it."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == path:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _not_in_form(text: str, form: SeedForm) -> str:
    """Why an installer could not read a seed, as the end of a sentence; "" where it can."""
    try:
        if form is SeedForm.IGNITION:
            data = json.loads(text)
            whole = isinstance(data, dict) and isinstance(data.get("ignition"), dict)
            return "" if whole else 'is no Ignition configuration: it has no "ignition"'
        if form in (SeedForm.AUTOINSTALL, SeedForm.NOCLOUD):
            if not text.startswith("#cloud-config\n"):
                return 'does not begin with the line "#cloud-config"'
            data = yaml.safe_load(text)
            if not isinstance(data, dict):
                return "is no mapping of YAML"
            if form is SeedForm.AUTOINSTALL and not isinstance(data.get("autoinstall"), dict):
                return 'has no "autoinstall"'
        if form is SeedForm.TALOS:
            documents = list(yaml.safe_load_all(text))
            if not any(isinstance(document, dict) and "machine" in document for document in documents):
                return 'is no configuration of Talos: it has no "machine"'
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" in its line {mark.line + 1}" if mark else ""
        return f"is no YAML{line}: {printable(error.problem or 'it cannot be read', 100)}"
    except json.JSONDecodeError as error:
        return f"is no JSON in its line {error.lineno}: {error.msg}"
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return f"cannot be read: {printable(str(error), 100)}"
    return ""


KNOWN = (
    "name",
    "domain",
    "fqdn",
    "address",
    "mac",
    "roles",
    "gateway",
    "dns",
    "cidr",
    "prefix",
    "netmask",
    "image",
    "architecture",
    "user",
    "ssh_keys",
    "time_servers",
    "proxy",
    "no_proxy",
    "disk",
    "seed_url",
    "report_url",
    "instance_id",
    "report_unit",
    "plan_path",
)
"""The names of `variables`, for people; `report_unit` is a unit of systemd that reports once."""
