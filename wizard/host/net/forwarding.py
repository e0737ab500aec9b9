"""The kernel's forwarding switches: records them, and restores them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wizard.host import shapes
from wizard.host.files import read_text
from wizard.host.net import link_image
from wizard.host.net.notes import forget, notes
from wizard.host.processes import boot_id
from wizard.plan import paths

Record = dict[str, Any]
_GLOBAL_SWITCH = Path("/proc/sys/net/ipv4/ip_forward")


def is_on(nic: str) -> bool | None:
    """Whether the kernel forwards what comes in by a NIC; None where the NIC is gone."""
    state = read_switch(_switch(nic))
    return state == "1" if state else None


def image(nics: Iterable[str]) -> Record:
    """How the forwarding switches of these NICs stand, for `restore`: {boot, global, nics: [{index, forwarding} and
    what `link_state` says]}. Without those that nat.sh has changed already."""
    present = [nic for nic in nics if _switch(nic).exists() and not _note(socket.if_nametoindex(nic)).exists()]
    return {
        "boot": boot_id(),
        "global": read_switch(_GLOBAL_SWITCH),
        "nics": [
            link_image.link_state(nic) | {"index": socket.if_nametoindex(nic), "forwarding": read_switch(_switch(nic))}
            for nic in present
        ],
    }


def restore(images: Iterable[Record] = ()) -> list[str]:
    """Put the NICs' forwarding switches back, without nat.sh; on which NICs, in words.

    The first image of a NIC counts before the note that nat.sh made of it.
    """
    stood: dict[int, tuple[str, str]] = {}
    for image in images:
        for nic in image.get("nics", ()):
            index = int(nic["index"])
            if image.get("boot") != boot_id():
                index = _index_of(link_image.current_name(nic))
                # Since the reboot nat.sh has run and noted what it found.
                if _note(index).exists():
                    continue
            stood.setdefault(index, (str(nic["forwarding"]), str(image["global"])))
    now, everyones_note = read_switch(_GLOBAL_SWITCH), Path(paths.RUN, "ip_forward")
    for note in notes("forwarding"):
        values = (read_text(str(note)) or "").split()
        # Earlier versions noted a NIC by its name, and the global switch apart.
        whose = note.name.removeprefix("forwarding.")
        index = int(whose) if whose.isdecimal() and len(whose) < 10 else _index_of(whose)
        if index and values:
            stood.setdefault(index, (values[0], values[1] if len(values) > 1 else read_switch(everyones_note) or now))
        forget(note)
    forget(everyones_note)
    restored = []
    for index, (before, everyones) in stood.items():
        with contextlib.suppress(OSError):
            nic = socket.if_indextoname(index)
            # If somebody changed the global switch since, it counts for every NIC.
            wanted = before if everyones == now else now
            if read_switch(_switch(nic)) != wanted:
                _switch(nic).write_text(wanted)
                restored.append(f"forwarding on {nic}")
    return restored


def is_image(value: Any) -> bool:
    """Whether a record of the journal is what `image` makes."""
    return shapes.has(value, boot=shapes.is_text, nics=_are_nics, **{"global": _is_switch_value})


def _are_nics(value: Any) -> bool:
    own: dict[str, shapes.Predicate] = {
        "index": lambda index: shapes.is_number(index, 1 << 31),
        "forwarding": _is_switch_value,
    }
    return isinstance(value, list) and all(link_image.is_image(nic) and shapes.has(nic, **own) for nic in value)


def _is_switch_value(value: Any) -> bool:
    return value in ("0", "1")


def _note(index: int) -> Path:
    return Path(f"{paths.RUN}/forwarding.{index}")


def _switch(nic: str) -> Path:
    return Path(f"/proc/sys/net/ipv4/conf/{nic}/forwarding")


def read_switch(switch: Path) -> str:
    return (read_text(str(switch)) or "").strip()


def _index_of(nic: str) -> int:
    try:
        return socket.if_nametoindex(nic)
    except OSError:
        return 0
