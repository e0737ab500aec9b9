"""The time for the nodes, as values: what `[network] ntp` says, and who gives it. `plan.time_source` chooses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from netaddr import IPAddress, IPNetwork

CHRONY, NTPSEC = "chrony", "ntpsec"

DROP_IN = "ciao-cluster.conf"
"""The name of our file in a time server's directory of further settings."""
CHRONY_DIRECTORIES = ("/etc/chrony/conf.d", "/etc/chrony.d", "/etc/chrony/chrony.d")
NTPSEC_DIRECTORIES = ("/etc/ntpsec/ntp.d", "/etc/ntp.d")
DROP_INS = tuple(f"{directory}/{DROP_IN}" for directory in (*CHRONY_DIRECTORIES, *NTPSEC_DIRECTORIES))
"""Every path at which that file may be: nothing else is ever written or removed."""

TEMPLATES = {CHRONY: "chrony.conf", NTPSEC: "ntpsec.conf"}

LOCAL_STRATUM = 10
"""What a server says of itself that knows the time from its own clock alone."""
MOST_SERVERS = 4
"""Of the company's, as its DHCP named them: more would help no node."""

_NO_SERVER = tuple(map(IPNetwork, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")))


class NtpMode(StrEnum):
    """`[network] ntp` where it is no list: AUTO uses this machine's own server, else the company's."""

    AUTO = "auto"
    OFF = "off"


NtpSetting = NtpMode | tuple[IPAddress, ...]
"""A list is handed out as it is."""


@dataclass(frozen=True, slots=True)
class TimeServer:
    """A time server that runs on this machine. `kind`: CHRONY or NTPSEC; `unit`: its service, such as "chrony.service",
    "" where neither that nor an init script is known.

    `drop_in`: where a file of ours would be read, one of DROP_INS, "" where it reads none.
    """

    kind: str
    unit: str
    drop_in: str = ""

    @property
    def can_be_opened(self) -> bool:
        """Whether it reads a file of ours, and somebody can have it do so, and undo it."""
        return bool(self.drop_in and self.unit)


@dataclass(frozen=True, slots=True)
class TimeSource:
    """What an apply does about the time.

    `servers`: what option 42 names, dotted; () sends none. `server`: the one of this machine that is opened to the
    cluster, None where none is.
    """

    servers: tuple[str, ...] = ()
    server: TimeServer | None = None


NO_TIME = TimeSource()


def is_server_address(address: IPAddress) -> bool:
    """Whether another machine can have it. To dnsmasq 0.0.0.0 would mean itself."""
    return not any(address in block for block in _NO_SERVER)


def ntp_text(setting: NtpSetting) -> str:
    """The setting as `parse_ntp` reads it."""
    return setting.value if isinstance(setting, NtpMode) else ", ".join(map(str, setting))
