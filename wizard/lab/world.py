"""What the laboratory consists of: names, addresses and MACs. Values only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

STATE = Path("/run/ciao-lab")
"""Everything the laboratory keeps of itself; exists in the laboratory only."""

LAPTOP = "laptop"
LAPTOP_MACS = {"eth0": "00:1b:21:5a:00:98", "eth1": "00:1b:21:5a:01:98"}
LAPTOP_ADDRESS = "10.77.0.98"

CORPORATE_ROUTER = "10.77.0.1"
CORPORATE_DOMAIN = "corp.example"
CORPORATE_WEB = "www.corp.example"
INTERNET_ADDRESS = "198.51.100.10"
INTERNET_NAME = "registry.example"


@dataclass(frozen=True, slots=True)
class Switch:
    """An Ethernet switch: the bridge `bridge` in the namespace `netns`."""

    netns: str
    bridge: str


SWITCHES = {"corporate": Switch("corporate", "office"), "cluster": Switch("switch", "cluster")}


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine on a cable of its own.

    `name` is its namespace and its cable's name at the switch; its NIC is eth0. With `dhcp` it asks for a
    lease until it gets one; `addresses` are static ones with prefix length. `ports` serve a page.
    `client_id` is in hexadecimal digits, as sent: "" leaves the client's own. `hostname` "" sends none.
    """

    name: str
    mac: str
    switch: str = "cluster"
    hostname: str = ""
    client_id: str = ""
    vendor: str = ""
    dhcp: bool = True
    addresses: tuple[str, ...] = ()
    ports: tuple[int, ...] = (80,)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


CONTROLLER_PORTS = (80, 8889, 35357, 5000)

NODES = (
    Machine("controller", "b8:ae:ed:7b:51:50", hostname="controller", ports=CONTROLLER_PORTS),
    Machine("network", "c0:3f:d5:67:a7:6f", hostname="network"),
    Machine("compute1", "b8:ae:ed:7b:72:58", hostname="compute1"),
    Machine("compute2", "c0:3f:d5:67:a1:fb", hostname="compute2"),
)
"""The cluster of the sample."""

COLLEAGUE = Machine("colleague", "00:1b:21:5a:00:50", switch="corporate", hostname="colleague")
COLLEAGUE_ADDRESS = "10.77.0.50"
