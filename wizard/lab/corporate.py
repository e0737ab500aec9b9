"""The corporate network: an office switch with a router that serves DHCP, DNS and a page, and a colleague."""

from __future__ import annotations

import socket

from wizard.lab import machines
from wizard.lab.tools import ip_batch, run
from wizard.lab.world import (
    COLLEAGUE,
    COLLEAGUE_ADDRESS,
    CORPORATE_DOMAIN,
    CORPORATE_ROUTER,
    CORPORATE_WEB,
    INTERNET_ADDRESS,
    INTERNET_NAME,
    LAPTOP_ADDRESS,
    LAPTOP_MACS,
    STATE,
    SWITCHES,
    Machine,
)

OFFICE = SWITCHES["corporate"]

ROUTER = Machine("corporate", "", switch="corporate", dhcp=False, ports=(80, 5000))
"""What answers on the router's addresses; it is no machine on a cable but the switch's own host."""

# One uid is all that a plain user's namespace has. `user=root` alone is not enough: with a group dnsmasq calls
# setgroups, which is denied there; the empty group leaves that call out.
DNSMASQ = f"""\
user=root
group=
pid-file={STATE}/corporate-dnsmasq.pid
dhcp-leasefile={STATE}/corporate.leases
log-facility={STATE}/log/corporate-dnsmasq.log
log-dhcp
interface={OFFICE.bridge}
except-interface=lo
bind-interfaces
no-resolv
no-hosts
no-poll
domain={CORPORATE_DOMAIN}
host-record=gw.{CORPORATE_DOMAIN},{CORPORATE_ROUTER}
host-record={CORPORATE_WEB},{CORPORATE_ROUTER}
host-record={INTERNET_NAME},{INTERNET_ADDRESS}
# Every other name does not exist, said at once.
address=/#/
dhcp-authoritative
no-ping
dhcp-range=10.77.0.100,10.77.0.199,1h
dhcp-option=option:router,{CORPORATE_ROUTER}
dhcp-option=option:dns-server,{CORPORATE_ROUTER}
dhcp-host={LAPTOP_MACS["eth0"]},{LAPTOP_ADDRESS}
dhcp-host={COLLEAGUE.mac},{COLLEAGUE_ADDRESS}
"""


def start() -> None:
    """The router: on return it hands out addresses; its pages come up by themselves."""
    ip_batch(
        [f"address add {CORPORATE_ROUTER}/24 dev {OFFICE.bridge}", f"address add {INTERNET_ADDRESS}/32 dev lo"],
        OFFICE.netns,
    )
    machines.boot(ROUTER, OFFICE.netns)
    config = STATE / "corporate-dnsmasq.conf"
    config.write_text(DNSMASQ)
    # It goes to the background once its sockets are open.
    run("ip", "netns", "exec", OFFICE.netns, "dnsmasq", "-C", str(config))


def page_answers() -> bool:
    """Whether the laptop gets through to the corporate page."""
    try:
        socket.create_connection((CORPORATE_ROUTER, 80), timeout=1).close()
    except OSError:
        return False
    return True
