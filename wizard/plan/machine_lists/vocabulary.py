"""The vocabulary of lists: names of columns and keys, and words that are no names."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# In order of rank: if two columns mean the same field, the first of these counts.
_KEYS: Final = {
    "role": "role roles rolle rollen ruolo rol function funktion fonction group groups gruppe groupe grupo gruppo",
    "name": (
        "name names nodename node hostname hostnames host clienthostname clientname devicename computername "
        "machinename servername inventoryhostname machine server computer node knoten knotenname rechner "
        "rechnername hostbezeichnung nom nomdhote hote noeud ordinateur serveur nombre equipo servidor nome "
        "nomehost dnsname fqdn"
    ),
    "mac": (
        "mac macs macaddress macaddr macaddresses hwaddr hwaddress hardwareaddress hardwareethernet "
        "physicaladdress linklayeraddress lladdr etheraddress ethernetaddress nicmac macadresse hardwareadresse "
        "physischeadresse physikalischeadresse adressemac adressephysique adressematerielle direccionmac "
        "direccionfisica indirizzomac indirizzofisico enderecomac"
    ),
    "others": "othermacs othermac mac2 secondmac furthermacs weiteremacs autresmacs",
    "ip": (
        "ip ips ipv4 ipaddress ipaddresses ipaddr ipv4address ipv4addr fixedaddress fixedip staticip ansiblehost "
        "ansiblesshhost address internetaddress ipadresse ipv4adresse internetadresse adresse adresseip "
        "adresseipv4 adresseinternet direccionip direccion indirizzoip indirizzo enderecoip dst"
    ),
}
FIELD_OF: Final = {word: field for field, words in _KEYS.items() for word in words.split()}
RANK: Final = {word: rank for words in _KEYS.values() for rank, word in enumerate(dict.fromkeys(words.split()))}

# Headings of columns that mean something else as keys.
NO_KEYS: Final = frozenset({"server", "group", "groups", "function", "machine", "computer", "node", "hosts"})

# What a name's column has instead of a name.
NAMELESS: Final = frozenset({"*", "-", "--", "?", ".", "n/a", "(none)", "(null)", "(unknown)", "_gateway"})

# What neighbour tables say of an entry, in the languages of Windows as well, and what stands around it.
_STATE_WORDS: Final = (
    "dynamic static invalid other permanent reachable stale delay probe failed incomplete noarp none router proxy "
    "extern_learn offload managed ether ethernet loopback arpa ieee802 at on dev lladdr ifscope expires in "
    "seconds  dynamisch statisch ungultig dynamique statique invalide dinamico estatico dinamica estatica statico "
    "statica  dinamiczny dynamiczne statyczne dynamicky staticky dynamiskt statiskt dynamisk statisk dynaaminen "
    "staattinen dinamik statik dinamikus statikus active inactive bound waiting offered free "
)
_STATES: Final = frozenset(_STATE_WORDS.split())
_NIC: Final = re.compile(
    r"(?:eth|en[opsx]?|em|wlan|wl[opsx]?|br|bond|team|vlan|veth|virbr|docker|tap|tun|wg|usb|ib|lan|igb|igc|ix|re)[-_]?[0-9]"
    r"[0-9a-z.@_-]*",
    re.IGNORECASE,
)


def plain_key(text: str) -> str:
    """A heading or key in lower case, without accents, blanks and punctuation: "Adresse-MAC" -> adressemac."""
    text = text.strip().strip("\"'*`")
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c for c in text.lower() if c.isalnum())[:40]


def field_of(text: str) -> str:
    """The field of a heading or key: "role", "name", "mac", "others" (further MACs), "ip", or ""."""
    return FIELD_OF.get(plain_key(text), "") if len(text) <= 60 else ""


def is_state(word: str, behind: bool = True) -> bool:
    """True for a word that describes an entry of a neighbour table; with `behind` for a NIC's name too."""
    return plain_key(word) in _STATES or word.lower() in _STATES or (behind and _NIC.fullmatch(word) is not None)
