"""What a person answers for the machines that are installed: text -> value, one parser per field, as in `fields`."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from wizard.plan.fields import FieldError, parse_address, parse_domain, parse_path, parse_port

MOST_KEYS = 16
_USER = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_LONGEST_KEY = 4000
_COMMENT = re.compile(r"[A-Za-z0-9_.@+:-]{1,100}")
_DISK = re.compile(r"/dev/(?:[a-z0-9]{2,20}|disk/by-(?:id|path)/[A-Za-z0-9_.:+-]{1,120})")
_PROXY = re.compile(r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+)(?::(?P<port>[0-9]+))?/?")
_SYSTEM_USERS = ("root", "daemon", "bin", "sys", "sync", "mail", "nobody", "admin", "sshd", "adm", "sudo", "users")


@dataclass(frozen=True, slots=True)
class Answers:
    """What the machines get besides what the plan says. There is no password in it, and none is set: people log in by
    ssh with their key, and become root by sudo.

    `user`: who logs in; `ssh_keys`: public keys; `time_servers`: addresses or names, () for the system's own; `proxy`:
    a URL, "" for none; `disk`: what is installed on, "" for the installer's choice.
    """

    ssh_keys: tuple[str, ...]
    user: str = "ciao"
    time_servers: tuple[str, ...] = ()
    proxy: str = ""
    disk: str = ""


def parse_user(text: str) -> str:
    """A user's name, as Debian's adduser takes it."""
    given = text.strip(" ")
    if not _USER.fullmatch(given):
        raise FieldError(
            text, "is not a user's name", "Write lower case letters, digits, '-' and '_', 31 at most, such as ciao."
        )
    if given in _SYSTEM_USERS:
        raise FieldError(text, "is a user or group that every system has", "Choose another name, such as ciao.")
    return given


def parse_ssh_key(text: str) -> str:
    """A public key as in `~/.ssh/id_ed25519.pub`: type, base64, and at most one word of comment."""
    remedy = "Paste the one line of a public key, such as that of ~/.ssh/id_ed25519.pub."
    given = text.strip(" \t\n")
    if "PRIVATE KEY" in given:
        # Not shown: it is a secret.
        raise FieldError("-----BEGIN …", "is a private key, which nobody else may see", remedy)
    words = given.split(" ")
    if len(given) > _LONGEST_KEY or "\n" in given or len(words) < 2:
        raise FieldError(text, "is not a public key", remedy)
    kind, body, *comment = words
    if kind not in _KEY_TYPES:
        raise FieldError(text, f"does not begin with a type of key, such as {_KEY_TYPES[0]}", remedy)
    try:
        raw = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise FieldError(text, "is damaged: what follows its type is no base64", remedy) from None
    length = int.from_bytes(raw[:4], "big")
    if raw[4 : 4 + length] != kind.encode() or len(raw) < 4 + length + 32:
        raise FieldError(text, "is damaged: it is cut off, or its type is another", remedy)
    # A comment means nothing to ssh, and would be text of others in a script.
    kept = [word for word in comment[:1] if _COMMENT.fullmatch(word)]
    return " ".join([kind, body, *kept])


def parse_ssh_keys(texts: Sequence[str]) -> tuple[str, ...]:
    """Several public keys; blank lines and comments between them are left out. At least one."""
    lines = [line for text in texts for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    private = next((text for text in texts if "PRIVATE KEY" in text), None)
    keys = tuple(dict.fromkeys(map(parse_ssh_key, [private] if private else lines)))
    if not keys:
        raise FieldError("", "holds no public key", "Make one with 'ssh-keygen'; without it nobody could log in.")
    if len(keys) > MOST_KEYS:
        raise FieldError(list(texts), f"holds more than {MOST_KEYS} keys", "Keep those of who installs.")
    return keys


def is_path(key: str) -> bool:
    """Whether it is the path of a public key, and not the key itself."""
    return key.startswith(("~", "/"))


def parse_key_source(text: str) -> str:
    """A public key, or the path of one: absolute, or below the home of whoever arms nodes, as "~/.ssh/x.pub"."""
    given = text.strip(" ")
    if not is_path(given):
        return parse_ssh_key(text)
    below = parse_path(given.removeprefix("~")) if given.startswith(("~/", "/")) else ""
    if not below:
        raise FieldError(text, "is in the home of somebody else", "Write ~/.ssh/id_ed25519.pub, or the whole path.")
    if not below.endswith((".pub", "/authorized_keys")):
        # The name without .pub is that of the private one.
        raise FieldError(text, "does not end in .pub", "Write the path of the public key: ~/.ssh/id_ed25519.pub.")
    return given


def parse_key_sources(texts: Sequence[str]) -> tuple[str, ...]:
    """Public keys and paths, each once."""
    keys = tuple(dict.fromkeys(map(parse_key_source, texts)))
    if len(keys) > MOST_KEYS:
        raise FieldError(list(texts), f"holds more than {MOST_KEYS} keys", "Keep those of who installs.")
    return keys


def parse_time_server(text: str) -> str:
    """An IPv4 address or a DNS name."""
    given = text.strip(" ")
    if re.fullmatch(r"[0-9./:]*", given):
        return str(parse_address(text))
    return parse_domain(text)


def parse_proxy(text: str) -> str:
    """A proxy's URL, with "/" at its end; "" for none."""
    given = text.strip(" ")
    if not given:
        return ""
    remedy = "Write it as http://proxy.example:3128."
    if "@" in given:
        # Not shown: it has a password in it.
        raise FieldError("http://…@…", "has a name and a password in it, which every machine could read", remedy)
    match = _PROXY.fullmatch(given)
    if match is None:
        raise FieldError(text, "is not a proxy's address", remedy)
    host = parse_time_server(match["host"])
    port = f":{parse_port(match['port'])}" if match["port"] else ""
    return f"{match['scheme']}://{host}{port}/"


def parse_disk(text: str) -> str:
    """A disk's path under /dev, "" for the installer's choice."""
    given = text.strip(" ")
    if given and not _DISK.fullmatch(given):
        raise FieldError(
            text,
            "is not a disk",
            "Write /dev and a name, such as /dev/sda or /dev/nvme0n1, or a path in /dev/disk/by-id.",
        )
    return given
