"""Asks a time server what it knows (NTP, RFC 5905), as a client without a clock of its own would.

Own and small on purpose: one packet out and one in. The library for it was weighed: docs/decisions.md.
"""

from __future__ import annotations

import json
import secrets
import socket
import struct
import time
from dataclasses import dataclass

from wizard.host import commands
from wizard.plan.text import clean

PORT = 123
_CLIENT, _SERVER = 3, 4
_VERSION = 4
_PACKET = struct.Struct("!BBbbII4sQQQQ")
_UNSET = 3
"""The leap indicator of a server that does not know the time."""
_MOST_STRATUM = 15
_1900 = 2_208_988_800
_OWN_CLOCKS = (b"\x7f\x7f\x01", b"\x7f\x00\x00")
"""How a server names its own clock as its source: 127.127.1.x, and as an orphan 127.0.0.1."""
_TRIES = 2


class NoTime(Exception):
    """A server that gave no answer which a client may use; the text says why, half a sentence."""


@dataclass(frozen=True, slots=True)
class NtpAnswer:
    """A server's answer. Times in s.

    `offset`: how far this machine's clock is behind the server's. `error`: how far the server's may be from the true
    time, by its own word, and with the way there and back. `own_clock`: nobody tells the server the time.
    """

    server: str
    stratum: int
    offset: float
    error: float
    own_clock: bool


class AskedTooOften(NoTime):
    """A server that is there, and wants to be asked later (a kiss of death that says RATE)."""


def is_here(address: str) -> bool:
    """Whether packets to an address (IPv4, dotted) stay on this machine. Elsewhere they may find anybody."""
    try:
        routes = json.loads(commands.run("ip", "-j", "route", "get", address, timeout=5), strict=False)
        return bool(routes[0].get("type") == "local")
    except (commands.CommandFailed, ValueError, LookupError, AttributeError, TypeError):
        return False


def ask(server: str, timeout: float = 1.0) -> NtpAnswer:
    """Ask a server (an IPv4 address, dotted). Raises NoTime: no answer, a refusal, or one that does not know."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as here:
        here.settimeout(timeout / _TRIES)
        try:
            here.connect((server, PORT))
            for _ in range(_TRIES):
                # Not our time: the answer must repeat it, and who only guesses cannot.
                nonce = secrets.randbits(64)
                sent_at, begun = time.time(), time.monotonic()
                here.send(_PACKET.pack(_VERSION << 3 | _CLIENT, 0, 0, 0, 0, 0, b"", 0, 0, 0, nonce))
                try:
                    data = here.recv(1024)
                except TimeoutError:
                    continue
                return parse(server, data, nonce, sent_at, time.monotonic() - begun)
        except OSError as error:
            raise NoTime(f"does not answer ({error.strerror or error})") from None
    raise NoTime("does not answer")


def parse(server: str, data: bytes, nonce: int, sent_at: float, waited: float) -> NtpAnswer:
    """The answer in a datagram. `sent_at`: time.time() at the question; `waited`: s until the answer. Raises NoTime."""
    if len(data) < _PACKET.size:
        raise NoTime("gives an answer that is too short")
    first, stratum, _, _, delay, dispersion, reference, _, origin, received, sent = _PACKET.unpack_from(data)
    if first & 7 != _SERVER or origin != nonce:
        raise NoTime("gives an answer to another question")
    if stratum == 0 and reference.strip(b"\0").isalpha() and reference not in (b"INIT", b"STEP"):
        kind = AskedTooOften if reference == b"RATE" else NoTime
        raise kind(f"refuses ({clean(reference.decode('ascii', 'replace'), 4)})")
    if first >> 6 == _UNSET or not 1 <= stratum <= _MOST_STRATUM:
        raise NoTime("does not know the time yet")
    there_and_back = max(waited - _seconds(sent, received), 0.0)
    middle = sent_at + waited / 2
    # Halfway between the two, and in whichever era of 136 years is the nearest.
    offset = _nearest(_fraction(received) / 2 + _fraction(sent) / 2, middle)
    error = _short(delay) / 2 + _short(dispersion) + there_and_back / 2
    return NtpAnswer(server, stratum, offset, error, reference[:3] in _OWN_CLOCKS)


def _fraction(stamp: int) -> float:
    return stamp / (1 << 32)


def _seconds(later: int, earlier: int) -> float:
    difference = (later - earlier) & (1 << 64) - 1
    return (difference - (1 << 64) if difference >> 63 else difference) / (1 << 32)


def _nearest(ntp: float, unix: float) -> float:
    era = float(1 << 32)
    return (ntp - _1900 - unix + era / 2) % era - era / 2


def _short(value: int) -> float:
    return value / (1 << 16)
