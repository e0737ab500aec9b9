"""Validates the journal's records before an undo acts on them: another version may have written them.

Called by `journal.parse`. Kinds: begin, before (a step's pre-image), done, trial, kept, applied, reverting, reverted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wizard.host.net import firewalls, forwarding, link_image
from wizard.host.shapes import Predicate, are_texts, has, is_flag, is_mapping, is_number, is_text, may_have
from wizard.plan.backends import ADDRESS_FILES
from wizard.plan.ntp import DROP_INS, TEMPLATES

Record = dict[str, Any]

_KINDS = ("absent", "file", "link", "other")


def is_valid(record: Record) -> bool:
    """Whether a record has every key that its undo needs, each of the right type. Further keys are allowed."""
    kind = record.get("t")
    if kind in ("before", "done") and not isinstance(record.get("step"), str):
        return False
    if kind == "before":
        image = record.get("image")
        check = _IMAGES.get(record["step"].partition(":")[0], is_mapping)
        return is_mapping(image) and check(image)
    if kind == "begin":
        # For verify.check_corporate.
        return may_have(record, default_routes=are_texts, nameservers=are_texts)
    return is_mapping(record.get("files", {})) and all(map(is_text, record.get("files", {}).values()))


def _is_path_image(image: Any) -> bool:
    """A pre-image of a path, as `files.PreImages.capture` returns it."""
    if not has(image, path=is_text, kind=lambda kind: kind in _KINDS) or not image["path"].startswith("/"):
        return False
    owner = {"mode": lambda mode: is_number(mode, 0o10000), "owner": _is_owner, "mtime_ns": is_number}
    needed: dict[str, dict[str, Predicate]] = {
        "absent": {},
        "link": {"target": is_text, "owner": _is_owner},
        "file": {**owner, "digest": lambda digest: is_text(digest) and len(digest) == 64},
        "other": {},
    }
    more: dict[str, Predicate] = {"missing_parents": are_texts, "xattrs": _is_xattrs, "twin": is_text, "named": is_text}
    return has(image, **needed[image["kind"]]) and may_have(image, **more)


def _is_owner(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(is_number(n, (1 << 32) - 1) for n in value)


def _is_xattrs(value: Any) -> bool:
    try:
        return all(bytes.fromhex(content) is not None for content in value.values())
    except (AttributeError, TypeError, ValueError):
        return False


def _is_address(image: Any) -> bool:
    own = {"link": link_image.is_image, "held": is_flag, "config": _is_path_image}
    more = {"gives": is_text, "stanza": is_text, "state": _is_path_image, "backend": _is_backend}
    if not (has(image, **own) and may_have(image, **more)):
        return False
    return "former" not in image or ("backend" in image["former"] and _is_address(image["former"]))


def _is_backend(value: Any) -> bool:
    return value in {str(backend) for backend in ADDRESS_FILES}


def _is_gateway(image: Any) -> bool:
    def files(value: Any) -> bool:
        return isinstance(value, list) and all(map(_is_path_image, value))

    return has(image, running=is_flag, files=files, leases=_is_path_image)


def _is_stopped(image: Any) -> bool:
    units = image.get("units")
    return isinstance(units, list) and all(has(unit, unit=_is_unit, active=is_flag) for unit in units)


def _is_disabled(image: Any) -> bool:
    links = image.get("links")
    return isinstance(links, list) and all(_is_path_image(link) and link["kind"] == "link" for link in links)


def _is_time(image: Any) -> bool:
    # What is restarted, and what a root-run program is given.
    return (
        has(image, kind=lambda kind: kind in (*TEMPLATES,), unit=is_text, drop_in=lambda path: path in DROP_INS)
        and not image["unit"].startswith("-")
        and has(image, opens=lambda cidr: is_text(cidr) and re.fullmatch(r"[0-9./]+", cidr) is not None)
    )


def _is_unit(value: Any) -> bool:
    return is_text(value) and value != "" and not value.startswith("-")


_IMAGES: Mapping[str, Predicate] = {
    "wires": lambda image: has(image, link=link_image.is_image, proof=_is_path_image),
    "rules": lambda image: (
        has(image, script=_is_path_image, loaded=is_flag)
        and may_have(image, forwarding=forwarding.is_image, **firewalls.shapes())
    ),
    "address": _is_address,
    "gateway": _is_gateway,
    "file": _is_path_image,
    "service": lambda image: has(image, unit=_is_path_image, wanted=_is_path_image),
    "time": _is_time,
    "stop": _is_stopped,
    "disable": _is_disabled,
}
