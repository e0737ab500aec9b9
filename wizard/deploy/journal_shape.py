"""What a record of the journal must look like to be acted on; another version's may not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Record = dict[str, Any]
Check = Callable[[Any], bool]

_KINDS = ("absent", "file", "link", "other")


def makes_sense(record: Record) -> bool:
    """Whether a record has all that undoing it takes, each of its type. More may stand in it."""
    kind = record.get("t")
    if kind in ("before", "done") and not isinstance(record.get("step"), str):
        return False
    if kind == "before":
        image = record.get("image")
        check = _IMAGES.get(record["step"].partition(":")[0], _is_mapping)
        return _is_mapping(image) and check(image)
    if kind == "begin":
        # What was there before us, for the verification.
        return _may_have(record, default_routes=_texts, nameservers=_texts)
    return _is_mapping(record.get("files", {})) and all(map(_is_text, record.get("files", {}).values()))


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_text(value: Any) -> bool:
    """Text that may be a name or a path: what no call of the system would take is none."""
    try:
        return isinstance(value, str) and b"\0" not in value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any, below: int = 1 << 63) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _has(value: Any, **keys: Check) -> bool:
    return _is_mapping(value) and all(key in value and check(value[key]) for key, check in keys.items())


def _may_have(value: Record, **keys: Check) -> bool:
    return all(key not in value or check(value[key]) for key, check in keys.items())


def _is_path_image(image: Any) -> bool:
    """As files.PreImages makes it."""
    if not _has(image, path=_is_text, kind=lambda kind: kind in _KINDS) or not image["path"].startswith("/"):
        return False
    owner = {"mode": lambda mode: _is_number(mode, 0o10000), "owner": _is_owner, "mtime_ns": _is_number}
    needed: dict[str, dict[str, Check]] = {
        "absent": {},
        "link": {"target": _is_text, "owner": _is_owner},
        "file": {**owner, "digest": lambda digest: _is_text(digest) and len(digest) == 64},
        "other": {},
    }
    more: dict[str, Check] = {"missing_parents": _texts, "xattrs": _is_xattrs, "twin": _is_text, "named": _is_text}
    return _has(image, **needed[image["kind"]]) and _may_have(image, **more)


def _is_owner(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_number(n, (1 << 32) - 1) for n in value)


def _is_xattrs(value: Any) -> bool:
    try:
        return all(bytes.fromhex(content) is not None for content in value.values())
    except (AttributeError, TypeError, ValueError):
        return False


def _is_link_image(image: Any) -> bool:
    """As link_image.whole_state makes it, or link_state."""
    if not _has(image, nic=_is_text, present=_is_flag):
        return False
    if not image["present"]:
        return True
    ways: dict[str, Check] = {"nexthops": _texts, "routes": _texts, "proxies": _texts, "neighbours": _is_neighbours}
    return _has(image, up=_is_flag, macs=_texts, addresses=_is_addresses) and _may_have(image, **ways)


def _is_neighbours(value: Any) -> bool:
    return isinstance(value, list) and all(_texts(pair) and len(pair) == 2 for pair in value)


def _is_addresses(value: Any) -> bool:
    shape: dict[str, Check] = {"cidr": lambda cidr: _is_text(cidr) and "/" in cidr, "scope": _is_text, "more": _texts}
    return isinstance(value, list) and all(_has(address, **shape) for address in value)


def _is_address(image: Any) -> bool:
    own = {"link": _is_link_image, "held": _is_flag, "config": _is_path_image, "state": _is_path_image}
    return _has(image, **own) and _may_have(image, gives=_is_text, stanza=_is_text)


def _is_forwarding(image: Any) -> bool:
    """As firewall.forwarding_image makes it."""

    def nics(value: Any) -> bool:
        own: dict[str, Check] = {"index": lambda index: _is_number(index, 1 << 31), "forwarding": _is_switch}
        return isinstance(value, list) and all(_is_link_image(nic) and _has(nic, **own) for nic in value)

    return _has(image, boot=_is_text, nics=nics, **{"global": _is_switch})


def _is_zone(image: Any) -> bool:
    """As firewall.zone_image makes it."""
    return image is None or _has(image, nic=_is_text, zone=_is_text)


def _is_switch(value: Any) -> bool:
    return value in ("0", "1")


def _is_gateway(image: Any) -> bool:
    def files(value: Any) -> bool:
        return isinstance(value, list) and all(map(_is_path_image, value))

    return _has(image, running=_is_flag, files=files, leases=_is_path_image)


_IMAGES: Mapping[str, Check] = {
    "wires": lambda image: _has(image, link=_is_link_image, proof=_is_path_image),
    "rules": lambda image: (
        _has(image, script=_is_path_image, loaded=_is_flag)
        and _may_have(image, forwarding=_is_forwarding, zone=_is_zone)
    ),
    "address": _is_address,
    "gateway": _is_gateway,
    "file": _is_path_image,
    "service": lambda image: _has(image, unit=_is_path_image, wanted=_is_path_image),
}
