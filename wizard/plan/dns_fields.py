"""Text -> value for [[records]] and [[dns]]. Every value is safe in dnsmasq's configuration; see `fields`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv6Address

from wizard.plan.fields import FieldError, is_address, parse_address, parse_domain
from wizard.plan.model import RecordKind

LONGEST_TXT = 255
MOST_SERVERS = 8
MOST_SEARCH = 6
_LABEL = re.compile(r"_?[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]{1,5}")


def parse_record_name(text: str) -> str:
    """A DNS name in lower case, without the last dot; labels may begin with "_"."""
    given = text.strip(" ").removesuffix(".")
    given = given.lower() if given.isascii() else given
    labels = given.split(".")
    if len(given) > 200 or not all(_LABEL.fullmatch(label) for label in labels):
        raise FieldError(
            text,
            "is not a DNS name",
            "Write letters, digits and '-' with dots between, such as registry or _etcd-server._tcp.",
        )
    if labels[-1].isdigit():
        raise FieldError(text, "looks like an address", "Write a name that ends in a word, such as registry.")
    if labels == ["localhost"]:
        raise FieldError(text, "is every machine's own name", "Choose another name, such as registry.")
    return given


def parse_ipv6(text: str) -> str:
    """An IPv6 address that a machine can have, in its short form."""
    given = text.strip(" ")
    try:
        address = IPv6Address(given)
    except ValueError:
        raise FieldError(text, "is not an IPv6 address", "Write one, such as fd00::150.") from None
    if address.scope_id or address.is_multicast or address.is_unspecified or address.ipv4_mapped:
        raise FieldError(text, "is not the address of one machine", "Write a unicast address, such as fd00::150.")
    return str(address)


def parse_txt(text: str) -> str:
    """A text of printable ASCII, at most 255 characters."""
    if not text or not (text.isascii() and text.isprintable()):
        raise FieldError(text, "is not a text for a TXT record", "Write printable ASCII characters.")
    if len(text) > LONGEST_TXT:
        raise FieldError(text, f"has {len(text)} characters", f"Write {LONGEST_TXT} at most.")
    return text


def parse_srv(text: str) -> str:
    """Priority, weight, port and target, as in a zone file: "0 0 2379 controller"."""
    words = text.split()
    form = 'Write priority, weight, port and target, such as "0 0 2379 controller".'
    if len(words) != 4:
        raise FieldError(text, "is not an SRV record", form)
    numbers = [int(word) if _NUMBER.fullmatch(word) else -1 for word in words[:3]]
    if not all(0 <= number <= 65535 for number in numbers) or not numbers[2]:
        raise FieldError(text, "has a number outside 0-65535, or port 0", form)
    return " ".join([*map(str, numbers), parse_record_name(words[3])])


def parse_server(text: str) -> str:
    """The address of a DNS server, IPv4 or IPv6."""
    given = text.strip(" ")
    address = str(parse_address(given)) if is_address(given) or ":" not in given else parse_ipv6(given)
    if address.startswith(("0.", "255.")):
        raise FieldError(text, "is the address of no server", "Write a server's address, such as 10.1.1.53.")
    return address


def parse_servers(texts: Sequence[str]) -> tuple[str, ...]:
    """One to eight servers, none twice."""
    servers = tuple(parse_server(text) for text in texts)
    if not servers:
        raise FieldError(list(texts), "names no server", 'Write at least one, such as ["10.1.1.53"].')
    if len(servers) > MOST_SERVERS:
        raise FieldError(list(texts), f"names {len(servers)} servers", f"Write {MOST_SERVERS} at most.")
    if len(set(servers)) < len(servers):
        raise FieldError(list(texts), "names a server twice", "Write each server once.")
    return servers


def parse_search(value: str | Sequence[str]) -> tuple[str, ...]:
    """Domains to search: a list, or separated by commas; none twice."""
    texts = [text for text in value.split(",") if text.strip()] if isinstance(value, str) else value
    domains = tuple(parse_domain(text) for text in texts)
    if len(set(domains)) < len(domains):
        raise FieldError(value, "names a domain twice", "Write each domain once.")
    # Each byte of a name, and two more for each: what fits into one option.
    if len(domains) > MOST_SEARCH or sum(len(domain) + 2 for domain in domains) > LONGEST_TXT:
        remedy = f"Write {MOST_SEARCH} domains at most, of {LONGEST_TXT} characters together."
        raise FieldError(value, "is more than one DHCP option can hold", remedy)
    return domains


RECORD_VALUES = {
    RecordKind.A: lambda text: str(parse_address(text)),
    RecordKind.AAAA: parse_ipv6,
    RecordKind.CNAME: parse_record_name,
    RecordKind.TXT: parse_txt,
    RecordKind.SRV: parse_srv,
}
"""The parser of each kind's value."""
