"""Finds and removes tables and chains of nftables over netlink, without `nft`."""

from __future__ import annotations

import errno

from wizard.host.net import nfnetlink
from wizard.host.net.netlink import attribute
from wizard.host.net.nfnetlink import FAMILIES, NFTABLES, KernelRefused

_GET_TABLE, _DELETE_TABLE = 1, 2
_GET_CHAIN, _DELETE_CHAIN = 4, 5
_GET_RULE, _DELETE_RULE = 7, 8
_TABLE, _CHAIN, _HANDLE, _EXPRESSIONS = 1, 2, 3, 4
_CHAIN_NAME, _VERDICT_CHAIN = 3, 2


def has_table(family: str, name: str) -> bool:
    """Whether the table exists. False also without the permission to look, and without nftables in the kernel."""
    try:
        tables = nfnetlink.dump(NFTABLES, _GET_TABLE, FAMILIES[family])
        return any(_text(table.get(_TABLE)) == name for table in tables)
    except KernelRefused:
        return False


def remove_table(family: str, name: str) -> bool:
    """Remove a table. Returns whether it existed. Raises KernelRefused."""
    if not has_table(family, name):
        return False
    nfnetlink.transact([(_DELETE_TABLE, 0, FAMILIES[family], attribute(_TABLE, _words(name)))])
    return True


def remove_chain(family: str, table: str, name: str) -> bool:
    """Remove a chain and the rules that jump to it. Returns whether it existed. Raises KernelRefused."""
    number = FAMILIES[family]
    chains = list(nfnetlink.dump(NFTABLES, _GET_CHAIN, number))
    if not any((_text(c.get(_TABLE)), _text(c.get(_CHAIN_NAME))) == (table, name) for c in chains):
        return False
    here, verdict = attribute(_TABLE, _words(table)), attribute(_VERDICT_CHAIN, _words(name))
    changes = [
        (_DELETE_RULE, 0, number, here + attribute(_CHAIN, rule[_CHAIN]) + attribute(_HANDLE, rule[_HANDLE]))
        for rule in nfnetlink.dump(NFTABLES, _GET_RULE, number)
        if _text(rule.get(_TABLE)) == table and verdict in rule.get(_EXPRESSIONS, b"")
    ]
    changes.append((_DELETE_RULE, 0, number, here + attribute(_CHAIN, _words(name))))
    changes.append((_DELETE_CHAIN, 0, number, here + attribute(_CHAIN_NAME, _words(name))))
    try:
        nfnetlink.transact(changes)
    except KernelRefused as error:
        # Somebody else removed it at this moment.
        if error.number != errno.ENOENT:
            raise
    return True


def _words(text: str) -> bytes:
    return text.encode() + b"\0"


def _text(value: bytes | None) -> str:
    return (value or b"").rstrip(b"\0").decode("utf-8", "replace")
