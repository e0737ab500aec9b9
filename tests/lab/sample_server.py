"""The dnsmasq of ciao's guide, as it stands there, in a laboratory."""

from __future__ import annotations

from wizard.lab.control import Laboratory

NODES = {
    "controller": "192.168.0.101",
    "network": "192.168.0.102",
    "compute1": "192.168.0.103",
    "compute2": "192.168.0.104",
}

SAMPLE_DNSMASQ = """\
strict-order
bind-interfaces
interface=eth1
except-interface=lo
except-interface=eth0
pid-file=/var/run/tenant_dns.pid
dhcp-leasefile=/var/lib/misc/tenant_dns.leases
listen-address=192.168.0.200
dhcp-range=192.168.0.65,192.168.0.126,12h
dhcp-host=*:*:*:*:*:*,id:*
dhcp-no-override
dhcp-lease-max=253
dhcp-option-force=3,192.168.0.200
dhcp-sequential-ip
dhcp-host=B8:AE:ED:7B:51:50,192.168.0.101
dhcp-host=C0:3F:D5:67:A7:6F,192.168.0.102
dhcp-host=B8:AE:ED:7B:72:58,192.168.0.103
dhcp-host=C0:3F:D5:67:A1:FB,192.168.0.104
# The namespace of a plain user has one uid, and setgroups is denied there.
user=root
group=
"""


def serve_the_sample(lab: Laboratory) -> None:
    lab.run(["ip", "address", "add", "192.168.0.200/24", "dev", "eth1"])
    lab.run(["sh", "-c", "cat >/run/tenant_dns.cfg && dnsmasq -C /run/tenant_dns.cfg"], input=SAMPLE_DNSMASQ)
