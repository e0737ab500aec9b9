"""Lists of machines as programs and people write them: every row is read, or told why not.

A new format: one text in its words, and in FORMATS the rows it stands for: line, name, roles, mac, ip; None where the
list does not say.
"""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wizard.plan.machine_lists import decode, read_list
from wizard.plan.machine_lists.row import NO_MAC

Row = tuple[int, str | None, str | None, str | None, str | None]


def mac(last: int) -> str:
    return f"00:16:3e:5a:00:{last:02x}"


def rows(text: str) -> list[Row]:
    """What was understood; the problems are looked at by themselves."""
    found = []
    for machine in read_list(text).machines:
        assert machine.problem == "", machine
        roles = "+".join(machine.roles) or None
        found.append((machine.line, machine.name or None, roles, machine.mac or None, machine.ip or None))
    return found


WINDOWS = """
Schnittstelle: 172.20.3.9 --- 0xb
  Internetadresse       Physische Adresse     Typ
  172.20.3.1            00-16-3e-5a-00-01     dynamisch
  172.20.3.77           00-16-3e-5a-00-4d     statisch
  172.20.3.255          ff-ff-ff-ff-ff-ff     statisch
  239.255.255.250       01-00-5e-7f-ff-fa     statisch
"""
NEIGHBOURS = """\
172.20.3.1 dev enp2s0 lladdr 00:16:3e:5a:00:01 router REACHABLE
172.20.3.2 dev enp2s0 FAILED
172.20.3.3 dev enp2s0 INCOMPLETE
fe80::216:3eff:fe5a:1 dev enp2s0 lladdr 00:16:3e:5a:00:01 STALE
fe80::216:3eff:fe5a:9 dev enp2s0 lladdr 00:16:3e:5a:00:09 DELAY
172.20.3.4 dev enp2s0 lladdr 00:16:3e:5a:00:04 used 12/9/9 probes 4 PERMANENT
"""
NEIGHBOURS_JSON = """[{"dst":"172.20.3.1","dev":"enp2s0","lladdr":"00:16:3e:5a:00:01","state":["STALE"]},
{"dst":"172.20.3.2","dev":"enp2s0","state":["FAILED"]}]"""
ARP = """\
Address                  HWtype  HWaddress           Flags Mask            Iface
172.20.3.1               ether   00:16:3e:5a:00:01   C                     enp2s0
172.20.3.2                       (incomplete)                              enp2s0
shelf.example.net        ether   00:16:3e:5a:00:03   CM                    enp2s0
"""
ARP_A = """\
_gateway (172.20.3.1) at 00:16:3e:5a:00:01 [ether] on enp2s0
shelf.example.net (172.20.3.3) at 00:16:3e:5a:00:03 [ether] PERM on enp2s0
? (172.20.3.4) at <incomplete> on enp2s0
? (172.20.3.5) at 0:16:3e:5a:0:5 on en0 ifscope [ethernet]
? (224.0.0.251) at 1:0:5e:0:0:fb on en0 ifscope permanent [ethernet]
"""
PROC_ARP = """\
IP address       HW type     Flags       HW address            Mask     Device
172.20.3.1       0x1         0x2         00:16:3e:5a:00:01     *        enp2s0
172.20.3.2       0x1         0x0         00:00:00:00:00:00     *        enp2s0
"""
ARP_SCAN = """\
Interface: enp2s0, type: EN10MB, MAC: 00:16:3e:5a:00:99, IPv4: 172.20.3.9
Starting arp-scan 1.10.0 with 256 hosts (https://example.net)
172.20.3.1\t00:16:3e:5a:00:01\tXensource
172.20.3.2\t00:16:3e:5a:00:02\t(Unknown: locally administered)

2 packets received by filter, 0 packets dropped by kernel
"""
DNSMASQ = """\
# reservations
domain-needed
interface=enp2s0
dhcp-range=172.20.3.50,172.20.3.90,255.255.255.0,12h
dhcp-host=00:16:3e:5a:00:01,set:red,172.20.3.11,shelf,12h
dhcp-host=shelf2,00:16:3e:5a:00:02,tag:blue,infinite
dhcp-host=00:16:3e:5a:00:03,id:*,172.20.3.13,3600
dhcp-host=00:16:3e:5a:00:04,ignore
dhcp-host=00:16:3e:5a:00:05,[2001:db8::5],[2001:db8::/64],shelf5.example.net,[::9]
dhcp-host=id:01:02:03:04,shelf6,172.20.3.16,45m
dhcp-host=1-00:16:3e:5a:00:07,net:old,172.20.3.17 # by the door
"""
RESERVATIONS = "00:16:3e:5a:00:01,set:red,172.20.3.11,shelf,12h\n00:16:3e:5a:00:02,shelf2,172.20.3.12\n"
DNSMASQ_LEASES = """\
1790000000 00:16:3e:5a:00:01 172.20.3.51 shelf 01:00:16:3e:5a:00:01
0 00:16:3e:5a:00:02 172.20.3.52 * *
duid 00:01:00:01:2e:5a
1790000000 123456 2001:db8::51 shelf 00:01:00:01
"""
DHCPD = """\
option domain-name "example.net"; # ours
subnet 172.20.3.0 netmask 255.255.255.0 {
  range 172.20.3.50 172.20.3.90;
  host shelf {          # the "tall" one
    hardware ethernet 00:16:3E:5A:00:01;
    fixed-address 172.20.3.11;
    option host-name "something-else";
  }
}
host compute7 { hardware ethernet 00:16:3e:5a:00:02; fixed-address compute7.example.net; }
# host old { hardware ethernet 00:16:3e:5a:00:03; }
host brace
{
  hardware ethernet 00:16:3e:5a:00:04;
}
"""
DHCPD_LEASES = r"""
authoring-byte-order little-endian;
lease 172.20.3.51 {
  starts 3 2026/03/04 05:06:07;
  hardware ethernet 00:16:3e:5a:00:01;
  uid "\001\000\026>Z\000\001";
  client-hostname "shelf";
}
server-duid "\000\001\000\001";
lease 172.20.3.52 {
  binding state abandoned;
}
lease 172.20.3.53 {
  hardware ethernet 00:16:3e:5a:00:01;
  binding state active;
}
"""
KEA = """\
{ // of the lab
"Dhcp4": {
    # one subnet
    "subnet4": [ { "id": 4, "subnet": "172.20.3.0/24", "pools": [ { "pool": "172.20.3.50 - 172.20.3.90" } ],
      "reservations": [
        { "hw-address": "00:16:3e:5a:00:01", "ip-address": "172.20.3.11", "hostname": "shelf.example.net" },
        /* a comment of
           two lines */
        {
          "hw-address": "00:16:3e:5a:00:02",
          "option-data": [ { "name": "routers", "data": "172.20.3.1" } ],
        },
        { "client-id": "01:02:03", "ip-address": "172.20.3.13", "hostname": "shelf3" }
      ] } ] } }
"""
KEA_LEASES = """\
address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id
172.20.3.51,00:16:3e:5a:00:01,01:00,3600,1790000000,4,0,0,shelf.example.net.,0,,0
172.20.3.52,,,3600,1790000000,4,0,0,,1,,0
172.20.3.53,00:16:3e:5a:00:01,01:00,3600,1790003600,4,0,0,shelf.example.net.,0,{ "a": 1 },0
"""
UCI = """\
config dnsmasq
\toption domain 'lan'

config host
\toption name 'shelf'
\toption dns '1'
\toption mac '00:16:3E:5A:00:01'
\toption ip '172.20.3.11'

config host 'second'
\tlist mac '00:16:3e:5a:00:02'
\toption ip 'ignore'
"""
UCI_SHOW = """\
dhcp.@dnsmasq[0].domain='lan'
dhcp.@host[0]=host
dhcp.@host[0].name='shelf'
dhcp.@host[0].mac='00:16:3E:5A:00:01'
dhcp.@host[0].ip='172.20.3.11'
"""
ANSIBLE = """\
jump ansible_host=172.20.3.9
[controllers]
head ansible_host=172.20.3.11 mac=00:16:3e:5a:00:01
[compute]
shelf.example.net ansible_host=172.20.3.12 mac_address="00:16:3e:5a:00:02"  # the tall one
172.20.3.13 hwaddr=00:16:3e:5a:00:03
head
[compute:vars]
ansible_user=somebody
[lab:children]
compute
controllers
"""
ANSIBLE_YAML = """\
# the lab
all:
  vars: {ansible_user: somebody}
  children:
    controllers:
      hosts:
        head:
          ansible_host: 172.20.3.11
          mac: 00:16:3e:5a:00:01
    computes:
      hosts:
        shelf.example.net: {ansible_host: "172.20.3.12", macaddress: '00:16:3e:5a:00:02'}
        bare:
        head:
"""
ANSIBLE_LIST = """{"_meta": {"hostvars": {"head": {"ansible_host": "172.20.3.11", "mac": "00:16:3e:5a:00:01"}}},
"computes": {"hosts": ["head", "shelf"]}}"""
ETHERS = """\
00:16:3e:5a:00:01 eth01
0:16:3e:5a:0:2 172.20.3.12
00:16:3e:5a:00:03 shelf3.example.net
127.0.0.1 localhost
::1 localhost ip6-localhost
172.20.3.11 eth01.example.net eth01
172.20.3.13\tshelf3
172.20.3.14 alone.example.net alone other
"""
NMAP = """\
Starting Nmap 7.94 ( https://nmap.org ) at 2026-03-04 05:06 CET
Nmap scan report for shelf.example.net (172.20.3.11)
Host is up (0.00031s latency).
MAC Address: 00:16:3E:5A:00:01 (Xensource)
Nmap scan report for 172.20.3.12
Host is up (0.0002s latency).
MAC Address: 00:16:3E:5A:00:02 (Unknown)
Nmap scan report for 172.20.3.9
Host is up.
Nmap scan report for 172.20.3.200 [host down]
Nmap done: 256 IP addresses (3 hosts up) scanned in 1.97 seconds
"""
MIKROTIK = """\
# 2026-03-04 05:06:07 by RouterOS 7.14
/interface bridge
add name=bridge1
/ip dhcp-server lease
add address=172.20.3.11 client-id=1:0:16:3e:5a:0:1 comment="the tall one" mac-address=\\
    00:16:3E:5A:00:01 server=dhcp1
add address=172.20.3.12 comment=spare mac-address=00:16:3E:5A:00:02 server=dhcp1
/ip address
add address=172.20.3.1/24 interface=bridge1
"""
PFSENSE = """\
<?xml version="1.0"?>
<dhcpd><lan><range><from>172.20.3.50</from></range>
<staticmap>
 <mac>00:16:3e:5a:00:01</mac><ipaddr>172.20.3.11</ipaddr><hostname>shelf</hostname>
 <descr><![CDATA[the tall one]]></descr></staticmap>
<staticmap><mac>00:16:3e:5a:00:02</mac><ipaddr/><hostname/></staticmap></lan></dhcpd>
"""
LIBVIRT = "<network><ip><dhcp>\n<host mac='00:16:3e:5a:00:01' name='shelf' ip='172.20.3.11'/></dhcp></ip></network>"
NMAP_XML = """<!DOCTYPE nmaprun>
<nmaprun><host><status state="up"/><address addr="172.20.3.11" addrtype="ipv4"/>
<address addr="00:16:3E:5A:00:01" addrtype="mac" vendor="Xensource"/>
<hostnames><hostname name="shelf.example.net" type="PTR"/></hostnames></host></nmaprun>"""
PLAN = """\
version = 1
[interfaces]
corporate = "eth0"
cluster = "eth1"
[[nodes]]
name = "head"        # the first
role = ["controller", "network"]
mac  = "00-16-3E-5A-00-01"
ip   = "172.20.3.11"

[[nodes]]
mac = "00163e5a0002"
name = "shelf"
role = "compute"
"""
SHEET = '''\
sep=;
MAC;Place;IP;Name
00:16:3e:5a:00:01;row #2;172.20.3.11/24;shelf.example.net
0016.3e5a.0002;#7;172.20.3.12;compute9;;
00163E-5A0003;"third; by the ""door""";172.20.3.13;shelf3,

anything 00:16:3e:5a:00:04
'''
GERMAN = (
    "Rechnername\tMAC-Adresse\tIPv4-Adresse\tRolle\tBemerkung\nshelf\t00-16-3E-5A-00-01\t172.20.3.11\tcompute\tneu\n"
)
FRENCH = "Rôle;Nom d'hôte;Adresse IP;Adresse MAC\ncompute;shelf;172.20.3.11;0016-3e5a-0001\n"
MARKDOWN = "| Name  | MAC |\n|:---|---|\n| shelf | `00:16:3e:5a:00:01` |\n"
TERMINAL = "Host name   MAC address         IP address\n----------  ------------------  ----------\n" + (
    "shelf       00:16:3e:5a:00:01   172.20.3.11\n"
)
FREE = """\
shelf 00:16:3e:5a:00:01 172.20.3.11 compute   # the tall one
0016.3e5a.0002 172.20.3.12 network+compute
ip=172.20.3.13 name=shelf3 mac=00:16:3e:5a:00:03
172.20.3.14\t00:16:3e:5a:00:04\tREACHABLE
00:16:3e:5a:00:05, shelf5, next to the door
172.20.3.16 00:16:3e:5a:00:06 Acme
172.20.3.17 00:16:3e:5a:00:07 Acme
"""
COLOURED = "\x1b[36m172.20.3.1\x1b[0m dev enp2s0 lladdr \x1b[33m00:16:3e:5a:00:01\x1b[0m \x1b[32mREACHABLE\x1b[0m\n"
OURS = """[{"line": 4, "name": "shelf", "roles": ["compute"], "mac": "00:16:3e:5a:00:01", "ip": null, "problem": ""}]"""

FORMATS: dict[str, tuple[str, list[Row]]] = {
    "windows": (WINDOWS, [(4, None, None, mac(1), "172.20.3.1"), (5, None, None, mac(0x4D), "172.20.3.77")]),
    "windows, a row": (" 172.20.3.1  00-16-3e-5a-00-01  dynamic\n", [(1, None, None, mac(1), "172.20.3.1")]),
    "ip neigh": (
        NEIGHBOURS,
        [(1, None, None, mac(1), "172.20.3.1"), (5, None, None, mac(9), None), (6, None, None, mac(4), "172.20.3.4")],
    ),
    "ip -j neigh": (NEIGHBOURS_JSON, [(1, None, None, mac(1), "172.20.3.1")]),
    "ip -c neigh": (COLOURED, [(1, None, None, mac(1), "172.20.3.1")]),
    "arp": (ARP, [(2, None, None, mac(1), "172.20.3.1"), (4, "shelf", None, mac(3), None)]),
    "arp -a": (
        ARP_A,
        [
            (1, None, None, mac(1), "172.20.3.1"),
            (2, "shelf", None, mac(3), "172.20.3.3"),
            (4, None, None, mac(5), "172.20.3.5"),
        ],
    ),
    "proc": (PROC_ARP, [(2, None, None, mac(1), "172.20.3.1")]),
    "arp-scan": (ARP_SCAN, [(3, None, None, mac(1), "172.20.3.1"), (4, None, None, mac(2), "172.20.3.2")]),
    "dnsmasq": (
        DNSMASQ,
        [
            (5, "shelf", None, mac(1), "172.20.3.11"),
            (6, "shelf2", None, mac(2), None),
            (7, None, None, mac(3), "172.20.3.13"),
            (8, None, None, mac(4), None),
            (9, "shelf5", None, mac(5), None),
            (10, "shelf6", None, None, "172.20.3.16"),
            (11, None, None, mac(7), "172.20.3.17"),
        ],
    ),
    "dhcp-hostsfile": (
        RESERVATIONS,
        [(1, "shelf", None, mac(1), "172.20.3.11"), (2, "shelf2", None, mac(2), "172.20.3.12")],
    ),
    "dnsmasq leases": (
        DNSMASQ_LEASES,
        [(1, "shelf", None, mac(1), "172.20.3.51"), (2, None, None, mac(2), "172.20.3.52")],
    ),
    "dhcpd": (
        DHCPD,
        [
            (4, "shelf", None, mac(1), "172.20.3.11"),
            (10, "compute7", "compute", mac(2), None),
            (12, "brace", None, mac(4), None),
        ],
    ),
    "dhcpd leases": (DHCPD_LEASES, [(13, "shelf", None, mac(1), "172.20.3.53")]),
    "kea": (
        KEA,
        [
            (6, "shelf", None, mac(1), "172.20.3.11"),
            (9, None, None, mac(2), None),
            (13, "shelf3", None, None, "172.20.3.13"),
        ],
    ),
    "kea leases": (KEA_LEASES, [(4, "shelf", None, mac(1), "172.20.3.53")]),
    "uci": (UCI, [(4, "shelf", None, mac(1), "172.20.3.11"), (10, None, None, mac(2), None)]),
    "uci show": (UCI_SHOW, [(2, "shelf", None, mac(1), "172.20.3.11")]),
    "ansible": (
        ANSIBLE,
        [
            (1, "jump", None, None, "172.20.3.9"),
            (3, "head", "controller+compute", mac(1), "172.20.3.11"),
            (5, "shelf", "compute", mac(2), "172.20.3.12"),
            (6, None, "compute", mac(3), "172.20.3.13"),
        ],
    ),
    "ansible, yaml": (
        ANSIBLE_YAML,
        [
            (7, "head", "controller+compute", mac(1), "172.20.3.11"),
            (12, "shelf", "compute", mac(2), "172.20.3.12"),
            (13, "bare", "compute", None, None),
        ],
    ),
    "ansible-inventory --list": (
        ANSIBLE_LIST,
        [(1, "head", "compute", mac(1), "172.20.3.11"), (2, "shelf", "compute", None, None)],
    ),
    "ethers and hosts": (
        ETHERS,
        [
            (1, "eth01", None, mac(1), "172.20.3.11"),
            (2, None, None, mac(2), "172.20.3.12"),
            (3, "shelf3", None, mac(3), "172.20.3.13"),
            (8, "alone", None, None, "172.20.3.14"),
        ],
    ),
    "nmap": (
        NMAP,
        [
            (2, "shelf", None, mac(1), "172.20.3.11"),
            (5, None, None, mac(2), "172.20.3.12"),
            (8, None, None, None, "172.20.3.9"),
        ],
    ),
    "nmap -oX": (NMAP_XML, [(2, "shelf", None, mac(1), "172.20.3.11")]),
    "mikrotik": (MIKROTIK, [(5, None, None, mac(1), "172.20.3.11"), (7, None, None, mac(2), "172.20.3.12")]),
    "pfsense": (PFSENSE, [(3, "shelf", None, mac(1), "172.20.3.11"), (6, None, None, mac(2), None)]),
    "libvirt": (LIBVIRT, [(2, "shelf", None, mac(1), "172.20.3.11")]),
    "plan": (
        PLAN,
        [(5, "head", "controller+network", mac(1), "172.20.3.11"), (11, "shelf", "compute", mac(2), None)],
    ),
    "sheet": (
        SHEET,
        [
            (3, "shelf", None, mac(1), "172.20.3.11"),
            (4, "compute9", "compute", mac(2), "172.20.3.12"),
            (5, "shelf3", None, mac(3), "172.20.3.13"),
            (7, "anything", None, mac(4), None),
        ],
    ),
    "german": (GERMAN, [(2, "shelf", "compute", mac(1), "172.20.3.11")]),
    "french": (FRENCH, [(2, "shelf", "compute", mac(1), "172.20.3.11")]),
    "markdown": (MARKDOWN, [(3, "shelf", None, mac(1), None)]),
    "terminal": (TERMINAL, [(3, "shelf", None, mac(1), "172.20.3.11")]),
    "free": (
        FREE,
        [
            (1, "shelf", "compute", mac(1), "172.20.3.11"),
            (2, None, "network+compute", mac(2), "172.20.3.12"),
            (3, "shelf3", None, mac(3), "172.20.3.13"),
            (4, None, None, mac(4), "172.20.3.14"),
            (5, "shelf5", None, mac(5), None),
            (6, None, None, mac(6), "172.20.3.16"),
            (7, None, None, mac(7), "172.20.3.17"),
        ],
    ),
    "ours": (OURS, [(1, "shelf", "compute", mac(1), None)]),
}


@pytest.mark.parametrize("form", FORMATS)
def test_every_row_of_a_known_format_is_read(form: str) -> None:
    text, expected = FORMATS[form]
    assert rows(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "dhcp-host={0},{1},set:x,172.20.3.11,shelf\n",
        "{0},{1},172.20.3.11,shelf,12h\n",
        "name,mac,ip\nshelf,{0}+{1},172.20.3.11\n",
        'name;mac;ip\nshelf;"{0}, {1}";172.20.3.11\n',
        "role,name,mac,ip,other macs\n,shelf,{0},172.20.3.11,{1}\n",
        "shelf {0}+{1} 172.20.3.11\n",
        '[{{"name": "shelf", "macs": ["{0}", "{1}"], "ip": "172.20.3.11"}}]',
        '[{{"name": "shelf", "mac": "{0}", "other_macs": ["{1}"], "ip": "172.20.3.11"}}]',
        "---\nnodes:\n  - name: shelf\n    mac: [{0}, '{1}']\n    ip: 172.20.3.11\n",
        '[[nodes]]\nname = "shelf"\nmac = ["{0}", "{1}"]\nip = "172.20.3.11"\n',
        "[computes]\nshelf ansible_host=172.20.3.11 mac={0},{1}\n",
        "config host\n\toption name 'shelf'\n\toption mac '{0} {1}'\n\toption ip '172.20.3.11'\n",
    ],
)
def test_a_machine_with_several_nics_is_one(text: str) -> None:
    macs = (mac(1), mac(2))
    (machine,) = read_list(text.format(*macs)).machines
    assert (machine.problem, machine.name, machine.macs, machine.ip) == ("", "shelf", macs, "172.20.3.11")
    assert machine.as_json()["other_macs"] == [mac(2)]


def test_rows_of_one_machine_with_several_nics_are_one() -> None:
    text = f"name;mac\nshelf;{mac(1)}+{mac(2)}\nshelf;{mac(1)}+{mac(2)}\n"
    listed = read_list(text)
    assert (len(listed.machines), listed.repeated) == (1, 1)


@pytest.mark.parametrize("form", ["windows", "sheet", "kea", "ansible, yaml", "pfsense"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_in_whatever_encoding(form: str, encoding: str) -> None:
    text, expected = FORMATS[form]
    assert rows(decode(text.replace("\n", "\r\n").encode(encoding))) == expected


def test_latin_and_stray_nulls() -> None:
    assert rows(decode("Bemerkung;mac;name\nB\xe4r;00163e5a0001;shelf\n".encode("latin-1"))) == [
        (2, "shelf", None, mac(1), None)
    ]
    assert rows("shelf\x00 00:16:3e:5a:00:01\x00\x07\n") == [(1, "shelf", None, mac(1), None)]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("shelf 00:16:3e:5a:00:01 00:16:3e:5a:00:02\n", 1, "more than one MAC"),
        ("shelf,00:16:3e:5a:00:01,00:16:3e:5a:00:02\n", 1, "more than one MAC"),
        ("shelf 00:16:3e:5a:00:01+00:16:3e:5a:00:02 00:16:3e:5a:00:03\n", 1, "more than one MAC"),
        ("shelf 00:16:3e:5a:00:01+00:16:3e:5a:00\n", 1, "is neither a MAC"),
        ("name;mac\nshelf;00:16:3e:5a:00:01,00:16:3e:5a:00\n", 2, "is not a MAC"),
        ("name;mac;other macs\nshelf;00:16:3e:5a:00:01;-x\n", 2, "is not a MAC"),
        ("name;mac;other macs\nshelf;00:16:3e:5a:00:01;01:00:5e:00:00:01\n", 2, "a group's address"),
        ("name;mac\na;00:16:3e:5a:00:01/00:16:3e:5a:00:02\nb;00:16:3e:5a:00:02\n", 3, "is on line 2 already"),
        ("dhcp-host=00:16:3e:5a:00:01,00:16:3e:*:*:*,shelf\n", 1, "a pattern for many machines"),
        ("dhcp-host=00:16:3e:*:*:*,set:xen\n", 1, "a pattern for many machines"),
        ("\ndhcp-host=06-00:16:3e:5a:00:01,shelf\n", 2, "is not a MAC"),
        ("host shelf {\n  hardware ethernet 00:16:3e:5a:00:01;\n", 1, "not closed"),
        ("host shelf {\n  hardware token-ring 00:16:3e:5a:00:01;\n}\n", 1, "not ethernet"),
        ("[computes]\nwork[1:9] ansible_host=172.20.3.1\n", 2, "a range"),
        ("name;mac\nshelf #4;00163e5a0001\n", 2, '"shelf #4" is not a machine\'s name'),
        ("name;mac\nB\xe4r;00163e5a0001\n", 2, "is not a machine's name"),
        ("just some words\n", 1, "more than one name"),
        ("shelf\n", 1, "no MAC in it"),
        ("shelf b8:ae:ed:7b:51\n\n", 1, "is neither a MAC"),
        ("shelf B8:AE:ED:7B:51:5\n\n", 1, "is neither a MAC"),
        ("03:16:3e:5a:00:01 shelf\n", 1, "a group's address"),
        ('{"a": [\n{"mac": "x"\n', 2, "before every bracket"),
        ('[{"mac": "00:16:3e:5a:00:0g", "name": "shelf"}]', 1, "is not a MAC"),
        ("---\nhosts: [\n", 3, "YAML: "),
        ("<a><mac>00:16:3e:5a:00:01</mac>\n<b></a>", 2, "XML: "),
        ("[[nodes]]\nname = \n", 2, "TOML: "),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]>\n<a>&b;</a>", 1, "entities"),
        ("[" * 100_000, 1, "JSON: nested too deeply"),
        ("---\na: " + "[" * 10_000, 2, "YAML: "),
        ("<a>" * 1000, 1, "XML: nested too deeply"),
        ("[[nodes]]\na" + ".a" * 100_000 + " = 1\n", 2, "TOML: a key of more than"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, line: int, why: str) -> None:
    (machine,) = (machine for machine in read_list(text).machines if machine.problem)
    assert machine.line == line
    assert why in machine.problem


@pytest.mark.parametrize(
    "line",
    [
        "- {mac} shelf",
        "* {mac} shelf",
        "• {mac} shelf",
        "– {mac} shelf",
        "+ {mac} shelf",
        "> {mac} shelf",
        "1. {mac} shelf",
        "12) {mac} shelf",
        "[ ] {mac} shelf",
        "[x] {mac} shelf",
        "MAC: {mac} shelf",
        "- MAC: {mac} shelf",
        "MAC:{mac} shelf",
        "MAC {mac} shelf",
        "shelf MAC: {mac}",
        "shelf: {mac}",
        "- shelf: {mac}",
        "Name: shelf, MAC: {mac}",
        "name: shelf mac: {mac}",
        "Hostname: shelf MAC address: {mac}",
        "shelf, MAC {mac}",
        "HWaddr {mac} shelf",
        "shelf ({mac})",
        "shelf {mac}.",
        "{mac}: shelf",
    ],
)
def test_bullets_and_labels_before_a_value_are_no_words_of_it(line: str) -> None:
    assert rows(line.format(mac=mac(1)) + "\n") == [(1, "shelf", None, mac(1), None)]
    assert rows("\n".join(line.format(mac=mac(n)).replace("shelf", f"shelf{n}") for n in (1, 2))) == [
        (1, "shelf1", None, mac(1), None),
        (2, "shelf2", None, mac(2), None),
    ]


@pytest.mark.parametrize(
    "line", ["serial: {mac}", "eth0: {mac}", "BSSID: {mac}", "option mac {mac}", "rack shelf: {mac}", "two mac {mac}"]
)
def test_what_may_be_no_name_in_front_of_a_mac_is_told(line: str) -> None:
    (machine,) = read_list(line.format(mac=mac(1))).machines
    assert machine.problem


def test_a_label_says_what_the_word_behind_it_is() -> None:
    assert rows(f"Name: compute, role: network, IP: 172.20.3.11, MAC: {mac(1)}") == [
        (1, "compute", "network", mac(1), "172.20.3.11")
    ]
    (machine,) = read_list(f"{mac(1)} role: storage").machines
    assert machine.problem == 'role: "storage" is not a role. Write controller, network or compute.'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f'[{{"name": "other", "mac": "{mac(1)}"}},\n{{"name": "shelf"}}]', 2),
        (f'{{"a": [{{"name": "shelf", "role": "compute"}}, {{"mac": "{mac(1)}"}}]}}', 1),
        ('[\n{"name": "shelf", "mac": null}]', 2),
        ('{"nodes": [{"hostname": "shelf", "rack": 4}]}', 1),
        ("---\nmachines:\n  - hostname: shelf\n", 3),
    ],
)
def test_an_object_with_only_a_name_is_told_as_left_out(text: str, line: int) -> None:
    (machine,) = (machine for machine in read_list(text).machines if machine.problem)
    assert (machine.line, machine.name, machine.problem) == (line, "shelf", NO_MAC)


def test_an_object_with_a_name_that_is_no_machine_is_none() -> None:
    text = f'{{"option-def": [{{"name": "a"}}], "client-classes": [{{"name": "b"}}], "nodes": [{{"mac": "{mac(1)}"}}]}}'
    assert rows(text) == [(1, None, None, mac(1), None)]


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("name;mac\nshelf #4;00163e5a0001\n", "Write letters, digits and '-' between them"),
        ('[{"mac": "00:16:3e:5a:00:0g", "name": "shelf"}]', "Write six pairs of hex digits"),
        ("name;mac;ip\nshelf;00163e5a0001;172.20.3.300\n", "Write four numbers from 0 to 255"),
        ("name;mac;role\nshelf;00163e5a0001;storage\n", "Write controller, network or compute"),
        ("dhcp-host=00:16:3e:*:*:*,set:xen\n", "Write one MAC"),
    ],
)
def test_the_reason_says_what_is_allowed(text: str, allowed: str) -> None:
    (machine,) = read_list(text).machines
    assert allowed in machine.problem


def test_who_is_there_twice_is_told() -> None:
    first, second, third, fourth = read_list(
        f"shelf {mac(1)} 172.20.3.1\nother {mac(1)}\nshelf {mac(2)}\nlast {mac(3)} 172.20.3.1\n"
    ).machines
    assert first.problem == ""
    assert second.problem == f"MAC {mac(1)} is on line 1 already"
    assert third.problem == "name shelf is on line 1 already"
    assert fourth.problem == "address 172.20.3.1 is on line 1 already"


def test_the_same_row_again_is_no_problem_and_counted() -> None:
    listed = read_list(f"shelf {mac(1)}\n" * 3)
    assert len(listed.machines) == 1
    assert listed.repeated == 2


def test_what_is_no_machine_is_counted() -> None:
    assert read_list(WINDOWS).passed == 2
    assert read_list(NEIGHBOURS).passed == 2
    assert read_list(ARP_A).passed == 2


def test_a_list_of_several_formats() -> None:
    text = "\n".join([ARP, DHCPD, "name,mac\nsheet,00:16:3e:5a:00:21\n", NMAP.replace("5A:00:0", "5A:01:0")])
    found = {machine.name: machine.problem for machine in read_list(text).machines}
    assert {"shelf", "compute7", "brace", "sheet"} <= found.keys()


@given(st.text(max_size=400))
def test_any_text(text: str) -> None:
    for machine in read_list(text).machines:
        assert machine.line >= 1
        assert machine.problem or machine.mac or machine.name or machine.ip


@given(st.binary(max_size=400))
def test_any_bytes(raw: bytes) -> None:
    read_list(decode(raw))


WORDS = st.lists(st.sampled_from([word for text, _ in FORMATS.values() for word in text.split(" ")]), max_size=60)


@given(WORDS, st.sampled_from([" ", "\n", ",", ";", "\n  "]))
def test_any_shuffle_of_the_words_of_all_formats(words: list[str], between: str) -> None:
    read_list(between.join(words))


@given(st.sampled_from(sorted(FORMATS)), st.data())
def test_any_part_of_a_format(form: str, data: st.DataObject) -> None:
    text = FORMATS[form][0]
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, len(text)))
    read_list(text[:begin] + text[end:])
    read_list(text[begin:end])


WORD = st.text(string.ascii_lowercase, min_size=3, max_size=9).map(lambda word: "zz" + word)


@given(WORD, st.integers(2, 250))
@pytest.mark.parametrize(
    "row",
    [
        "172.20.3.{n} dev {word} lladdr 00:16:3e:5a:00:{n:02x} STALE",
        "? (172.20.3.{n}) at 00:16:3e:5a:00:{n:02x} [{word}] on {word}",
        "172.20.3.{n} ether 00:16:3e:5a:00:{n:02x} C {word}",
        "dhcp-host=00:16:3e:5a:00:{n:02x},set:{word},tag:{word},id:{word},172.20.3.{n},12h",
        "00:16:3e:5a:00:{n:02x},172.20.3.{n},set:{word}",
        "host shelf{n} {{ hardware ethernet 00:16:3e:5a:00:{n:02x}; option {word} {word}; }}",
        "config host\n\toption mac '00:16:3e:5a:00:{n:02x}'\n\toption {word} '{word}'\n\toption tag '{word}'",
        "/ip arp\nadd mac-address=00:16:3e:5a:00:{n:02x} address=172.20.3.{n} comment={word} server={word}",
        "Nmap scan report for 172.20.3.{n}\nMAC Address: 00:16:3E:5A:00:{n:02X} ({word})",
        "Interface: 172.20.3.1 --- 0x3\n  {word} {word} {word}\n 172.20.3.{n}  00-16-3e-5a-00-{n:02x}  {word}",
        "Interface: eth1, type: EN10MB\n172.20.3.{n}\t00:16:3e:5a:00:{n:02x}\t{word}",
        "{word};mac;ip\n{word};00:16:3e:5a:00:{n:02x};172.20.3.{n}",
        '[{{"mac": "00:16:3e:5a:00:{n:02x}", "{word}": "{word}", "server": "{word}", "tags": ["{word}"]}}]',
        "---\n{word}:\n  - mac: 00:16:3e:5a:00:{n:02x}\n    {word}: {word}\n",
        "<{word}><host mac='00:16:3e:5a:00:{n:02x}' {word}='{word}'><descr>{word}</descr></host></{word}>",
        "00:16:3e:5a:00:{n:02x}, {word} {word} {word}",
        "1790000000 00:16:3e:5a:00:{n:02x} 172.20.3.{n} * {word}",
    ],
)
def test_no_word_becomes_a_name_where_no_name_stands(row: str, word: str, n: int) -> None:
    found = read_list(row.format(word=word, n=n)).machines
    assert [machine.mac for machine in found] == [mac(n)]
    assert found[0].name in ("", f"shelf{n}")


def test_a_hundred_thousand_lines() -> None:
    """Nothing in it takes longer for each line the more there are: with the square of them it would never end."""
    text = "".join(f"n{i} 00:16:{i >> 16:02x}:{i >> 8 & 255:02x}:{i & 255:02x}:00\n" for i in range(100_000))
    listed = read_list(text)
    assert len(listed.machines) == 100_000
    assert not any(machine.problem for machine in listed.machines)
